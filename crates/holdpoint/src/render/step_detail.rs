//! What the line of a step that passed says beside its name and time: the numbers that it rests
//! on, collected from the events since the step began.

use holdpoint_core::effect::{CheckResult, Evidence, Outcome};
use holdpoint_core::event::Event;
use holdpoint_core::gate::human_secs;
use holdpoint_core::plan::{MachineAction, Rollout, StepKind};
use holdpoint_core::state::Release;

use super::measure::counted;

/// What was heard since the current step began.
#[derive(Clone, Debug, Default)]
pub(super) struct StepNotes {
    checks: Vec<CheckResult>,
    healthy_after_ms: Vec<u64>,
    approvals: Vec<String>,
}

impl StepNotes {
    /// Takes note of an event.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::StepStarted { .. } => *self = Self::default(),
            Event::Approved { actor, role } => self.approvals.push(format!("{actor} as {role}")),
            Event::EffectEnded { outcome: Outcome::Done(evidence), .. } => match evidence {
                Evidence::Checks(checks) => self.checks.clone_from(checks),
                Evidence::Healthy { after_ms } => self.healthy_after_ms.push(*after_ms),
                Evidence::Plain | Evidence::Lease { .. } | Evidence::Machine { .. } => {}
            },
            Event::EffectEnded { .. }
            | Event::ReleaseStarted(_)
            | Event::WaveStarted { .. }
            | Event::Observed(_)
            | Event::CalendarRead { .. }
            | Event::CalendarFailed { .. }
            | Event::SoakStarted { .. }
            | Event::SoakInterrupted { .. }
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
            | Event::RollbackStarted { .. }
            | Event::RollbackAcknowledged { .. }
            | Event::IncidentOpened { .. }
            | Event::IncidentAcknowledged { .. }
            | Event::IncidentUpdated { .. }
            | Event::IncidentEscalated { .. }
            | Event::IncidentClosed { .. }
            | Event::NoticeQueued { .. }
            | Event::LinesQueued { .. }
            | Event::DocumentQueued { .. }
            | Event::DeliveryGivenUp { .. }
            | Event::ReleaseEnded { .. } => {}
        }
    }

    /// What is to be said of a step of this kind.
    pub(super) fn detail(&self, kind: &StepKind, release: &Release) -> String {
        match kind {
            StepKind::Preflight | StepKind::Smoke { .. } => self.checks_detail(),
            StepKind::Rollout(rollout) => self.rollout_detail(rollout),
            StepKind::Soak(soak) => {
                let secs = i64::try_from(soak.duration_secs).unwrap_or(i64::MAX);
                format!("every gate held for {}", human_secs(secs))
            }
            StepKind::Approval { .. } if self.approvals.is_empty() => {
                let given = release.approvals.iter();
                let given = given.map(|one| format!("{} as {}", one.actor, one.role));
                given.collect::<Vec<_>>().join(", ")
            }
            StepKind::Approval { .. } => self.approvals.join(", "),
            StepKind::Window { .. } => "open, nothing is frozen".to_owned(),
            StepKind::RestoreSecrets { version, .. } => format!("as of version {version}"),
        }
    }

    fn checks_detail(&self) -> String {
        let passed = self.checks.iter().filter(|check| check.passed).count();
        let slowest = self.checks.iter().max_by_key(|check| check.took_ms);
        let slowest = slowest.map_or_else(String::new, |check| {
            format!(", the slowest {} in {} ms", check.name, check.took_ms)
        });
        format!("{passed} of {} passed{slowest}", counted(self.checks.len(), "check"))
    }

    fn rollout_detail(&self, rollout: &Rollout) -> String {
        let changes = || rollout.waves.iter().flat_map(|wave| &wave.changes);
        let number = |wanted: fn(&MachineAction) -> bool| {
            changes().filter(|change| wanted(&change.action)).count()
        };
        let parts = [
            (number(|action| matches!(action, MachineAction::Create { .. })), "created"),
            (number(|action| matches!(action, MachineAction::Update { .. })), "updated"),
            (number(|action| matches!(action, MachineAction::Retire { .. })), "stopped"),
        ];
        let parts = parts.iter().filter(|(number, _)| *number > 0);
        let parts: Vec<String> =
            parts.map(|(number, word)| format!("{} {word}", counted(*number, "machine"))).collect();
        let parts =
            if parts.is_empty() { "nothing to change".to_owned() } else { parts.join(", ") };
        let times = self.healthy_after_ms.iter().map(|after_ms| format!("{after_ms} ms"));
        let times = times.collect::<Vec<_>>().join(", ");
        let healthy =
            if times.is_empty() { String::new() } else { format!(", healthy after {times}") };
        let image = rollout.image_digest.short();
        format!("{parts} to image {image}{healthy}")
    }
}
