//! Folds events into state. It decides nothing and can't fail: an event that does not fit the
//! state changes nothing.

mod comparison;
mod incident;
mod message;
mod outcome;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::calendar::CalendarReading;
use crate::event::{Ending, Event, ReleaseStarted};
use crate::gate::{Signals, Span};
use crate::id::{Course, EffectId, Environment, MachinePhase, ReleaseId, ServiceName};
use crate::observation::Observation;
use crate::plan::{MachineAction, Plan, SoakPurpose, StepKind};
use crate::planner::VERSION_KEY;
use crate::state::{
    Approval, Attempt, End, Halt, MachineProgress, Progress, Release, Run, State, StepTimes,
};

/// Folds one event of a record at `now` into the state.
pub(super) fn evolve(state: &mut State, now: Timestamp, event: &Event) {
    match event {
        Event::ReleaseStarted(started) => release_started(state, now, started),
        Event::EffectEnded { effect, outcome } => outcome::ended(state, now, effect, outcome),
        Event::FlagRaised { flag, incident, .. } => {
            state.flags.insert(*flag, *incident);
        }
        Event::IncidentOpened { .. }
        | Event::IncidentAcknowledged { .. }
        | Event::IncidentUpdated { .. }
        | Event::IncidentEscalated { .. }
        | Event::IncidentClosed { .. } => incident::evolve(state, now, event),
        Event::NoticeQueued { number, notice, channels } => {
            message::notice_queued(state, *number, notice, channels);
            incident::told(state, notice);
            if let Some(release) = state.active_mut()
                && notice.kind.is_of_the_release()
            {
                release.told_at = now;
            }
        }
        Event::DocumentQueued { number, document } => {
            message::document_queued(state, *number, document);
        }
        Event::LinesQueued { number, lines } => message::lines_queued(state, *number, lines),
        Event::DeliveryGivenUp { effect, to, reason } => {
            message::given_up(state, now, effect, to, reason);
        }
        Event::CalendarRead { calendar, events } => {
            let known = state.company_calendars.entry(calendar.clone()).or_default();
            let events = events.clone().unwrap_or_else(|| known.events.clone());
            known.learn(now, &CalendarReading::Read(events));
        }
        Event::CalendarFailed { calendar, problem } => {
            let known = state.company_calendars.entry(calendar.clone()).or_default();
            known.learn(now, &CalendarReading::Failed(problem.clone()));
        }
        Event::RollbackAcknowledged { .. } => state.held_by = None,
        Event::ReleaseEnded { ending } => {
            comparison::keep(state, ending);
            release_ended(state, now, ending);
        }
        Event::RollbackStarted { reason, plan, suspects, .. } => {
            let Some(release) = state.active_mut() else { return };
            roll_back(release, reason, plan);
            let by = release.id;
            state.suspects.extend(suspects.iter().map(|image| (image.clone(), by)));
        }
        Event::StepStarted { .. }
        | Event::WaveStarted { .. }
        | Event::Observed(_)
        | Event::SoakStarted { .. }
        | Event::SoakInterrupted { .. }
        | Event::Approved { .. }
        | Event::ApprovalExpired { .. }
        | Event::CheckWaived { .. }
        | Event::StartAnnounced { .. }
        | Event::StartWithdrawn { .. }
        | Event::StepPassed { .. }
        | Event::StepFailed { .. }
        | Event::Halted { .. }
        | Event::Resumed { .. }
        | Event::Breached { .. } => {
            if let Some(release) = state.active_mut() {
                evolve_release(release, now, event);
            }
            incident::note_release(state, now, event);
        }
    }
}

fn release_started(state: &mut State, now: Timestamp, started: &ReleaseStarted) {
    let mut unreleased = BTreeSet::new();
    for step in &started.plan.steps {
        let StepKind::Rollout(rollout) = &step.kind else { continue };
        let known = state.known_machines.entry(rollout.app.clone()).or_default();
        for change in rollout.waves.iter().flat_map(|wave| &wave.changes) {
            if let MachineAction::Update { machine, previous_config, .. } = &change.action {
                known.insert(machine.clone());
                if was_never_released(&state.releases, previous_config) {
                    unreleased.insert(machine.clone());
                }
            }
        }
    }
    state.project = Some(started.project.clone());
    let release = Release {
        id: started.release,
        version: started.version.clone(),
        author: started.author.clone(),
        project: started.project.clone(),
        rehearsal: started.rehearsal,
        report: started.report.clone(),
        unreleased,
        started_at: now,
        ended: None,
        forward: Run::new(started.plan.clone()),
        back: None,
        rollback_reason: None,
        breach: None,
        incident: None,
        approvals: Vec::new(),
        preflight: Vec::new(),
        waivers: Vec::new(),
        halt: None,
        announced_start: None,
        told_at: now,
        signals: BTreeMap::new(),
        comparisons: comparison::of_histories(&state.histories),
        invariants: BTreeMap::new(),
    };
    state.releases.insert(started.release, release);
}

/// Whether a machine's config is of a version that releases tried and none brought to its end.
fn was_never_released(releases: &BTreeMap<ReleaseId, Release>, config: &Value) -> bool {
    let version = config.get("metadata").and_then(|metadata| metadata.get(VERSION_KEY)?.as_str());
    let mut tries = releases
        .values()
        .filter(|release| version.is_some_and(|version| release.version.to_string() == version))
        .peekable();
    let was_tried = tries.peek().is_some();
    was_tried && !tries.any(|release| matches!(release.ended, Some((_, Ending::Released))))
}

fn evolve_release(release: &mut Release, now: Timestamp, event: &Event) {
    match event {
        Event::StepStarted { step } => step_started(release, now, *step),
        Event::WaveStarted { step, wave } => wave_started(release, *step, *wave),
        Event::Observed(observation) => observed(release, observation),
        Event::SoakStarted { .. } => set_soak(release, Some(now), 0),
        Event::SoakInterrupted { .. } => set_soak(release, None, 1),
        Event::Approved { actor, role } => {
            let approval = Approval { actor: actor.clone(), role: *role, at: now };
            release.approvals.push(approval);
        }
        Event::ApprovalExpired { actor, role } => {
            release.approvals.retain(|approval| approval.actor != *actor || approval.role != *role);
        }
        Event::CheckWaived { waiver } => release.waivers.push(waiver.clone()),
        Event::StartAnnounced { start_at } => release.announced_start = Some(*start_at),
        Event::StartWithdrawn { .. } => release.announced_start = None,
        Event::StepPassed { step } => {
            let run = release.run_mut();
            run.progress = Progress::Waiting;
            if let Some(times) = run.times.get_mut(step) {
                times.passed_at = Some(now);
            }
        }
        Event::Halted { by, reason } => {
            release.halt = Some(Halt { by: by.clone(), reason: reason.clone(), at: now });
        }
        Event::Resumed { .. } => resumed(release),
        Event::Breached { finding } => release.breach = Some((now, finding.clone())),
        // StepFailed tells; what follows from it comes as events of its own
        Event::StepFailed { .. }
        | Event::RollbackStarted { .. }
        | Event::RollbackAcknowledged { .. }
        | Event::ReleaseEnded { .. }
        | Event::ReleaseStarted(_)
        | Event::EffectEnded { .. }
        | Event::IncidentOpened { .. }
        | Event::IncidentAcknowledged { .. }
        | Event::IncidentUpdated { .. }
        | Event::IncidentEscalated { .. }
        | Event::IncidentClosed { .. }
        | Event::FlagRaised { .. }
        | Event::NoticeQueued { .. }
        | Event::LinesQueued { .. }
        | Event::DocumentQueued { .. }
        | Event::DeliveryGivenUp { .. }
        | Event::CalendarRead { .. }
        | Event::CalendarFailed { .. } => {}
    }
}

fn step_started(release: &mut Release, now: Timestamp, step: usize) {
    let run = release.run_mut();
    let Some(kind) = run.plan.steps.get(step).map(|step| step.kind.clone()) else { return };
    run.current = Some(step);
    run.times.insert(step, StepTimes { started_at: now, passed_at: None });
    run.progress = match &kind {
        StepKind::Preflight | StepKind::Smoke { .. } | StepKind::RestoreSecrets { .. } => {
            Progress::Single(Attempt::default())
        }
        StepKind::Rollout(_) => Progress::Rollout { wave: None },
        StepKind::Soak(_) => Progress::Soak { good_since: None, interruptions: 0 },
        StepKind::Approval { .. } | StepKind::Window { .. } => Progress::Waiting,
    };
    // what was measured of the bad version must not be held against the one before it
    if let StepKind::Soak(soak) = kind
        && soak.purpose == SoakPurpose::Watch
    {
        release.signals.remove(&soak.environment);
    }
}

fn wave_started(release: &mut Release, step: usize, wave: usize) {
    let (id, course) = (release.id, release.course());
    forget_absence(release, step, 0);
    let run = release.run_mut();
    run.progress = Progress::Rollout { wave: Some(wave) };
    let Some(wave) = run.rollout(step).and_then(|rollout| rollout.waves.get(wave)).cloned() else {
        return;
    };
    for change in wave.changes {
        let (machine, created_by) = match change.action {
            // the id by which the machine is found, should its creation be of unknown fate
            MachineAction::Create { .. } => {
                let slot = change.slot.clone();
                let phase = MachinePhase::Create;
                let id = EffectId::Machine { release: id, course, step, slot, phase, attempt: 1 };
                (None, Some(id))
            }
            MachineAction::Update { machine, .. } | MachineAction::Withdraw { machine, .. } => {
                (Some(machine), None)
            }
            MachineAction::Retire { machine, .. } => (machine, None),
        };
        let phase = run.change(step, &change.slot).map(|change| change.action.first_phase());
        let progress = MachineProgress {
            step,
            phase: phase.unwrap_or(MachinePhase::Done),
            attempt: Attempt::default(),
            first_attempt: 1,
            after_lease: None,
            machine,
            instance: None,
            lease: None,
            was_leased: false,
            update_asked: false,
            created_by,
            changed_at: None,
        };
        run.machines.insert(change.slot, progress);
    }
}

/// That a service was down before its first machine was changed is not held against its new
/// version. So many machines of it may have been changed by now.
fn forget_absence(release: &mut Release, step: usize, changed_max: usize) {
    let run = release.run();
    let Some(rollout) = run.rollout(step) else { return };
    let (environment, service) = (rollout.environment, rollout.service.clone());
    if run.changed(environment, &service) > changed_max {
        return;
    }
    if let Some(services) = release.signals.get_mut(&environment)
        && services.get(&service).is_some_and(|signals| !signals.has_been_well())
    {
        services.remove(&service);
    }
}

fn observed(release: &mut Release, observation: &Observation) {
    comparison::observed(release, observation);
    release.observe_invariants(observation);
    let environment: Environment = observation.environment;
    // before it is begun, an environment is measured only to be compared with
    if !release.watched().contains(&environment) {
        return;
    }
    let policy = release.project.gates.clone();
    let services = release.signals.entry(environment).or_default();
    for sample in &observation.samples {
        let signals: &mut Signals = services.entry(ServiceName::new(&sample.service)).or_default();
        let span = Span { from: observation.from, to: observation.to, sample: sample.clone() };
        signals.observe(span, &policy);
    }
}

fn set_soak(release: &mut Release, good_since: Option<Timestamp>, lost: u32) {
    if let Progress::Soak { interruptions, .. } = release.run().progress {
        let interruptions = interruptions.saturating_add(lost);
        release.run_mut().progress = Progress::Soak { good_since, interruptions };
    }
}

/// Whatever had ended without being done is tried anew. On the way back a machine that did not
/// become healthy gets its whole change again: it may have been changed by somebody else since.
fn resumed(release: &mut Release) {
    release.halt = None;
    let course = release.course();
    let run = release.run_mut();
    if let Progress::Single(attempt) = &mut run.progress
        && attempt.end.is_some()
    {
        *attempt = attempt.next(None);
    }
    for machine in run.machines.values_mut() {
        if matches!(machine.attempt.end, Some(End::Failed(_) | End::Blocked(_))) {
            machine.attempt = machine.attempt.next(None);
            if course == Course::Back && machine.phase == MachinePhase::Health {
                machine.first_attempt = machine.attempt.number;
                machine.phase = MachinePhase::Lease;
            }
        }
    }
}

/// A rollback holds new releases; a version that arrived clears its images of any suspicion.
fn release_ended(state: &mut State, now: Timestamp, ending: &Ending) {
    let Some(release) = state.active_mut() else { return };
    release.ended = Some((now, ending.clone()));
    let (id, images) = (release.id, release.forward.plan.images());
    match ending {
        Ending::RolledBack => state.held_by = Some(id),
        Ending::Released => {
            for (_, _, image) in images {
                state.suspects.remove(&image);
            }
        }
        Ending::Refused { .. } => {}
    }
}

fn roll_back(release: &mut Release, reason: &str, plan: &Plan) {
    release.back = Some(Run::new(plan.clone()));
    release.rollback_reason = Some(reason.to_owned());
    release.halt = None;
    release.announced_start = None;
}
