//! What the journal's events add up to. Nothing here changes by itself: only
//! [`crate::engine`] folds events into it.

mod attempt;
mod incident;
mod invariants;
mod message;
mod release;
mod run;
mod sides;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::calendar::KnownCalendars;
use crate::flag::Flag;
use crate::gate::comparison::History;
use crate::id::{EffectId, Environment, ImageDigest, IncidentId, ReleaseId, ServiceName};
use crate::planner::KnownMachines;
use crate::project::Project;

pub use attempt::{Attempt, End};
pub use incident::{Closed, Incident, IncidentEntry};
pub use message::{Content, DeliveryTrouble, Message};
pub use release::{Approval, Halt, Release};
pub use run::{MachineProgress, Progress, Run, StepTimes};
pub use sides::Sides;

/// Everything that is known: all releases, incidents, messages and machines of one project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// All releases, the newest last.
    pub releases: BTreeMap<ReleaseId, Release>,
    /// All incidents.
    pub incidents: BTreeMap<IncidentId, Incident>,
    /// The newest incident that each flag opened.
    pub flags: BTreeMap<Flag, IncidentId>,
    /// Messages that are still to be delivered, one for each channel that wants them.
    pub outbox: BTreeMap<EffectId, Message>,
    /// Channels and documents that take nothing, by their names.
    pub delivery_troubles: BTreeMap<String, DeliveryTrouble>,
    /// The number of the next message.
    pub next_message: u64,
    /// The newest project that is known: it says whom to tell and how.
    pub project: Option<Project>,
    /// Machines known per app.
    pub known_machines: KnownMachines,
    /// What is known of the company's calendars.
    #[serde(default)]
    pub company_calendars: KnownCalendars,
    /// The release since whose rollback new ones are held, until somebody says `continue`.
    pub held_by: Option<ReleaseId>,
    /// Images that were rolled back, each with the release that did; one that was released since
    /// is not among them.
    pub suspects: BTreeMap<ImageDigest, ReleaseId>,
    /// How each service's version of before the next release did, as releases measured it.
    #[serde(default)]
    pub histories: BTreeMap<Environment, BTreeMap<ServiceName, History>>,
}

impl State {
    /// The release that is under way.
    pub fn active(&self) -> Option<&Release> {
        self.releases.values().next_back().filter(|release| release.ended.is_none())
    }

    pub(crate) fn active_mut(&mut self) -> Option<&mut Release> {
        self.releases.values_mut().next_back().filter(|release| release.ended.is_none())
    }

    /// The project that rules now: that of the release under way, or the newest that is known.
    pub fn project(&self) -> Option<&Project> {
        self.active().map(|release| &release.project).or(self.project.as_ref())
    }

    /// The id of the next release.
    pub fn next_release(&self) -> ReleaseId {
        ReleaseId(self.releases.keys().next_back().map_or(1, |last| last.0 + 1))
    }

    /// The id of the next incident.
    pub fn next_incident(&self) -> IncidentId {
        IncidentId(self.incidents.keys().next_back().map_or(1, |last| last.0 + 1))
    }

    /// The first open incident. It keeps production steps from starting.
    pub fn open_incident(&self) -> Option<(IncidentId, &Incident)> {
        let mut open = self.incidents.iter().filter(|(_, incident)| incident.closed.is_none());
        open.next().map(|(id, incident)| (*id, incident))
    }
}
