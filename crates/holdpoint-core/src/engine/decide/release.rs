//! The life of a release: one step after the other, to its end.

use jiff::Timestamp;

use super::{announcement, hold, rollback, rollout, soak};
use crate::engine::{hygiene, preflight};
use crate::event::{Ending, Event};
use crate::id::Course;
use crate::plan::StepKind;
use crate::state::{End, Progress, Release, State};

/// The next thing on the way that is being taken.
pub(super) fn go_on(state: &State, release: &Release, now: Timestamp) -> Vec<Event> {
    let run = release.run();
    let Some(current) = run.current else {
        return start_step(state, release, now, 0);
    };
    let passed = run.times.get(&current).is_some_and(|times| times.passed_at.is_some());
    if passed {
        return start_step(state, release, now, current + 1);
    }
    if let Some((_, end)) = run.stuck_machine() {
        // machines of the same wave that are still changing are waited for
        return if run.is_changing() { Vec::new() } else { step_ended(state, release, now, end) };
    }
    if let Progress::Single(attempt) = &run.progress {
        return match &attempt.end {
            Some(end) => step_ended(state, release, now, end),
            None => Vec::new(),
        };
    }
    match release.current_step().map(|step| &step.kind) {
        Some(StepKind::Rollout(rollout)) => rollout::go_on(state, release, rollout, now),
        Some(StepKind::Soak(soak)) => soak::go_on(state, release, soak, now),
        Some(StepKind::Approval { .. }) => hold::approvals(release),
        Some(StepKind::Window { announce_before_secs }) => {
            hold::window(state, release, *announce_before_secs, now)
        }
        Some(StepKind::Preflight | StepKind::Smoke { .. } | StepKind::RestoreSecrets { .. })
        | None => Vec::new(),
    }
}

/// Starts a step, or ends the release after the last one. A halted release starts nothing.
fn start_step(state: &State, release: &Release, now: Timestamp, step: usize) -> Vec<Event> {
    let run = release.run();
    if step >= run.plan.steps.len() {
        return end(state, release, now);
    }
    if release.halt.is_some() {
        return Vec::new();
    }
    let mut events = vec![Event::StepStarted { step }];
    events.extend(announcement::step_started(state, release, step, now));
    events
}

fn end(state: &State, release: &Release, now: Timestamp) -> Vec<Event> {
    let ending = match release.course() {
        Course::Forward => Ending::Released,
        Course::Back => Ending::RolledBack,
    };
    let mut events = announcement::ended(state, release, &ending, now);
    events.push(Event::ReleaseEnded { ending });
    events
}

/// What follows when a step's effect, or one of its machines, has ended.
fn step_ended(state: &State, release: &Release, now: Timestamp, end: &End) -> Vec<Event> {
    let step = release.run().current.unwrap_or_default();
    match end {
        End::Done => vec![Event::StepPassed { step }],
        // what does not hold can be mended or waived; in a rehearsal nobody is there to do so
        End::Failed(reason) if release.is_in_preflight() && release.rehearsal.is_none() => {
            halt(state, release, now, &preflight::held(reason))
        }
        End::Failed(reason) => failed(state, release, now, reason),
        End::Blocked(reason) => halt(state, release, now, reason),
    }
}

/// A step failed: the release goes back where there is something to go back from.
fn failed(state: &State, release: &Release, now: Timestamp, why: &str) -> Vec<Event> {
    let step = release.run().current.unwrap_or_default();
    let name = release.current_step().map_or("a step", |step| step.name.as_str());
    let reason = format!("{name} failed: {why}");
    if release.course() == Course::Back {
        // The bad version has to go, whatever its secrets are: people are told of those.
        if let Some(StepKind::RestoreSecrets { app, .. }) =
            release.current_step().map(|step| &step.kind)
        {
            let mut events = announcement::secrets_not_restored(state, release, app, why, now);
            events.push(Event::StepPassed { step });
            return events;
        }
        return halt(state, release, now, &format!("the rollback is stuck: {reason}"));
    }
    let mut events = vec![Event::StepFailed { step, reason: why.to_owned() }];
    if release.forward.machines.is_empty() {
        let ending = Ending::Refused { reason };
        events.extend(announcement::ended(state, release, &ending, now));
        events.push(Event::ReleaseEnded { ending });
    } else {
        let culprit = hygiene::service_of_step(release);
        events.extend(rollback::after_failure(state, release, now, &reason, culprit));
    }
    events
}

/// Stands still until somebody says `continue`.
fn halt(state: &State, release: &Release, now: Timestamp, reason: &str) -> Vec<Event> {
    if release.halt.is_some() {
        return Vec::new();
    }
    let mut events = vec![Event::Halted { by: None, reason: reason.to_owned() }];
    events.extend(announcement::halted(state, release, reason, now));
    events
}
