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
        Phase::Running if record.run_shall_leave() => Step::Drain,
        Phase::Running => Step::Rest(None),
        Phase::Draining { until } if in_flight > 0 && now < until => Step::Rest(Some(until)),
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
        Goal::Run => false,
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

/// Whether a program that ran for so many seconds begins a new count of restarts.
pub(super) fn ran_well(ran_secs: i64) -> bool {
    ran_secs >= RAN_WELL_SECS
}
