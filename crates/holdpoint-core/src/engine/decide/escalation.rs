//! The life of incidents beside their releases: people are told when one is opened or closed, and
//! while nobody takes it on, one role after the other is called (the runbook, "Escalation").

use jiff::Timestamp;

use super::messages::{Draft, Messages};
use crate::document::{Diagnostics, Document, Section};
use crate::event::{Ending, Event};
use crate::gate::{human_secs, seconds};
use crate::id::IncidentId;
use crate::notice::{Fact, Milestone, NoticeKind};
use crate::project::{Documents, Escalation, Role, names_of};
use crate::state::{Incident, State};
use crate::view;

/// Tells of an incident that was opened, and has everything looked at that may soon be gone.
pub(super) fn tell_opened(state: &State, now: Timestamp) -> Vec<Event> {
    let untold = state.incidents.iter().find(|(_, incident)| {
        incident.closed.is_none() && !incident.told.contains(&Milestone::IncidentDetected)
    });
    let Some((id, incident)) = untold else {
        return Vec::new();
    };
    let text = format!("{id} ({}) opened: {}", incident.severity, incident.title);
    let mut facts = incident.facts.clone();
    facts.extend(incident.opened_by.as_ref().map(|by| Fact::new("by", by)));
    let draft = Draft::new(NoticeKind::Incident, text)
        .facts(facts)
        .at(incident.environment)
        .milestone(Milestone::IncidentDetected);
    Messages::about(state, *id, now)
        .tell(draft)
        .write(Document::Diagnostics(diagnostics(state, *id, incident, now)))
        .events()
}

/// Tells of an incident that was closed, and has its report written.
pub(super) fn tell_closed(state: &State, now: Timestamp) -> Vec<Event> {
    let untold = state.incidents.iter().find(|(_, incident)| {
        incident.closed.is_some()
            && incident.told.contains(&Milestone::IncidentDetected)
            && !incident.told.contains(&Milestone::IncidentResolved)
    });
    let Some((id, incident)) = untold else {
        return Vec::new();
    };
    let Some(closed) = &incident.closed else {
        return Vec::new();
    };
    let text = format!("{id} ({}) closed: {}", incident.severity, closed.resolution);
    let lasted = human_secs(closed.at.duration_since(incident.opened_at).as_secs());
    let draft = Draft::new(NoticeKind::Incident, text)
        .facts(vec![Fact::new("by", &closed.by), Fact::new("open for", lasted)])
        .at(incident.environment)
        .milestone(Milestone::IncidentResolved);
    let messages = Messages::about(state, *id, now).tell(draft);
    match report(state, *id, now) {
        Some(report) => messages.write(report).events(),
        None => messages.events(),
    }
}

/// A word about an incident.
pub(in crate::engine) fn tell_incident(
    state: &State,
    incident: IncidentId,
    text: String,
    now: Timestamp,
) -> Vec<Event> {
    Messages::about(state, incident, now).notice(NoticeKind::Incident, text).events()
}

/// Has the report of an incident written; `None` when there is no such incident.
pub(in crate::engine) fn write_report(
    state: &State,
    incident: IncidentId,
    now: Timestamp,
) -> Option<Vec<Event>> {
    let report = report(state, incident, now)?;
    Some(Messages::about(state, incident, now).write(report).events())
}

/// Calls the next role of the first incident whose time has come.
pub(super) fn call(state: &State, now: Timestamp) -> Vec<Event> {
    let due = calls(state).find(|call| now >= call.at);
    let Some(Call { incident: id, role, at: _ }) = due else {
        return Vec::new();
    };
    let Some((incident, project)) = state.incidents.get(&id).zip(state.project()) else {
        return Vec::new();
    };
    let waited = now.duration_since(incident.opened_at).as_secs();
    let unheard = if waited == 0 {
        String::new()
    } else {
        format!(" is not acknowledged after {} and", human_secs(waited))
    };
    let task = match role {
        Role::Reliability => "execute the rollback if needed",
        Role::Engineer => "code-level support is needed",
        Role::Manager => "decide about a prolonged issue",
    };
    let names = names_of(&project.people, role);
    let text = format!(
        "{id} ({}){unheard} calls {role} ({names}): {task}; take it on with `holdpoint incident \
         ack {id}`: {}",
        incident.severity, incident.title
    );
    let draft = Draft::new(NoticeKind::Escalation, text).at(incident.environment);
    let mut events = vec![Event::IncidentEscalated { incident: id, role }];
    // the event before it carries no number, so that the message keeps its own
    events.extend(Messages::about(state, id, now).tell(draft).events());
    events
}

/// A role that is still to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// For which incident.
    pub(crate) incident: IncidentId,
    /// Whom.
    pub(crate) role: Role,
    /// When.
    pub(crate) at: Timestamp,
}

/// Everybody who is still to be called for some incident, if nobody acknowledges it.
pub(crate) fn calls(state: &State) -> impl Iterator<Item = Call> {
    let policy = state.project().map_or_else(Escalation::default, |one| one.escalation.clone());
    let waiting = state.incidents.iter().filter(|(_, incident)| is_unattended(state, incident));
    waiting.flat_map(move |(id, incident)| {
        let calls = policy.calls().into_iter();
        let calls = calls.filter(|(role, _)| !incident.called.contains(role));
        let opened_at = incident.opened_at;
        calls.map(move |(role, after_secs)| Call {
            incident: *id,
            role,
            at: opened_at + seconds(after_secs),
        })
    })
}

/// An incident nobody looks after: not closed, not acknowledged, and its release has not put the
/// previous version back, which makes the system stable by itself.
fn is_unattended(state: &State, incident: &Incident) -> bool {
    let release = incident.release.and_then(|release| state.releases.get(&release));
    let is_stable =
        release.is_some_and(|release| matches!(release.ended, Some((_, Ending::RolledBack))));
    incident.closed.is_none() && incident.acknowledged.is_none() && !is_stable
}

fn diagnostics(state: &State, id: IncidentId, incident: &Incident, now: Timestamp) -> Diagnostics {
    Diagnostics {
        incident: id,
        opened_at: incident.opened_at,
        folder: folder(state, id),
        rehearsal: is_rehearsal(state, incident),
        files: view::diagnostics(state, id, now),
        apps: view::apps_in(state, incident.environment),
    }
}

/// The report of an incident; `None` when there is no such incident.
fn report(state: &State, id: IncidentId, now: Timestamp) -> Option<Document> {
    let incident = state.incidents.get(&id)?;
    let (before, after) = view::report_around(id, incident);
    Some(Document::Section(Section {
        file: format!("{}/report.md", folder(state, id)),
        rehearsal: is_rehearsal(state, incident),
        text: view::incident_report(state, id, now)?,
        around: Some((before, after)),
    }))
}

fn folder(state: &State, id: IncidentId) -> String {
    let documents = state.project().map_or_else(Documents::default, |one| one.documents.clone());
    format!("{}/{id}", documents.incidents)
}

fn is_rehearsal(state: &State, incident: &Incident) -> bool {
    let release = incident.release.and_then(|release| state.releases.get(&release));
    release.is_some_and(|release| release.rehearsal.is_some())
}
