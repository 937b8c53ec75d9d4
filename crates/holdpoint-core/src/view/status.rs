//! Where a project stands: its newest release, what it waits for, until when, and who must act.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::effect::CheckResult;
use crate::engine::{WaitReason, deadline};
use crate::event::Ending;
use crate::gate::Verdict;
use crate::id::{Course, IncidentId, PlanDigest, ReleaseId};
use crate::preflight::Waiver;
use crate::project::{Role, WhenUnreadable};
use crate::state::{DeliveryTrouble, Release, Run, State};

/// Where a project stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// When this was true.
    pub at: Timestamp,
    /// The newest release; `None` before the first.
    pub release: Option<ReleaseStatus>,
    /// Incidents that are open.
    pub open_incidents: Vec<(IncidentId, String)>,
    /// The release since whose rollback new ones are held, until somebody says `continue`.
    #[serde(default)]
    pub held_by: Option<ReleaseId>,
    /// Messages that are still to be delivered.
    pub messages_waiting: usize,
    /// Channels and documents that take nothing.
    pub delivery_troubles: BTreeMap<String, DeliveryTrouble>,
    /// Calendars of the company that can't be read.
    #[serde(default)]
    pub unread_calendars: Vec<UnreadCalendar>,
}

/// A calendar of the company that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadCalendar {
    /// Its name.
    pub calendar: String,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub problem: String,
    /// From when on production is held for that; `None` where the project goes on without it.
    pub holds_from: Option<Timestamp>,
}

/// Where a release stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseStatus {
    /// Its id.
    pub id: ReleaseId,
    /// Its version.
    pub version: String,
    /// Who started it.
    pub author: String,
    /// Whether it is a rehearsal.
    pub rehearsal: bool,
    /// When it started.
    pub started_at: Timestamp,
    /// When and how it ended.
    pub ended: Option<(Timestamp, Ending)>,
    /// Which way is being taken.
    pub course: Course,
    /// Why it goes back.
    pub rollback_reason: Option<String>,
    /// The digest of the plan that is carried out; approvals name the forward one.
    pub plan: PlanDigest,
    /// The steps of the way forward, and of the way back behind them.
    pub steps: Vec<StepStatus>,
    /// What it waits for.
    pub waits_for: Option<WaitReason>,
    /// When something is due without any input.
    pub next_at: Option<Timestamp>,
    /// Roles whose consent is missing.
    pub missing_approvals: Vec<Role>,
    /// The pre-flight checks that failed, while the release waits for them.
    #[serde(default)]
    pub failed_checks: Vec<CheckResult>,
    /// Checks that need not hold.
    #[serde(default)]
    pub waivers: Vec<Waiver>,
    /// What the gates say of the environments that count now.
    pub verdicts: Vec<Verdict>,
}

/// Where a step stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStatus {
    /// On which way.
    pub course: Course,
    /// Its name.
    pub name: String,
    /// In one word.
    pub word: StepWord,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was complete.
    pub passed_at: Option<Timestamp>,
}

/// Where a step stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepWord {
    /// It has not begun.
    Planned,
    /// It is under way.
    Running,
    /// It is complete.
    Passed,
    /// It was given up for the way back, or failed.
    Abandoned,
}

/// Where the project stands at `now`.
pub fn status(state: &State, now: Timestamp) -> Status {
    let newest = state.releases.values().next_back();
    let open = state.incidents.iter().filter(|(_, incident)| incident.closed.is_none());
    Status {
        at: now,
        release: newest.map(|release| release_status(state, release, now)),
        open_incidents: open.map(|(id, incident)| (*id, incident.title.clone())).collect(),
        held_by: state.held_by,
        messages_waiting: state.outbox.len(),
        delivery_troubles: state.delivery_troubles.clone(),
        unread_calendars: state.active().map_or_else(Vec::new, |one| unread(state, one)),
    }
}

fn unread(state: &State, release: &Release) -> Vec<UnreadCalendar> {
    let calendars = release.project.calendar.events.iter();
    calendars
        .filter_map(|calendar| {
            let known = state.company_calendars.get(&calendar.name)?;
            let (since, problem) = known.failing.clone()?;
            let holds = calendar.when_unreadable == WhenUnreadable::Hold;
            let holds_from = known.stale_at(calendar).unwrap_or(since);
            let holds_from = Some(holds_from).filter(|_| holds);
            Some(UnreadCalendar { calendar: calendar.name.clone(), since, problem, holds_from })
        })
        .collect()
}

fn release_status(state: &State, release: &Release, now: Timestamp) -> ReleaseStatus {
    let active = release.ended.is_none();
    let mut steps = step_statuses(&release.forward, active && release.back.is_none());
    if let Some(back) = &release.back {
        steps.extend(step_statuses(back, active));
    }
    let watched = release.watched().into_iter().filter(|_| active);
    let failed = if active && release.is_in_preflight() {
        release.failed_checks(now).into_iter().cloned().collect()
    } else {
        Vec::new()
    };
    ReleaseStatus {
        id: release.id,
        version: release.version.to_string(),
        author: release.author.clone(),
        rehearsal: release.rehearsal.is_some(),
        started_at: release.started_at,
        ended: release.ended.clone(),
        course: release.course(),
        rollback_reason: release.rollback_reason.clone(),
        plan: release.run().digest.clone(),
        steps,
        waits_for: if active { deadline::waits_for(state, release, now) } else { None },
        next_at: deadline::deadline(state, now).map(|(time, _)| time).filter(|_| active),
        missing_approvals: if active { release.missing_approvals() } else { Vec::new() },
        failed_checks: failed,
        waivers: release.waivers.clone(),
        verdicts: watched.flat_map(|one| release.verdicts(one, now)).collect(),
    }
}

fn step_statuses(run: &Run, running: bool) -> Vec<StepStatus> {
    let steps = run.plan.steps.iter().zip(0..);
    steps
        .map(|(step, number)| {
            let times = run.times.get(&number);
            let passed_at = times.and_then(|times| times.passed_at);
            let word = match (times, passed_at) {
                (_, Some(_)) => StepWord::Passed,
                (Some(_), None) if running => StepWord::Running,
                (Some(_), None) => StepWord::Abandoned,
                (None, None) => StepWord::Planned,
            };
            StepStatus {
                course: run.plan.course,
                name: step.name.clone(),
                word,
                started_at: times.map(|times| times.started_at),
                passed_at,
            }
        })
        .collect()
}
