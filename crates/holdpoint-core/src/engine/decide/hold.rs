//! Hold points: approvals, windows, freezes and open incidents.

use jiff::Timestamp;

use super::announcement;
use crate::calendar::{Calendar, CalendarStatus};
use crate::engine::WaitReason;
use crate::event::Event;
use crate::gate::seconds;
use crate::plan::StepKind;
use crate::state::{Approval, Release, State};

/// Passes the approval step once every role has consented.
pub(super) fn approvals(release: &Release) -> Vec<Event> {
    let complete = release.missing_approvals().is_empty() && release.halt.is_none();
    let step = release.run().current.filter(|_| complete);
    step.map(|step| Event::StepPassed { step }).into_iter().collect()
}

/// Takes back an approval whose time ran out before it was used.
pub(super) fn expire_approval(_: &State, release: &Release, now: Timestamp) -> Vec<Event> {
    let expired = release
        .approvals
        .iter()
        .find(|approval| expires_at(release, approval).is_some_and(|time| now >= time));
    expired
        .map(|approval| Event::ApprovalExpired {
            actor: approval.actor.clone(),
            role: approval.role,
        })
        .into_iter()
        .collect()
}

/// When an approval's time runs out; `None` once it was used.
pub(crate) fn expires_at(release: &Release, approval: &Approval) -> Option<Timestamp> {
    let run = &release.forward;
    let step =
        run.plan.steps.iter().position(|step| matches!(step.kind, StepKind::Approval { .. }))?;
    if run.times.get(&step).is_some_and(|times| times.passed_at.is_some()) {
        return None;
    }
    let StepKind::Approval { expires_after_secs, .. } = run.plan.steps.get(step)?.kind else {
        return None;
    };
    Some(approval.at + seconds(expires_after_secs))
}

/// Announces the start in production so that it falls into an open window, and passes the step
/// when that time has come and the window is still open.
pub(super) fn window(
    state: &State,
    release: &Release,
    announce_before_secs: u64,
    now: Timestamp,
) -> Vec<Event> {
    let Some(step) = release.run().current.filter(|_| release.halt.is_none()) else {
        return Vec::new();
    };
    let Some(start_at) = release.announced_start else {
        let open_at_start = announcement_wait(state, release, announce_before_secs, now).is_none();
        if !open_at_start {
            return Vec::new();
        }
        let start_at = now + seconds(announce_before_secs);
        let mut events = vec![Event::StartAnnounced { start_at }];
        events.extend(announcement::start_announced(state, release, start_at, now));
        return events;
    };
    if let Some((_, incident)) = state.open_incident() {
        let reason = format!("an incident was opened: {}", incident.title);
        return vec![Event::StartWithdrawn { reason }];
    }
    if now < start_at {
        return Vec::new();
    }
    match production_closed(state, release, now) {
        None => vec![Event::StepPassed { step }],
        Some(closed) => vec![Event::StartWithdrawn { reason: closed.reason.to_string() }],
    }
}

/// Why a production step may not start, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// Why.
    pub(crate) reason: WaitReason,
    /// Until when; `None` when that is not known.
    pub(crate) until: Option<Timestamp>,
}

/// Why a production step may not start at `now`; `None` when it may.
pub(crate) fn production_closed(
    state: &State,
    release: &Release,
    now: Timestamp,
) -> Option<Closed> {
    closed_at(state, release, now, now)
}

/// Why a production step may not start at `at`, by what is known at `now`.
fn closed_at(state: &State, release: &Release, now: Timestamp, at: Timestamp) -> Option<Closed> {
    if let Some((_, incident)) = state.open_incident() {
        let reason = WaitReason::Incident { title: incident.title.clone() };
        return Some(Closed { reason, until: None });
    }
    let calendar = Calendar::with_company(&release.project, &state.company_calendars, now);
    match calendar.status(at) {
        CalendarStatus::Open { .. } => None,
        CalendarStatus::Closed { opens_at, reasons } => {
            let reasons = reasons.iter().map(|reason| calendar.describe_reason(reason)).collect();
            let reason = WaitReason::Window { reasons, opens_at };
            Some(Closed { reason, until: opens_at })
        }
    }
}

/// Why the start can't be announced at `now`, and when it can; `None` when it can.
pub(crate) fn announcement_wait(
    state: &State,
    release: &Release,
    announce_before_secs: u64,
    now: Timestamp,
) -> Option<Closed> {
    let lead = seconds(announce_before_secs);
    let closed = closed_at(state, release, now, now + lead)?;
    Some(Closed { until: closed.until.map(|time| time - lead), ..closed })
}
