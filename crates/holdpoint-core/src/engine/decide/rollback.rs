//! The decision to go back: from a breach, a failed step or a person's word.

use jiff::Timestamp;

use super::announcement;
use crate::event::{Ending, Event};
use crate::planner;
use crate::state::{Release, State};

/// Opens an incident and goes back.
pub(super) fn after_failure(
    state: &State,
    release: &Release,
    now: Timestamp,
    reason: &str,
) -> Vec<Event> {
    let title = format!("{} {}: {reason}", release.project.title, release.version);
    let mut events = vec![Event::IncidentOpened { incident: state.next_incident(), title }];
    events.extend(roll_back(state, release, now, reason, None));
    events
}

/// Goes back; where nothing was touched yet, the release simply ends.
pub(in crate::engine) fn roll_back(
    state: &State,
    release: &Release,
    now: Timestamp,
    reason: &str,
    by: Option<&str>,
) -> Vec<Event> {
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
    });
    events
}
