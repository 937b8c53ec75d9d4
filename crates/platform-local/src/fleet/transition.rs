//! Decides the next step of a machine from where it is and where it shall be. Pure: it takes the
//! time and gives a step; the keeper takes the step.

use std::time::{Duration, Instant};

use machines_api::types::{MachineState, RestartPolicy};

use super::record::{Goal, MachineRecord};
use crate::supervisor::Exit;

/// Tries of `on-failure` when the config names none (Fly's default).
const RETRIES_DEFAULT: u32 = 10;

/// The wait before the first restart; it doubles with each.
const BACK_OFF_MIN: Duration = Duration::from_millis(250);

/// The longest wait before a restart.
const BACK_OFF_MAX: Duration = Duration::from_secs(10);

/// A program that ran so long was well: its next end counts as the first.
const RAN_WELL_SECS: i64 = 60;

/// Where a machine's program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none.
    Idle,
    /// It ended by itself and is started again at this time.
    BackingOff {
        until: Instant,
    },
    Running,
    /// Frozen, with its memory.
    Suspended,
    /// Out of rotation; its requests may finish until this time.
    Draining {
        until: Instant,
    },
    /// It was asked to stop and is killed at this time.
    Stopping {
        until: Instant,
    },
    /// It was killed, and is again if it is still there at this time.
    Killed {
        until: Instant,
    },
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing until this time, or until something happens.
    Rest(Option<Instant>),
    Launch,
    Drain,
    Freeze,
    /// Let it run on: it was frozen, or shall be frozen no more.
    Thaw,
    AskToStop,
    Kill,
    /// The program has ended: note it and decide what that means.
    Settle(Exit),
    /// No program and none wanted: note that the goal is reached.
    Arrive,
}

/// The next step.
pub(super) fn next(
    phase: Phase,
    record: &MachineRecord,
    exit: Option<Exit>,
    in_flight: usize,
    now: Instant,
) -> Step {
    if let Some(exit) = exit {
        return Step::Settle(exit);
    }
    match phase {
        Phase::Idle if record.goal == Goal::Run => Step::Launch,
        Phase::Idle if has_arrived(record) => Step::Rest(None),
        Phase::Idle => Step::Arrive,
        Phase::BackingOff { .. } if record.goal != Goal::Run => Step::Arrive,
        Phase::BackingOff { until } if now < until => Step::Rest(Some(until)),
        Phase::BackingOff { .. } => Step::Launch,
        Phase::Running if record.run_shall_leave() || record.goal == Goal::Suspend => Step::Drain,
        Phase::Running => Step::Rest(None),
        // What was frozen handles no signal: its memory is given up.
        Phase::Suspended if record.run_shall_leave() => Step::Kill,
        Phase::Suspended if record.goal == Goal::Run => Step::Thaw,
        Phase::Suspended => Step::Rest(None),
        Phase::Draining { .. } if record.goal == Goal::Run && !record.run_shall_leave() => {
            Step::Thaw
        }
        Phase::Draining { until } if in_flight > 0 && now < until => Step::Rest(Some(until)),
        Phase::Draining { .. } if !record.run_shall_leave() => Step::Freeze,
        Phase::Draining { .. } => Step::AskToStop,
        Phase::Stopping { until } | Phase::Killed { until } if now < until => {
            Step::Rest(Some(until))
        }
        Phase::Stopping { .. } | Phase::Killed { .. } => Step::Kill,
    }
}

/// Whether the record says already that a machine without a program is where it shall be.
fn has_arrived(record: &MachineRecord) -> bool {
    match record.goal {
        // Without a program there is nothing to suspend: it counts as stopped.
        Goal::Run | Goal::Suspend => false,
        Goal::Stop => matches!(
            record.state,
            MachineState::Stopped | MachineState::Created | MachineState::Failed
        ),
        Goal::Destroy => record.state == MachineState::Destroyed,
    }
}

/// Whether a program that ended by itself is started again, and after which wait.
pub(super) fn restart_after(record: &MachineRecord, exit: Exit) -> Option<Duration> {
    let restart = record.config.restart.as_ref();
    let policy = restart.and_then(|restart| restart.policy.as_ref());
    let again = match policy {
        Some(RestartPolicy::No) => false,
        Some(RestartPolicy::Always) => true,
        // Fly's default; an unknown policy is best treated like it.
        Some(RestartPolicy::OnFailure | RestartPolicy::SpotPrice | RestartPolicy::Other(_))
        | None => {
            let retries = restart.and_then(|restart| restart.max_retries);
            exit.code != Some(0) && record.restart_count < retries.unwrap_or(RETRIES_DEFAULT)
        }
    };
    let doublings = record.restart_count.min(16);
    again.then(|| BACK_OFF_MIN.saturating_mul(1 << doublings).min(BACK_OFF_MAX))
}

/// Whether a program that is not started again is left because it failed too often, and not
/// because that is its policy.
pub(super) fn gives_up(record: &MachineRecord, exit: Exit) -> bool {
    let policy = record.config.restart.as_ref().and_then(|restart| restart.policy.as_ref());
    policy != Some(&RestartPolicy::No) && exit.code != Some(0)
}

/// Whether a program that ran for so many seconds begins a new count of restarts.
pub(super) fn ran_well(ran_secs: i64) -> bool {
    ran_secs >= RAN_WELL_SECS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::record::tests::{machine, run},
        *,
    };
    use crate::clock;

    const CRASH: Exit = Exit { code: Some(1), ..Exit::UNKNOWN };

    fn with_policy(policy: &str, restart_count: u32) -> MachineRecord {
        let mut record = machine();
        record.config.restart = serde_json::from_str(policy).expect("a policy");
        record.restart_count = restart_count;
        record
    }

    #[test]
    fn a_machine_drains_before_it_is_asked_to_stop_and_is_killed_last() {
        let now = clock::instant();
        let later = now + Duration::from_secs(5);
        let record = MachineRecord { goal: Goal::Stop, run: Some(run("v2")), ..machine() };
        let draining = Phase::Draining { until: later };
        let stopping = Phase::Stopping { until: later };
        assert_eq!(next(Phase::Running, &record, None, 3, now), Step::Drain);
        assert_eq!(next(draining, &record, None, 3, now), Step::Rest(Some(later)));
        assert_eq!(next(draining, &record, None, 0, now), Step::AskToStop);
        assert_eq!(next(draining, &record, None, 3, later), Step::AskToStop);
        assert_eq!(next(stopping, &record, None, 0, now), Step::Rest(Some(later)));
        assert_eq!(next(stopping, &record, None, 0, later), Step::Kill);
        assert_eq!(next(stopping, &record, Some(CRASH), 0, now), Step::Settle(CRASH));
    }

    #[test]
    fn a_machine_drains_before_it_is_frozen_and_runs_on_when_it_is_started() {
        let now = clock::instant();
        let later = now + Duration::from_secs(5);
        let with = |goal| MachineRecord { goal, run: Some(run("v2")), ..machine() };
        let (suspend, go, stop) = (with(Goal::Suspend), with(Goal::Run), with(Goal::Stop));
        let draining = Phase::Draining { until: later };
        assert_eq!(next(Phase::Running, &suspend, None, 1, now), Step::Drain);
        assert_eq!(next(draining, &suspend, None, 1, now), Step::Rest(Some(later)));
        assert_eq!(next(draining, &suspend, None, 0, now), Step::Freeze);
        assert_eq!(next(draining, &go, None, 1, now), Step::Thaw);
        assert_eq!(next(Phase::Suspended, &suspend, None, 0, now), Step::Rest(None));
        assert_eq!(next(Phase::Suspended, &go, None, 0, now), Step::Thaw);
        assert_eq!(next(Phase::Suspended, &stop, None, 0, now), Step::Kill);
        let updated = MachineRecord { run: Some(run("v1")), ..machine() };
        assert_eq!(next(Phase::Suspended, &updated, None, 0, now), Step::Kill);
    }

    #[test]
    fn restart_policies_are_those_of_fly() {
        let done = Exit { code: Some(0), ..Exit::UNKNOWN };
        let killed = Exit { signal: Some(9), ..Exit::UNKNOWN };
        let again =
            |policy: &str, count, exit| restart_after(&with_policy(policy, count), exit).is_some();
        assert!(!again(r#"{"policy":"no"}"#, 0, CRASH));
        assert!(again(r#"{"policy":"always"}"#, 99, done));
        assert!(!again(r#"{"policy":"on-failure"}"#, 0, done));
        assert!(again(r#"{"policy":"on-failure"}"#, 9, killed));
        assert!(!again(r#"{"policy":"on-failure"}"#, 10, CRASH));
        assert!(!again(r#"{"policy":"on-failure","max_retries":2}"#, 2, CRASH));
        assert!(again("null", 0, Exit::UNKNOWN), "an unknown end may have been a failure");
    }

    #[test]
    fn a_machine_has_failed_when_its_retries_are_used_up_and_not_when_it_may_not_retry() {
        let done = Exit { code: Some(0), ..Exit::UNKNOWN };
        assert!(gives_up(&with_policy(r#"{"policy":"on-failure"}"#, 10), CRASH));
        assert!(!gives_up(&with_policy(r#"{"policy":"on-failure"}"#, 10), done));
        assert!(!gives_up(&with_policy(r#"{"policy":"no"}"#, 0), CRASH));
    }

    #[test]
    fn each_restart_waits_longer_up_to_a_limit() {
        let wait = |count| restart_after(&with_policy(r#"{"policy":"always"}"#, count), CRASH);
        assert_eq!(wait(0), Some(BACK_OFF_MIN));
        assert_eq!(wait(2), Some(BACK_OFF_MIN * 4));
        assert_eq!(wait(u32::MAX), Some(BACK_OFF_MAX));
    }

    proptest! {
        /// Whatever the record says: without an exit no program is forgotten, and none is asked to
        /// stop that still has requests and time.
        #[test]
        fn no_step_loses_a_program_or_a_request(
            goal in prop_oneof![
                Just(Goal::Run), Just(Goal::Suspend), Just(Goal::Stop), Just(Goal::Destroy)
            ],
            phase in 0..5_u8,
            in_flight in 0..3_usize,
            elapsed_secs in 0..10_u64,
            old in any::<bool>(),
        ) {
            let start = clock::instant();
            let (until, now) = (start + Duration::from_secs(5), start + Duration::from_secs(elapsed_secs));
            let phase = match phase {
                0 => Phase::Running,
                1 => Phase::Draining { until },
                2 => Phase::Stopping { until },
                3 => Phase::Suspended,
                _ => Phase::Killed { until },
            };
            let version = if old { "v1" } else { "v2" };
            let record = MachineRecord { goal, run: Some(run(version)), ..machine() };
            let step = next(phase, &record, None, in_flight, now);
            prop_assert!(!matches!(step, Step::Launch | Step::Arrive | Step::Settle(_)));
            if matches!(step, Step::AskToStop | Step::Freeze) {
                prop_assert!(in_flight == 0 || now >= until);
            }
        }
    }
}
