//! Folds the end of an effect into the state: how its attempt ended, and what is known now.
//!
//! What a failure means for the release is decided in `engine::decide`; here it is only counted.

use jiff::{SignedDuration, Timestamp};

use super::message;
use crate::effect::{Evidence, Failure, Outcome, Refusal, RefusalKind};
use crate::id::{AppName, Course, EffectId, MachineId, MachinePhase, Slot};
use crate::plan::MachineAction;
use crate::preflight::{Waiver, in_one_sentence, unwaived};
use crate::state::{Attempt, End, MachineProgress, Progress, Release, State};

/// How often an effect is attempted before it counts as failed.
const ATTEMPTS_MAX: u32 = 3;
/// How often a lease that somebody else holds is asked for again. A client that died leaves its
/// lease behind for some seconds (Fly's own takes it for 13).
const LEASE_ATTEMPTS_MAX: u32 = 6;
/// How often an effect of unknown fate is looked up before it counts as failed.
const UNKNOWNS_MAX: u32 = 20;
/// The first wait before another attempt, in real seconds; each further one is twice as long.
const BACKOFF_SECS: i64 = 1;
/// The longest wait before another attempt, in real seconds.
const BACKOFF_SECS_MAX: i64 = 30;

pub(super) fn ended(state: &mut State, now: Timestamp, effect: &EffectId, outcome: &Outcome) {
    match effect {
        EffectId::Message { .. } | EffectId::Delivery { .. } => {
            message::ended(state, now, effect, outcome);
        }
        EffectId::Step { .. } => {
            if let Some(release) = state.active_mut() {
                step_ended(release, now, outcome);
            }
        }
        EffectId::Machine { slot, .. } => {
            let Some(release) = state.active_mut() else { return };
            if let Some((app, machine)) = machine_ended(release, now, slot, outcome) {
                state.known_machines.entry(app).or_default().insert(machine);
            }
        }
    }
}

/// When to try again. The platform takes real time, which a scaled clock counts `pace` times.
pub(super) fn retry_at(now: Timestamp, tried: u32, pace: u32) -> Timestamp {
    let doublings = tried.saturating_sub(1).min(10);
    let secs = (BACKOFF_SECS << doublings).min(BACKOFF_SECS_MAX);
    now + SignedDuration::from_secs(secs * i64::from(pace))
}

fn step_ended(release: &mut Release, now: Timestamp, outcome: &Outcome) {
    let pace = release.run().plan.pace;
    let is_preflight = release.is_in_preflight();
    let mut waivers: &[Waiver] = &[];
    if let Outcome::Done(Evidence::Checks(checks)) = outcome
        && is_preflight
    {
        release.preflight.clone_from(checks);
        waivers = &release.waivers;
    }
    // people hear at once of what they have to mend; nobody is there to do so in a rehearsal
    let is_held = is_preflight && release.rehearsal.is_none();
    let attempts_max = if is_held { 1 } else { ATTEMPTS_MAX };
    let failed = match outcome {
        Outcome::Done(Evidence::Checks(checks)) => {
            let failed = unwaived(checks, waivers, now);
            (!failed.is_empty()).then(|| in_one_sentence(&failed))
        }
        Outcome::Done(_) | Outcome::Refused(_) | Outcome::Failed(_) | Outcome::Unknown => None,
    };
    if let Progress::Single(attempt) = &mut release.run_mut().progress {
        match outcome {
            Outcome::Done(Evidence::Checks(_)) => match &failed {
                None => attempt.end = Some(End::Done),
                Some(failed) => {
                    failed_or_again(attempt, 1, now, pace, attempts_max, failed.clone());
                }
            },
            Outcome::Done(_) => attempt.end = Some(End::Done),
            Outcome::Refused(refusal) => {
                attempt.end = Some(End::Failed(refusal.message.clone()));
            }
            Outcome::Failed(failure) => {
                failed_or_again(attempt, 1, now, pace, ATTEMPTS_MAX, failure.message.clone());
            }
            Outcome::Unknown => unknown(attempt, now, pace),
        }
    }
}

fn failed_or_again(
    attempt: &mut Attempt,
    first: u32,
    now: Timestamp,
    pace: u32,
    max: u32,
    why: String,
) {
    let tried = attempt.number.saturating_sub(first).saturating_add(1);
    if tried >= max {
        attempt.end = Some(End::Failed(why));
    } else {
        *attempt = attempt.next(Some(retry_at(now, tried, pace)));
    }
}

/// How often a machine's phase was attempted since its change began, or began anew.
fn tried(machine: &MachineProgress) -> u32 {
    machine.attempt.number.saturating_sub(machine.first_attempt).saturating_add(1)
}

fn unknown(attempt: &mut Attempt, now: Timestamp, pace: u32) {
    attempt.unknowns += 1;
    if attempt.unknowns > UNKNOWNS_MAX {
        attempt.end = Some(End::Failed("its fate could not be established".to_owned()));
    } else {
        attempt.not_before = Some(retry_at(now, attempt.unknowns, pace));
    }
}

/// Returns the machine that became known, if one did.
fn machine_ended(
    release: &mut Release,
    now: Timestamp,
    slot: &Slot,
    outcome: &Outcome,
) -> Option<(AppName, MachineId)> {
    let pace = release.run().plan.pace;
    let run = release.run_mut();
    let step = run.machines.get(slot)?.step;
    let action = run.change(step, slot)?.action.clone();
    let app = run.rollout(step)?.app.clone();
    let course = run.plan.course;
    let machine = run.machines.get_mut(slot)?;
    match outcome {
        Outcome::Done(evidence) => {
            let was_changed = machine.update_asked;
            done(machine, &action, evidence);
            if matches!(evidence, Evidence::Machine { .. }) {
                machine.changed_at = Some(now);
            }
            if machine.update_asked && !was_changed {
                super::forget_absence(release, step, 1);
                return None;
            }
            let created = machine.phase == MachinePhase::Health
                && matches!(action, MachineAction::Create { .. });
            return created.then(|| Some((app, machine.machine.clone()?))).flatten();
        }
        Outcome::Refused(refusal) => refused(machine, now, pace, refusal),
        Outcome::Failed(failure) => failed(machine, course, now, pace, failure),
        Outcome::Unknown => {
            unknown(&mut machine.attempt, now, pace);
            if machine.phase == MachinePhase::Cordon && machine.attempt.end.is_none() {
                lease_anew(machine);
            }
        }
    }
    None
}

/// A cordon of unknown fate may be heard when the machine is back in the rotation. With another
/// lease it is not.
fn lease_anew(machine: &mut MachineProgress) {
    let Attempt { unknowns, not_before, .. } = machine.attempt;
    machine.after_lease = Some(machine.phase);
    machine.phase = MachinePhase::Lease;
    machine.attempt = Attempt { unknowns, ..machine.attempt.next(not_before) };
}

fn done(machine: &mut MachineProgress, action: &MachineAction, evidence: &Evidence) {
    match evidence {
        Evidence::Lease { nonce, instance_id } => {
            machine.lease = Some(nonce.clone());
            machine.was_leased = true;
            if let MachineAction::Update { expected_instance: Some(expected), .. } = action
                && !machine.update_asked
                && expected != instance_id
            {
                let why = format!(
                    "machine {} was changed since the plan was made: it is at version \
                     {instance_id}, the plan expects {expected}",
                    machine.machine.as_ref().map_or("?", MachineId::as_str)
                );
                machine.attempt.end = Some(End::Blocked(why));
                return;
            }
        }
        Evidence::Machine { machine: id, instance_id } => {
            machine.machine = Some(id.clone());
            machine.instance = Some(instance_id.clone());
        }
        Evidence::Plain | Evidence::Checks(_) | Evidence::Healthy { .. } => {}
    }
    if machine.phase == MachinePhase::Release {
        machine.lease = None;
    }
    let next = action.phase_after(machine.phase);
    let resumed = machine.after_lease.take().filter(|_| machine.phase == MachinePhase::Lease);
    let unknowns = machine.attempt.unknowns;
    enter(machine, resumed.unwrap_or(next));
    // or a cordon that is never answered would be asked for without end
    if resumed.is_some() {
        machine.attempt.unknowns = unknowns;
    }
}

fn enter(machine: &mut MachineProgress, phase: MachinePhase) {
    machine.phase = phase;
    machine.attempt = Attempt { number: machine.first_attempt, ..Attempt::default() };
    machine.update_asked |= phase == MachinePhase::Update;
}

fn refused(machine: &mut MachineProgress, now: Timestamp, pace: u32, refusal: &Refusal) {
    let why = refusal.message.clone();
    match (refusal.kind, machine.phase) {
        (RefusalKind::LeaseHeldByOther, _) => {
            if tried(machine) >= LEASE_ATTEMPTS_MAX {
                machine.attempt.end = Some(End::Blocked(why));
            } else {
                let not_before = retry_at(now, tried(machine), pace);
                machine.attempt = machine.attempt.next(Some(not_before));
            }
        }
        // a lease that is gone need not be given back, and a machine that is gone need not be
        // stopped
        (RefusalKind::LeaseLost | RefusalKind::NotFound, MachinePhase::Release)
        | (RefusalKind::NotFound, MachinePhase::Stop) => {
            machine.lease = None;
            enter(machine, MachinePhase::Done);
        }
        (RefusalKind::LeaseLost, phase) => {
            machine.lease = None;
            machine.after_lease = Some(phase);
            machine.phase = MachinePhase::Lease;
            machine.attempt = machine.attempt.next(None);
            if tried(machine) > LEASE_ATTEMPTS_MAX {
                machine.attempt.end = Some(End::Blocked(why));
            }
        }
        (RefusalKind::NotFound | RefusalKind::Other, _) => {
            machine.attempt.end = Some(End::Failed(why));
        }
    }
}

fn failed(
    machine: &mut MachineProgress,
    course: Course,
    now: Timestamp,
    pace: u32,
    failure: &Failure,
) {
    let why = failure.message.clone();
    // a version that does not become healthy is not asked to try again; the one that ran before
    // is, for nothing better is left
    let once = machine.phase == MachinePhase::Health && course == Course::Forward;
    let max = if once { 1 } else { ATTEMPTS_MAX };
    // a creation keeps its id: should a failed call have made a machine all the same, the next
    // one finds it
    if machine.phase == MachinePhase::Create {
        machine.attempt.unknowns += 1;
        if machine.attempt.unknowns >= max {
            machine.attempt.end = Some(End::Failed(why));
        } else {
            machine.attempt.not_before = Some(retry_at(now, machine.attempt.unknowns, pace));
        }
        return;
    }
    let first = machine.first_attempt;
    failed_or_again(&mut machine.attempt, first, now, pace, max, why);
}
