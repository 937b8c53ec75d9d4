//! Incidents as people and programs read them: the list, what was seen when one was opened, and
//! the report in Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{measures, status};
use crate::gate::human_secs;
use crate::id::{AppName, Environment, IncidentId};
use crate::severity::Severity;
use crate::state::{Incident, Release, State};

/// The releases that are listed beside an incident, the newest ones.
const RELEASES_MAX: usize = 20;

/// One incident of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentStatus {
    /// Its id.
    pub incident: IncidentId,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub title: String,
    /// Since when.
    pub opened_at: Timestamp,
    /// By whom it was taken on.
    pub acknowledged_by: Option<String>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// What was found and done.
    pub resolution: Option<String>,
}

/// All incidents, the newest first.
pub fn incidents(state: &State) -> Vec<IncidentStatus> {
    let newest_first = state.incidents.iter().rev();
    newest_first
        .map(|(id, incident)| IncidentStatus {
            incident: *id,
            severity: incident.severity,
            title: incident.title.clone(),
            opened_at: incident.opened_at,
            acknowledged_by: incident.acknowledged.as_ref().map(|(_, by)| by.clone()),
            closed_at: incident.closed.as_ref().map(|closed| closed.at),
            resolution: incident.closed.as_ref().map(|closed| closed.resolution.clone()),
        })
        .collect()
}

/// The apps of an environment, as the newest release knows them.
pub(crate) fn apps_in(state: &State, environment: Environment) -> Vec<AppName> {
    let release = state.releases.values().next_back();
    let steps = release.into_iter().flat_map(|release| &release.forward.plan.steps);
    let rollouts = steps.filter_map(|step| step.kind.rollout());
    let of_environment = rollouts.filter(|rollout| rollout.environment == environment);
    of_environment.map(|rollout| rollout.app.clone()).collect()
}

/// What the core knows at the moment in which an incident is opened, as files.
pub(crate) fn diagnostics(
    state: &State,
    incident: IncidentId,
    now: Timestamp,
) -> BTreeMap<String, String> {
    let newest_first = state.releases.values().rev().take(RELEASES_MAX);
    let releases: Vec<_> = newest_first
        .map(|release| {
            json!({
                "release": release.id,
                "version": release.version.to_string(),
                "author": release.author,
                "started_at": release.started_at,
                "ended": release.ended,
                "rollback_reason": release.rollback_reason,
            })
        })
        .collect();
    let measured = state.releases.values().next_back().map(measures);
    let incident = state.incidents.get(&incident);
    let files = [
        ("incident.json", pretty(&json!(incident))),
        ("status.json", pretty(&json!(status(state, now)))),
        ("releases.json", pretty(&json!(releases))),
        ("metrics.json", pretty(&json!(measured.unwrap_or_default()))),
    ];
    files.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

/// What stands around a report that is written for the first time; people write on there.
pub(crate) fn report_around(id: IncidentId, incident: &Incident) -> (String, String) {
    let before = format!("# {id}: {}\n\n", one_line(&incident.title));
    let after = "\n## Cause\n\n_To be filled in: what led to it, and why nothing caught it \
                 before._\n\n## Actions\n\n- [ ] _To be filled in: what is done so that it does \
                 not happen again, by whom, until when._\n";
    (before, after.to_owned())
}

/// The part of a report that the journal tells; `None` when there is no such incident.
pub fn incident_report(state: &State, id: IncidentId, now: Timestamp) -> Option<String> {
    let incident = state.incidents.get(&id)?;
    let release = incident.release.and_then(|release| state.releases.get(&release));
    let mut text = summary(incident, release, now);
    text.push_str("\n## Impact\n\n");
    for fact in &incident.facts {
        // writing to a string can't fail
        let _infallible = writeln!(text, "- {}: {}", fact.name, fact.value);
    }
    if incident.facts.is_empty() {
        text.push_str("- not measured\n");
    }
    text.push_str("\n## Timeline\n\n| UTC | |\n|---|---|\n");
    let before = release.into_iter().flat_map(|release| story_before(release, incident.opened_at));
    let after = incident.entries.iter().map(|entry| (entry.at, entry.text.clone()));
    for (at, what) in before.chain(after) {
        let at = at.strftime("%Y-%m-%d %H:%M:%S");
        let _infallible = writeln!(text, "| {at} | {} |", cell(&what));
    }
    if let Some(closed) = &incident.closed {
        let _infallible =
            writeln!(text, "\n## Resolution\n\n{} ({})", one_line(&closed.resolution), closed.by);
    }
    Some(text)
}

fn summary(incident: &Incident, release: Option<&Release>, now: Timestamp) -> String {
    let when = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    let since = |at: Timestamp| human_secs(at.duration_since(incident.opened_at).as_secs());
    let by = incident.opened_by.as_deref().unwrap_or("Holdpoint");
    let mut rows = vec![
        ("Severity", incident.severity.to_string()),
        ("Where", incident.environment.to_string()),
        ("Opened", format!("{} by {by}", when(incident.opened_at))),
    ];
    rows.extend(
        incident.acknowledged.as_ref().map(|(at, by)| {
            ("Acknowledged", format!("{} by {by}, after {}", when(*at), since(*at)))
        }),
    );
    rows.push(match &incident.closed {
        Some(closed) => {
            ("Closed", format!("{} by {}, after {}", when(closed.at), closed.by, since(closed.at)))
        }
        None => ("Status", format!("open since {}", since(now))),
    });
    if let Some(release) = release {
        let text = format!("{} of {} by {}", release.id, release.version, release.author);
        rows.push(("Release", text));
    }
    let mut text = "| | |\n|---|---|\n".to_owned();
    for (name, value) in rows {
        // writing to a string can't fail
        let _infallible = writeln!(text, "| {name} | {} |", cell(&value));
    }
    text
}

/// What the release did before.
fn story_before(release: &Release, until: Timestamp) -> Vec<(Timestamp, String)> {
    let started = format!("{} of {} started by {}", release.id, release.version, release.author);
    let mut story = vec![(release.started_at, started)];
    for (step, times) in &release.forward.times {
        let name = release.forward.plan.steps.get(*step);
        let name = name.map_or("a step", |step| step.name.as_str());
        let passed = times.passed_at.filter(|at| *at <= until);
        story.extend(passed.map(|at| (at, format!("{name}: passed"))));
    }
    story
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// A text that ends no cell of a table.
pub(super) fn cell(text: &str) -> String {
    one_line(text).replace('|', "\\|")
}
