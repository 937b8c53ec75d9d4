//! When something is due without any input, and why: the earliest of all reasons.

use jiff::Timestamp;

use super::decide::{announcement, escalation, hold, rollout, soak};
use super::{WaitReason, effects};
use crate::gate::{Verdict, seconds};
use crate::id::Environment;
use crate::plan::{Soak, StepKind};
use crate::state::{Progress, Release, State};

/// The next time at which the engine wants to be asked, and why; `None` when only an input can
/// change anything.
pub(crate) fn deadline(state: &State, now: Timestamp) -> Option<(Timestamp, WaitReason)> {
    let mut due: Vec<(Timestamp, WaitReason)> = Vec::new();
    let messages = effects::next_messages(state);
    let messages = messages.filter_map(|(_, message)| message.attempt.not_before);
    due.extend(messages.map(|time| (time, WaitReason::Message)));
    let calls = escalation::calls(state);
    due.extend(calls.map(|call| (call.at, WaitReason::Escalation { role: call.role })));
    if let Some(release) = state.active() {
        due.extend(retries(release));
        due.extend(step_deadlines(state, release, now));
        due.extend(gate_deadlines(release, now));
        let expiries = release.approvals.iter().filter_map(|one| hold::expires_at(release, one));
        due.extend(expiries.map(|time| (time, WaitReason::ApprovalExpires)));
        due.extend(announcement::update_due_at(release).map(|time| (time, WaitReason::Update)));
    }
    due.into_iter().filter(|(time, _)| *time > now).min_by_key(|(time, _)| *time)
}

/// Why the release does not go on at `now`: the first thing that must change. For people.
pub(crate) fn waits_for(state: &State, release: &Release, now: Timestamp) -> Option<WaitReason> {
    if let Some(halt) = &release.halt {
        let (by, reason) = (halt.by.clone(), halt.reason.clone());
        return Some(WaitReason::Halted { by, reason });
    }
    let step = release.current_step()?;
    let effect = |what: String| Some(WaitReason::Effect { what });
    match &step.kind {
        StepKind::Preflight | StepKind::Smoke { .. } | StepKind::RestoreSecrets { .. } => {
            effect(step.name.clone())
        }
        StepKind::Rollout(rollout) => {
            if !release.run().is_changing()
                && !rollout::may_start_wave(state, release, rollout, now)
            {
                if let Some(closed) = hold::production_closed(state, release, now)
                    && rollout.environment == Environment::Production
                {
                    return Some(closed.reason);
                }
                let finding = release.unmeasured(rollout.environment, now);
                return finding.map(|finding| WaitReason::Gates { finding: finding.to_string() });
            }
            let machines = release.run().machines.iter();
            let changing = machines
                .filter(|(_, machine)| machine.phase != crate::id::MachinePhase::Done)
                .map(|(slot, machine)| format!("{} of {slot}", machine.phase));
            effect(changing.collect::<Vec<_>>().join(", "))
        }
        StepKind::Soak(soak) => match soak::first_not_passing(release, soak, now) {
            Some(verdict) => Some(WaitReason::Gates { finding: verdict.finding().to_string() }),
            None => match soak::undecided(release, soak, now) {
                Some(verdict) if soak_is_over(release, soak, now) => {
                    Some(WaitReason::Gates { finding: verdict.finding().to_string() })
                }
                Some(_) | None => Some(WaitReason::SoakEnds { step: step.name.clone() }),
            },
        },
        StepKind::Approval { .. } => {
            Some(WaitReason::Approvals { roles: release.missing_approvals() })
        }
        StepKind::Window { announce_before_secs } => match release.announced_start {
            Some(_) => Some(WaitReason::AnnouncedStart),
            None => hold::announcement_wait(state, release, *announce_before_secs, now)
                .map(|closed| closed.reason),
        },
    }
}

fn retries(release: &Release) -> Vec<(Timestamp, WaitReason)> {
    let run = release.run();
    let machines = run.machines.iter().filter(|(_, machine)| machine.attempt.end.is_none());
    let mut due: Vec<(Timestamp, WaitReason)> = machines
        .filter_map(|(slot, machine)| {
            let what = effects::machine_id(release, slot, machine).to_string();
            Some((machine.attempt.not_before?, WaitReason::Effect { what }))
        })
        .collect();
    if let (Progress::Single(attempt), Some(step)) = (&run.progress, release.current_step())
        && let (Some(time), None) = (attempt.not_before, &attempt.end)
    {
        due.push((time, WaitReason::Effect { what: step.name.clone() }));
    }
    due
}

fn step_deadlines(
    state: &State,
    release: &Release,
    now: Timestamp,
) -> Vec<(Timestamp, WaitReason)> {
    let Some(step) = release.current_step() else {
        return Vec::new();
    };
    match &step.kind {
        StepKind::Soak(soak) => soak_deadline(release, soak, &step.name).into_iter().collect(),
        StepKind::Window { announce_before_secs } => {
            if let Some(start_at) = release.announced_start {
                return vec![(start_at, WaitReason::AnnouncedStart)];
            }
            let closed = hold::announcement_wait(state, release, *announce_before_secs, now);
            closed.and_then(|closed| Some((closed.until?, closed.reason))).into_iter().collect()
        }
        StepKind::Rollout(rollout) => {
            if rollout::may_start_wave(state, release, rollout, now) {
                return Vec::new();
            }
            let closed = hold::production_closed(state, release, now);
            closed.and_then(|closed| Some((closed.until?, closed.reason))).into_iter().collect()
        }
        StepKind::Preflight
        | StepKind::Smoke { .. }
        | StepKind::Approval { .. }
        | StepKind::RestoreSecrets { .. } => Vec::new(),
    }
}

fn soak_deadline(release: &Release, soak: &Soak, step: &str) -> Option<(Timestamp, WaitReason)> {
    let Progress::Soak { good_since: Some(since), .. } = &release.run().progress else {
        return None;
    };
    let ends_at = *since + seconds(soak.duration_secs);
    Some((ends_at, WaitReason::SoakEnds { step: step.to_owned() }))
}

fn soak_is_over(release: &Release, soak: &Soak, now: Timestamp) -> bool {
    soak_deadline(release, soak, "").is_some_and(|(ends_at, _)| now >= ends_at)
}

/// When a gate that is bad becomes a breach, and when signals become too old to count.
fn gate_deadlines(release: &Release, now: Timestamp) -> Vec<(Timestamp, WaitReason)> {
    let mut due = Vec::new();
    // one second more: a verdict counts whole seconds, and only what is older is too old
    let stale_after = seconds(release.project.gates.stale_after_secs.saturating_add(1));
    for environment in release.watched() {
        for verdict in release.verdicts(environment, now) {
            if let Verdict::Wait { until: Some(until), finding } = verdict {
                due.push((until, WaitReason::Breach { finding: finding.to_string() }));
            }
        }
        let stale = release.invariants_stale_at(environment);
        due.extend(stale.into_iter().map(|time| (time + seconds(1), WaitReason::Signals)));
        let services = release.signals.get(&environment);
        let newest = services.into_iter().flatten().map(|(_, signals)| signals.newest()).min();
        due.extend(newest.map(|newest| (newest + stale_after, WaitReason::Signals)));
    }
    due
}
