//! The journal as a story: one line per thing that a person would tell.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::effect::{Evidence, Outcome};
use crate::event::{Ending, Event, ReleaseStarted};
use crate::id::EffectId;
use crate::journal::{Record, ReplayError};
use crate::plan::Plan;

/// One line of the story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When.
    pub at: Timestamp,
    /// The number of the record that it comes from.
    pub seq: u64,
    /// What happened.
    pub text: String,
}

/// The story of all records. Signals and delivered messages are left out.
///
/// # Errors
/// When a record can't be read.
pub fn timeline(records: &[Record]) -> Result<Vec<TimelineEntry>, ReplayError> {
    let mut entries = Vec::new();
    let mut plan: Option<Plan> = None;
    for record in records {
        for event in record.events()? {
            if let Event::ReleaseStarted(started) = &event {
                plan = Some(started.plan.clone());
            }
            if let Event::RollbackStarted { plan: back, .. } = &event {
                plan = Some((**back).clone());
            }
            if let Some(text) = text(plan.as_ref(), &event) {
                entries.push(TimelineEntry { at: record.at, seq: record.seq, text });
            }
        }
    }
    Ok(entries)
}

fn text(plan: Option<&Plan>, event: &Event) -> Option<String> {
    let name = |step: &usize| {
        let step = plan.and_then(|plan| plan.steps.get(*step));
        step.map_or("a step", |step| step.name.as_str())
    };
    Some(match event {
        Event::ReleaseStarted(started) => started_text(started),
        Event::StepStarted { step } => format!("{}: started", name(step)),
        Event::WaveStarted { step, wave } => format!("{}: wave {}", name(step), wave + 1),
        Event::EffectEnded { effect, outcome } => return effect_text(plan, effect, outcome),
        Event::Observed(_) | Event::CalendarRead { events: None, .. } => return None,
        Event::CalendarRead { calendar, events: Some(events) } => {
            format!("calendar `{calendar}` read: {} events that close production", events.len())
        }
        Event::CalendarFailed { calendar, problem } => {
            format!("calendar `{calendar}` could not be read: {problem}")
        }
        Event::SoakStarted { step } => format!("{}: every gate holds", name(step)),
        Event::SoakInterrupted { step, reason } => {
            format!("{}: begins anew: {reason}", name(step))
        }
        Event::Approved { actor, role } => format!("approved by {actor} as {role}"),
        Event::ApprovalExpired { actor, role } => {
            format!("approval by {actor} as {role} expired")
        }
        Event::CheckWaived { waiver } => format!(
            "`{}` waived by {} as {} until {}: {}",
            waiver.check, waiver.person, waiver.role, waiver.until, waiver.reason
        ),
        Event::StartAnnounced { start_at } => {
            format!("start in production announced for {start_at}")
        }
        Event::StartWithdrawn { reason } => format!("announced start withdrawn: {reason}"),
        Event::StepPassed { step } => format!("{}: passed", name(step)),
        Event::StepFailed { step, reason } => format!("{}: failed: {reason}", name(step)),
        Event::Halted { by: Some(by), reason } => format!("halted by {by}: {reason}"),
        Event::Halted { by: None, reason } => format!("halted: {reason}"),
        Event::Resumed { by } => format!("continued by {by}"),
        Event::Breached { finding } => format!("breach: {finding}"),
        Event::FlagRaised { flag, by, reason, .. } => {
            format!("{flag} flag raised by {by}: {reason}")
        }
        Event::RollbackStarted { reason, by: Some(by), .. } => {
            format!("rollback started by {by}: {reason}")
        }
        Event::RollbackStarted { reason, by: None, .. } => format!("rollback started: {reason}"),
        Event::RollbackAcknowledged { by, release } => {
            format!("new releases may start after the rollback of {release}, says {by}")
        }
        Event::IncidentOpened { incident, title, severity, by, .. } => {
            let by = by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
            format!("{incident} ({severity}) opened{by}: {title}")
        }
        Event::IncidentAcknowledged { incident, by } => format!("{incident} acknowledged by {by}"),
        Event::IncidentUpdated { incident, by, text } => format!("{incident}, {by}: {text}"),
        Event::IncidentEscalated { incident, role } => format!("{incident} calls {role}"),
        Event::DocumentQueued { document, .. } => format!("writes `{}`", document.path()),
        Event::IncidentClosed { incident, by, resolution } => {
            format!("{incident} closed by {by}: {resolution}")
        }
        Event::NoticeQueued { notice, .. } => format!("told: {notice}"),
        Event::DeliveryGivenUp { to, reason, .. } => format!("`{to}` was not told: {reason}"),
        Event::LinesQueued { lines, .. } => {
            format!("logged: {}", lines.first().map_or("", String::as_str))
        }
        Event::ReleaseEnded { ending } => match ending {
            Ending::Released => "released".to_owned(),
            Ending::RolledBack => "rolled back".to_owned(),
            Ending::Refused { reason } => format!("refused: {reason}"),
        },
    })
}

fn started_text(started: &ReleaseStarted) -> String {
    let rehearsal = if started.rehearsal.is_some() { " as a rehearsal" } else { "" };
    let again = started.again.as_ref();
    let again = again.map_or_else(String::new, |why| format!(", again because {why}"));
    format!(
        "{} of {} started by {}{rehearsal}, plan {}{again}",
        started.release,
        started.version,
        started.author,
        started.plan.digest().short()
    )
}

/// Successes of single calls are left out, but for the end of a machine's change and for checks.
fn effect_text(plan: Option<&Plan>, effect: &EffectId, outcome: &Outcome) -> Option<String> {
    let effect = match effect {
        EffectId::Step { step, .. } => plan
            .and_then(|plan| plan.steps.get(*step))
            .map_or_else(String::new, |step| step.name.clone()),
        EffectId::Machine { slot, phase, .. } => format!("{slot}: {phase}"),
        EffectId::Message { number } => format!("message {number}"),
        EffectId::Delivery { number, channel } => format!("message {number} to `{channel}`"),
    };
    match outcome {
        Outcome::Done(Evidence::Healthy { after_ms }) => {
            Some(format!("{effect} after {after_ms} ms"))
        }
        Outcome::Done(Evidence::Checks(checks)) => {
            let passed = checks.iter().filter(|check| check.passed).count();
            Some(format!("{effect}: {passed} of {} checks passed", checks.len()))
        }
        Outcome::Done(Evidence::Plain | Evidence::Lease { .. } | Evidence::Machine { .. }) => None,
        Outcome::Refused(refusal) => Some(format!("{effect}: refused: {}", refusal.message)),
        Outcome::Failed(failure) => Some(format!("{effect}: failed: {}", failure.message)),
        Outcome::Unknown => Some(format!("{effect}: outcome unknown, looking it up")),
    }
}
