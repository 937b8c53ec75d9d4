//! How far the carrying out of one plan has got.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Attempt, End};
use crate::id::{
    EffectId, Environment, InstanceId, MachineId, MachinePhase, PlanDigest, ServiceName, Slot,
};
use crate::plan::{MachineChange, Plan, Rollout};

/// The carrying out of one plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The plan.
    pub plan: Plan,
    /// Its digest.
    pub digest: PlanDigest,
    /// The number of the step under way.
    pub current: Option<usize>,
    /// How far that step has got.
    pub progress: Progress,
    /// Every machine that was begun.
    pub machines: BTreeMap<Slot, MachineProgress>,
    /// When each step began and ended.
    pub times: BTreeMap<usize, StepTimes>,
}

/// When a step began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTimes {
    /// When it began.
    pub started_at: Timestamp,
    /// When it was complete.
    pub passed_at: Option<Timestamp>,
}

/// How far a step has got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// It rests on one effect.
    Single(Attempt),
    /// It changes machines; the number of the wave under way.
    Rollout {
        /// The wave, once one has begun.
        wave: Option<usize>,
    },
    /// It soaks.
    Soak {
        /// Since when every gate has held.
        good_since: Option<Timestamp>,
        /// How often that was lost.
        interruptions: u32,
    },
    /// It waits for people or time, or no step is under way.
    Waiting,
}

/// How far the change of one machine has got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineProgress {
    /// The step that changes it.
    pub step: usize,
    /// What is being done.
    pub phase: MachinePhase,
    /// How that goes.
    pub attempt: Attempt,
    /// The number of the first attempt at each phase: more than 1 once the whole change was begun
    /// anew, so that its effects have ids of their own.
    pub first_attempt: u32,
    /// Where to go on once a lost lease was taken again.
    pub after_lease: Option<MachinePhase>,
    /// The machine, once its id is known.
    pub machine: Option<MachineId>,
    /// Its newest version that we know of.
    pub instance: Option<InstanceId>,
    /// Our lease on it.
    pub lease: Option<String>,
    /// Whether we ever had one: from then on it may have been taken out of the rotation.
    pub was_leased: bool,
    /// Whether its update was asked for: from then on a change of its version may be ours.
    pub update_asked: bool,
    /// The effect that makes it, once that was asked for.
    pub created_by: Option<EffectId>,
    /// When it got its new config and image.
    #[serde(default)]
    pub changed_at: Option<Timestamp>,
}

impl Run {
    /// The beginning of carrying out a plan.
    pub fn new(plan: Plan) -> Self {
        Self {
            digest: plan.digest(),
            plan,
            current: None,
            progress: Progress::Waiting,
            machines: BTreeMap::new(),
            times: BTreeMap::new(),
        }
    }

    /// The rollout of a step, if it is one.
    pub fn rollout(&self, step: usize) -> Option<&Rollout> {
        self.plan.steps.get(step)?.kind.rollout()
    }

    /// The change of a machine, from the step that makes it.
    pub fn change(&self, step: usize, slot: &Slot) -> Option<&MachineChange> {
        let mut changes = self.rollout(step)?.waves.iter().flat_map(|wave| &wave.changes);
        changes.find(|change| change.slot == *slot)
    }

    /// Whether any machine of an environment was begun.
    pub fn touched(&self, environment: Environment) -> bool {
        self.machines.keys().any(|slot| slot.environment == environment)
    }

    /// How many machines of a service in an environment were asked to become others. One whose
    /// lease is only waited for is as it was.
    pub fn changed(&self, environment: Environment, service: &ServiceName) -> usize {
        let machines = self.machines.iter().filter(|(slot, machine)| {
            slot.environment == environment
                && slot.service == *service
                && (machine.update_asked || machine.created_by.is_some())
        });
        machines.count()
    }

    /// Whether a machine is in the middle of its change.
    pub fn is_changing(&self) -> bool {
        self.machines
            .values()
            .any(|machine| machine.phase != MachinePhase::Done && machine.attempt.end.is_none())
    }

    /// The first machine whose change ended without being done.
    pub fn stuck_machine(&self) -> Option<(&Slot, &End)> {
        self.machines.iter().find_map(|(slot, machine)| match &machine.attempt.end {
            Some(end @ (End::Failed(_) | End::Blocked(_))) => Some((slot, end)),
            Some(End::Done) | None => None,
        })
    }
}
