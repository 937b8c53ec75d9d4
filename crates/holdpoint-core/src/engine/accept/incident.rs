//! Commands about incidents: what they alone cause. Whoever is in the project may open, take on
//! and close one; whom it calls, and what is written, is decided elsewhere.

use jiff::Timestamp;

use crate::command::{Actor, Command, Rejection};
use crate::engine::decide;
use crate::event::Event;
use crate::id::{Environment, IncidentId};
use crate::state::State;

pub(super) fn accept(
    state: &State,
    now: Timestamp,
    actor: &Actor,
    command: &Command,
) -> Result<Vec<Event>, Rejection> {
    let by = actor.name.clone();
    if let Command::OpenIncident { severity, title, project } = command {
        // a release under way has its own project, which rules to its end
        let project = Some(project.clone()).filter(|_| state.active().is_none());
        return Ok(vec![Event::IncidentOpened {
            incident: state.next_incident(),
            title: title.clone(),
            severity: *severity,
            environment: Environment::Production,
            facts: Vec::new(),
            by: Some(by),
            project,
        }]);
    }
    if let Command::AcknowledgeIncident { incident } = command {
        let incident = open_one(state, *incident)?;
        let found = state.incidents.get(&incident);
        if let Some((_, by)) = found.and_then(|found| found.acknowledged.as_ref()) {
            return Err(Rejection::AlreadyAcknowledged { incident, by: by.clone() });
        }
        let text = format!("{incident} is acknowledged by {by}");
        let mut events = vec![Event::IncidentAcknowledged { incident, by }];
        events.extend(decide::tell_incident(state, incident, text, now));
        return Ok(events);
    }
    if let Command::UpdateIncident { incident, text } = command {
        let incident = open_one(state, *incident)?;
        let told = format!("{incident}: {text} ({by})");
        let mut events = vec![Event::IncidentUpdated { incident, by, text: text.clone() }];
        events.extend(decide::tell_incident(state, incident, told, now));
        return Ok(events);
    }
    if let Command::ReportIncident { incident } = command {
        let events = decide::write_report(state, *incident, now);
        return events.ok_or(Rejection::NoIncident { incident: *incident });
    }
    if let Command::CloseIncident { incident, resolution } = command {
        let incident = open_one(state, Some(*incident))?;
        let resolution = resolution.clone();
        return Ok(vec![Event::IncidentClosed { incident, by, resolution }]);
    }
    Ok(Vec::new())
}

/// The incident that is named and open, or the only open one.
fn open_one(state: &State, named: Option<IncidentId>) -> Result<IncidentId, Rejection> {
    let open = state.incidents.iter().filter(|(_, incident)| incident.closed.is_none());
    let open: Vec<IncidentId> = open.map(|(id, _)| *id).collect();
    match (named, open.as_slice()) {
        (Some(incident), open) if open.contains(&incident) => Ok(incident),
        (Some(incident), _) => Err(Rejection::NoIncident { incident }),
        (None, [only]) => Ok(*only),
        (None, open) => Err(Rejection::WhichIncident { open: open.len() }),
    }
}
