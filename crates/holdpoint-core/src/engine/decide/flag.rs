//! A flag that somebody raises (the runbook, "When to Rollback": "any data corruption detected",
//! "critical security issue identified"): it opens an incident, and a release that goes forward
//! goes back at once, wherever it is.

use jiff::Timestamp;

use super::{announcement, rollback};
use crate::command::Rejection;
use crate::event::Event;
use crate::flag::Flag;
use crate::id::{Course, Environment};
use crate::severity::Severity;
use crate::state::State;

/// What follows from a flag.
///
/// # Errors
/// When nothing would: no release goes forward, and the incident of such a flag is still open.
pub(in crate::engine) fn raise(
    state: &State,
    now: Timestamp,
    flag: Flag,
    by: &str,
    reason: &str,
) -> Result<Vec<Event>, Rejection> {
    let incident = state.next_incident();
    let raised = Event::FlagRaised { flag, by: by.to_owned(), reason: reason.to_owned(), incident };
    let why = format!("{flag} flag raised by {by}: {reason}");
    if let Some(release) = state.active().filter(|release| release.course() == Course::Forward) {
        let mut events = vec![raised];
        events.extend(rollback::after_failure(state, release, now, &why, None));
        return Ok(events);
    }
    // a scanner that repeats itself must not open an incident each time
    let open = state.flags.get(&flag).filter(|incident| {
        state.incidents.get(incident).is_some_and(|incident| incident.closed.is_none())
    });
    if let Some(incident) = open {
        return Err(Rejection::AlreadyRaised { flag, incident: *incident });
    }
    let opened = Event::IncidentOpened {
        incident,
        title: why.clone(),
        // both are critical in the runbook, and nobody has measured how far they reach
        severity: Severity::Sev1,
        environment: Environment::Production,
        facts: Vec::new(),
        by: Some(by.to_owned()),
        project: None,
    };
    let mut events = vec![raised, opened];
    events.extend(announcement::flag_raised(state, incident, &why, now));
    Ok(events)
}
