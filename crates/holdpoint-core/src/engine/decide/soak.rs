//! Soaks: the time for which every gate must hold; losing one restarts it.

use jiff::Timestamp;

use super::super::decide::announcement;
use crate::event::Event;
use crate::gate::{Gate, Verdict, seconds};
use crate::id::{Course, ServiceName};
use crate::plan::{Soak, SoakPurpose, StepKind};
use crate::state::{Progress, Release, State};

/// Starts, interrupts or passes the soak.
pub(super) fn go_on(state: &State, release: &Release, soak: &Soak, now: Timestamp) -> Vec<Event> {
    let run = release.run();
    let (Some(step), Progress::Soak { good_since, .. }) = (run.current, &run.progress) else {
        return Vec::new();
    };
    if soak.duration_secs == 0 {
        return vec![Event::StepPassed { step }];
    }
    if let Some(verdict) = stuck(release, soak, now) {
        let reason = format!("the previous version is not well either: {}", verdict.finding());
        let mut events = vec![Event::Halted { by: None, reason: reason.clone() }];
        events.extend(announcement::halted(state, release, &reason, now));
        return events;
    }
    match (first_not_passing(release, soak, now), good_since) {
        (None, None) => vec![Event::SoakStarted { step }],
        (None, Some(since)) if now >= *since + seconds(soak.duration_secs) => {
            if undecided(release, soak, now).is_some() {
                return Vec::new();
            }
            vec![Event::StepPassed { step }]
        }
        (Some(verdict), Some(_)) => {
            let reason = verdict.finding().to_string();
            vec![Event::SoakInterrupted { step, reason }]
        }
        (None, Some(_)) | (Some(_), None) => Vec::new(),
    }
}

/// The first gate that does not pass. Inconclusive is not passing; only a comparison has until the
/// end of the soak to come to its conclusion.
pub(crate) fn first_not_passing(release: &Release, soak: &Soak, now: Timestamp) -> Option<Verdict> {
    verdicts(release, soak, now)
        .find(|verdict| !matches!(verdict, Verdict::Pass(_)) && !is_open_comparison(verdict))
}

/// The first comparison that has not come to its conclusion, where the soak rests on it: at the
/// end of what the runbook calls staging's and production's validation.
pub(crate) fn undecided(release: &Release, soak: &Soak, now: Timestamp) -> Option<Verdict> {
    match soak.purpose {
        SoakPurpose::Soak | SoakPurpose::Validate => {
            verdicts(release, soak, now).find(is_open_comparison)
        }
        SoakPurpose::Settle | SoakPurpose::Watch => None,
    }
}

fn is_open_comparison(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Inconclusive(finding) if Gate::COMPARISONS.contains(&finding.gate))
}

/// On the way back there is nothing to roll back to: a breach then needs a person.
fn stuck(release: &Release, soak: &Soak, now: Timestamp) -> Option<Verdict> {
    if soak.purpose != SoakPurpose::Watch || release.halt.is_some() {
        return None;
    }
    verdicts(release, soak, now).find(|verdict| matches!(verdict, Verdict::Fail(_)))
}

/// What the gates say of the services that count for a soak: all of them on the way forward, and
/// on the way back those of which a previous version runs again. One that the way back took out
/// of service, or that was never begun, can't be well and says nothing.
fn verdicts(release: &Release, soak: &Soak, now: Timestamp) -> impl Iterator<Item = Verdict> {
    let runs_again = |service: &ServiceName| {
        release.run().plan.steps.iter().any(|step| {
            matches!(&step.kind, StepKind::Smoke { service: smoked, environment, .. }
                if smoked == service && *environment == soak.environment)
        })
    };
    let all = release.course() == Course::Forward;
    let verdicts = release.verdicts(soak.environment, now).into_iter();
    verdicts.filter(move |verdict| all || runs_again(&verdict.finding().service))
}
