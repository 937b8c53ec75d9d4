//! The decision to go back: from a breach, a failed step or a person's word.

use jiff::Timestamp;

use super::announcement;
use crate::engine::hygiene;
use crate::event::{Ending, Event};
use crate::id::ServiceName;
use crate::planner;
use crate::severity;
use crate::state::{Release, State};

/// Opens an incident and goes back.
pub(super) fn after_failure(
    state: &State,
    release: &Release,
    now: Timestamp,
    reason: &str,
    culprit: Option<&ServiceName>,
) -> Vec<Event> {
    let title = format!("{} {}: {reason}", release.project.title, release.version);
    let environment = announcement::changed_environment(release);
    let (severity, facts) = severity::of_release(release, environment);
    let mut events = vec![Event::IncidentOpened {
        incident: state.next_incident(),
        title,
        severity,
        environment,
        facts,
        by: None,
        project: None,
    }];
    let cause = Cause { reason, by: None, culprit };
    events.extend(roll_back(state, release, now, cause));
    events
}

/// Why a release goes back.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Cause<'a> {
    /// In a sentence.
    pub(in crate::engine) reason: &'a str,
    /// Who asks for it; `None` when the engine decides.
    pub(in crate::engine) by: Option<&'a str>,
    /// The service in which it went wrong, where that is known.
    pub(in crate::engine) culprit: Option<&'a ServiceName>,
}

/// Goes back; where nothing was touched yet, the release simply ends.
pub(in crate::engine) fn roll_back(
    state: &State,
    release: &Release,
    now: Timestamp,
    cause: Cause<'_>,
) -> Vec<Event> {
    let Cause { reason, by, culprit } = cause;
    let plan = planner::way_back(release);
    if plan.steps.is_empty() {
        let ending = Ending::Refused { reason: reason.to_owned() };
        let mut events = announcement::ended(state, release, &ending, now);
        events.push(Event::ReleaseEnded { ending });
        return events;
    }
    let mut events = announcement::rolling_back(state, release, reason, now);
    events.push(Event::RollbackStarted {
        reason: reason.to_owned(),
        by: by.map(str::to_owned),
        plan: Box::new(plan),
        suspects: hygiene::suspects(state, release, culprit),
    });
    events
}
