//! A naive model of the release under way, folded from what became durable. It shares no code
//! with the engine's state.

use std::collections::BTreeSet;

use holdpoint_core::event::Event;
use holdpoint_core::id::{Course, EffectId, Environment, IncidentId, PlanDigest, ReleaseId};
use holdpoint_core::plan::{Plan, Rollout, StepKind};
use holdpoint_core::project::Project;
use jiff::Timestamp;
use semver::Version;

use super::{Fact, nonce_of};

/// What is known of all that happened.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The release under way.
    pub release: Option<Under>,
    /// The releases that have ended, and whether each did with its version released.
    pub ended: Vec<(Version, bool)>,
    /// Incidents that are open.
    pub incidents: BTreeSet<IncidentId>,
    /// Messages that were written.
    pub messages: BTreeSet<u64>,
    /// Leases whose nonce stands in the journal.
    pub nonces: BTreeSet<String>,
}

/// A release under way.
#[derive(Clone, Debug)]
pub struct Under {
    /// Its id.
    pub id: ReleaseId,
    /// Who started it.
    pub author: String,
    /// The project that rules it.
    pub project: Project,
    /// The way forward.
    pub forward: Plan,
    /// Its digest.
    pub digest: PlanDigest,
    /// The way back.
    pub back: Option<Plan>,
    /// Steps that were started.
    pub started: BTreeSet<(Course, usize)>,
    /// Steps that were passed.
    pub passed: BTreeSet<(Course, usize)>,
    /// Waves that were started.
    pub waves: BTreeSet<(Course, usize, usize)>,
}

impl Under {
    /// The way that is taken.
    pub fn course(&self) -> Course {
        if self.back.is_some() { Course::Back } else { Course::Forward }
    }

    /// The plan of a way.
    pub fn plan(&self, course: Course) -> Option<&Plan> {
        match course {
            Course::Forward => Some(&self.forward),
            Course::Back => self.back.as_ref(),
        }
    }

    /// The kind of a step of the way that is taken.
    pub fn step(&self, step: usize) -> Option<&StepKind> {
        Some(&self.plan(self.course())?.steps.get(step)?.kind)
    }

    /// The rollout that is a step of one way.
    pub fn rollout(&self, course: Course, step: usize) -> Option<&Rollout> {
        self.plan(course)?.steps.get(step)?.kind.rollout()
    }

    /// Whether any machine of an environment was begun.
    pub fn has_begun(&self, environment: Environment) -> bool {
        let mut rollouts =
            self.waves.iter().filter_map(|(course, step, _)| self.rollout(*course, *step));
        rollouts.any(|rollout| rollout.environment == environment)
    }
}

impl Ledger {
    /// The rollout that an effect on a machine belongs to, if its release is under way.
    pub fn rollout_of(&self, id: &EffectId) -> Option<&Rollout> {
        let EffectId::Machine { release, course, step, .. } = id else { return None };
        self.release.as_ref().filter(|under| under.id == *release)?.rollout(*course, *step)
    }

    /// Whether releases of a version have ended, and none with it released.
    pub fn was_rolled_back(&self, version: &str) -> bool {
        let mut of_version =
            self.ended.iter().filter(|(ended, _)| ended.to_string() == version).peekable();
        of_version.peek().is_some() && !of_version.any(|(_, released)| *released)
    }

    pub(super) fn fold(&mut self, _: Timestamp, fact: Fact<'_>) {
        let Fact::Event(event) = fact else { return };
        if let Event::ReleaseStarted(started) = event {
            self.release = Some(Under {
                id: started.release,
                author: started.author.clone(),
                project: started.project.clone(),
                forward: started.plan.clone(),
                digest: started.plan.digest(),
                back: None,
                started: BTreeSet::new(),
                passed: BTreeSet::new(),
                waves: BTreeSet::new(),
            });
        }
        match event {
            Event::IncidentOpened { incident, .. } => {
                self.incidents.insert(*incident);
            }
            Event::IncidentClosed { incident, .. } => {
                self.incidents.remove(incident);
            }
            Event::NoticeQueued { number, .. }
            | Event::LinesQueued { number, .. }
            | Event::DocumentQueued { number, .. } => {
                self.messages.insert(*number);
            }
            Event::EffectEnded { outcome, .. } => {
                self.nonces.extend(nonce_of(outcome).cloned());
            }
            Event::ReleaseEnded { ending } => {
                let released = matches!(ending, holdpoint_core::event::Ending::Released);
                let ended = self.release.take().map(|under| (under.forward.version, released));
                self.ended.extend(ended);
            }
            Event::StepStarted { .. }
            | Event::WaveStarted { .. }
            | Event::StepPassed { .. }
            | Event::RollbackStarted { .. } => self.fold_release(event),
            Event::ReleaseStarted(_)
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
            | Event::StepFailed { .. }
            | Event::Halted { .. }
            | Event::Resumed { .. }
            | Event::RollbackAcknowledged { .. }
            | Event::Breached { .. }
            | Event::FlagRaised { .. }
            | Event::DeliveryGivenUp { .. }
            | Event::IncidentAcknowledged { .. }
            | Event::IncidentUpdated { .. }
            | Event::IncidentEscalated { .. } => {}
        }
    }

    fn fold_release(&mut self, event: &Event) {
        let Some(under) = &mut self.release else { return };
        let course = under.course();
        if let Event::RollbackStarted { plan, .. } = event {
            under.back = Some((**plan).clone());
        }
        if let Event::StepStarted { step } = event {
            under.started.insert((course, *step));
        }
        if let Event::StepPassed { step } = event {
            under.passed.insert((course, *step));
        }
        if let Event::WaveStarted { step, wave } = event {
            under.waves.insert((course, *step, *wave));
        }
    }
}
