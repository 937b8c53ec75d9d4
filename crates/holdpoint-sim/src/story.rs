//! The story of a run, one line per thing that happens. It is told only where somebody will read
//! it: a run of thousands of seeds keeps none.

use std::fmt::Write as _;

use holdpoint_core::event::Event;
use jiff::Timestamp;

/// The longest line: events carry whole plans.
const LINE_CHARS_MAX: usize = 300;

/// What happened so far, or nothing.
#[derive(Debug, Default)]
pub struct Story {
    text: Option<String>,
}

impl Story {
    /// A story that is told, or not.
    pub fn new(is_told: bool) -> Self {
        Self { text: is_told.then(String::new) }
    }

    /// Adds a line. `line` is only asked for if the story is told.
    pub fn tell(&mut self, at: Timestamp, line: impl FnOnce() -> String) {
        if let Some(text) = &mut self.text {
            let line: String = line().chars().take(LINE_CHARS_MAX).collect();
            let at = at.strftime("%d. %H:%M:%S%.3f");
            writeln!(text, "{at} {line}").expect("a string takes every line");
        }
    }

    /// All lines.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }
}

/// An event in a line.
pub fn event_line(event: &Event) -> String {
    match event {
        Event::ReleaseStarted(started) => {
            let (release, version, author) = (started.release, &started.version, &started.author);
            let steps: Vec<&str> =
                started.plan.steps.iter().map(|step| step.name.as_str()).collect();
            format!("{release} of {version} started by {author}: {}", steps.join(", "))
        }
        Event::RollbackStarted { reason, by, plan, suspects: _ } => {
            let steps: Vec<&str> = plan.steps.iter().map(|step| step.name.as_str()).collect();
            format!("rollback by {by:?}, {reason}: {}", steps.join(", "))
        }
        Event::EffectEnded { effect, outcome } => format!("{effect} ended: {outcome:?}"),
        Event::StepStarted { .. }
        | Event::WaveStarted { .. }
        | Event::Observed(_)
        | Event::CalendarRead { .. }
        | Event::CalendarFailed { .. }
        | Event::SoakStarted { .. }
        | Event::SoakInterrupted { .. }
        | Event::Approved { .. }
        | Event::ApprovalExpired { .. }
        | Event::CheckWaived { .. }
        | Event::StartAnnounced { .. }
        | Event::StartWithdrawn { .. }
        | Event::StepPassed { .. }
        | Event::StepFailed { .. }
        | Event::Halted { .. }
        | Event::Resumed { .. }
        | Event::Breached { .. }
        | Event::FlagRaised { .. }
        | Event::RollbackAcknowledged { .. }
        | Event::IncidentOpened { .. }
        | Event::IncidentClosed { .. }
        | Event::NoticeQueued { .. }
        | Event::LinesQueued { .. }
        | Event::DeliveryGivenUp { .. }
        | Event::IncidentAcknowledged { .. }
        | Event::IncidentUpdated { .. }
        | Event::IncidentEscalated { .. }
        | Event::DocumentQueued { .. }
        | Event::ReleaseEnded { .. } => format!("{event:?}"),
    }
}
