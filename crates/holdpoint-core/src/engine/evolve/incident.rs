//! Folds the life of incidents into the state, and what their releases do meanwhile.

use jiff::Timestamp;

use crate::event::{Ending, Event};
use crate::id::IncidentId;
use crate::notice::Notice;
use crate::state::{Closed, Incident, State};

pub(super) fn evolve(state: &mut State, now: Timestamp, event: &Event) {
    if let Event::IncidentOpened { incident, .. } = event {
        opened(state, now, *incident, event);
    } else if let Event::IncidentAcknowledged { incident, by } = event {
        if let Some(incident) = state.incidents.get_mut(incident) {
            incident.acknowledged = Some((now, by.clone()));
            incident.note(now, format!("acknowledged by {by}"));
        }
    } else if let Event::IncidentUpdated { incident, by, text } = event {
        if let Some(incident) = state.incidents.get_mut(incident) {
            incident.note(now, format!("{by}: {text}"));
        }
    } else if let Event::IncidentEscalated { incident, role } = event {
        if let Some(incident) = state.incidents.get_mut(incident) {
            incident.called.push(*role);
            incident.note(now, format!("called {role}"));
        }
    } else if let Event::IncidentClosed { incident, by, resolution } = event
        && let Some(incident) = state.incidents.get_mut(incident)
    {
        let (by, resolution) = (by.clone(), resolution.clone());
        incident.note(now, format!("closed by {by}: {resolution}"));
        incident.closed = Some(Closed { at: now, by, resolution });
    }
}

fn opened(state: &mut State, now: Timestamp, id: IncidentId, event: &Event) {
    let Event::IncidentOpened { title, severity, environment, facts, by, project, .. } = event
    else {
        return;
    };
    if let Some(project) = project {
        state.project = Some((**project).clone());
    }
    let mut incident = Incident {
        severity: *severity,
        environment: *environment,
        facts: facts.clone(),
        release: state.active().map(|release| release.id),
        opened_by: by.clone(),
        ..Incident::new(title.clone(), now)
    };
    let by = by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
    incident.note(now, format!("opened{by} as {severity}: {title}"));
    state.incidents.insert(id, incident);
    if let Some(release) = state.active_mut() {
        release.incident = Some(id);
    }
}

/// That people were told of its opening or its end is remembered.
pub(super) fn told(state: &mut State, notice: &Notice) {
    let incident = notice.about.incident.and_then(|id| state.incidents.get_mut(&id));
    if let (Some(incident), Some(milestone)) = (incident, notice.about.milestone) {
        incident.told.push(milestone);
    }
}

/// What a release does is part of the story of each incident that was opened during it.
pub(super) fn note_release(state: &mut State, now: Timestamp, event: &Event) {
    let Some(release) = state.releases.values().next_back() else { return };
    let id = release.id;
    let text = if let Event::RollbackStarted { reason, .. } = event {
        format!("rollback started: {reason}")
    } else if let Event::Halted { reason, .. } = event {
        format!("halted: {reason}")
    } else if let Event::Resumed { by } = event {
        format!("continued by {by}")
    } else if let Event::StepPassed { step } = event {
        let step = release.run().plan.steps.get(*step);
        format!("{}: passed", step.map_or("a step", |step| step.name.as_str()))
    } else if let Event::ReleaseEnded { ending } = event {
        match ending {
            Ending::Released => "the release is complete".to_owned(),
            Ending::RolledBack => "rollback complete, system stable".to_owned(),
            Ending::Refused { reason } => format!("the release ended: {reason}"),
        }
    } else {
        return;
    };
    let open = state.incidents.values_mut().filter(|incident| incident.closed.is_none());
    for incident in open.filter(|incident| incident.release == Some(id)) {
        incident.note(now, text.clone());
    }
}
