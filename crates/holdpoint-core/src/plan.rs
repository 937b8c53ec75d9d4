//! The runbook made concrete for one release: immutable, complete and content-addressed.
//!
//! A plan leaves no choice to whoever carries it out: which machines, in which waves, which image
//! and config, which waits. It says nothing about how far it has got (see [`crate::state`]).

use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical;
use crate::id::{
    AppName, Course, EffectId, Environment, ImageDigest, InstanceId, MachineId, MachinePhase,
    PlanDigest, ReleaseId, ServiceName, Slot,
};
use crate::project::Role;

/// All steps of one release, in one direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The release.
    pub release: ReleaseId,
    /// Which way it leads.
    pub course: Course,
    /// The version that the release is about.
    pub version: Version,
    /// The plan that this one follows: a way back names the way forward that it undoes.
    pub parent: Option<PlanDigest>,
    /// By how much longer than the clock says the platform takes: 1, or the speed of a rehearsal.
    pub pace: u32,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The digest of everything in the plan.
    pub fn digest(&self) -> PlanDigest {
        PlanDigest::new(canonical::digest(self))
    }

    /// The images that the plan deploys, per service and environment.
    pub fn images(&self) -> Vec<(Environment, ServiceName, ImageDigest)> {
        self.steps
            .iter()
            .filter_map(|step| step.kind.rollout())
            .map(|one| (one.environment, one.service.clone(), one.image_digest.clone()))
            .collect()
    }
}

/// One named part of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// A short name that is unique within the plan, such as `production rollout of rag`.
    pub name: String,
    /// What it does.
    pub kind: StepKind,
}

/// The kinds of step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StepKind {
    /// Check what must hold before anything is touched.
    Preflight,
    /// Carry an image and config to the machines of one service in one environment.
    Rollout(Rollout),
    /// Ask the service's smoke checks.
    Smoke {
        /// The service.
        service: ServiceName,
        /// Where.
        environment: Environment,
        /// Its app.
        app: AppName,
    },
    /// Wait for as long as every gate must hold without a break.
    Soak(Soak),
    /// Hold until the roles have consented to this very plan.
    Approval {
        /// The roles, one approval each.
        roles: Vec<Role>,
        /// How long an approval counts.
        expires_after_secs: u64,
    },
    /// Hold until a production window is open and nothing freezes it; announce the start ahead.
    Window {
        /// How long before the start it is announced.
        announce_before_secs: u64,
    },
    /// Put an app's secrets back.
    RestoreSecrets {
        /// Its app.
        app: AppName,
        /// The version whose values shall hold again.
        version: u64,
    },
}

impl StepKind {
    /// The rollout, if it is one.
    pub fn rollout(&self) -> Option<&Rollout> {
        if let Self::Rollout(rollout) = self { Some(rollout) } else { None }
    }
}

/// A soak: the time for which every gate must hold; losing one restarts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Soak {
    /// Where.
    pub environment: Environment,
    /// Why.
    pub purpose: SoakPurpose,
    /// For how long, by the release's clock.
    pub duration_secs: u64,
}

/// What a soak is for; each is in the runbook under its own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SoakPurpose {
    /// Staging must be stable before production (phase 1, step 8).
    Soak,
    /// Production settles after its rollout (phase 2, step 5).
    Settle,
    /// Production is validated (phase 3).
    Validate,
    /// The previous version is watched after a rollback (rollback step 5).
    Watch,
}

/// Carrying one image to the machines of one service in one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// The service.
    pub service: ServiceName,
    /// Where.
    pub environment: Environment,
    /// Its app.
    pub app: AppName,
    /// The image that its machines will run.
    pub image_digest: ImageDigest,
    /// The lowest version of the app's secrets that the machines must see.
    pub secrets_version: Option<u64>,
    /// How long a machine may take to become healthy, in real seconds.
    pub health_within_secs: u64,
    /// Machines changed together, wave by wave.
    pub waves: Vec<Wave>,
}

/// Machines that are changed together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wave {
    /// The changes, one per machine.
    pub changes: Vec<MachineChange>,
}

/// What happens to one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineChange {
    /// The machine's place.
    pub slot: Slot,
    /// The change.
    pub action: MachineAction,
}

/// The kinds of change to a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MachineAction {
    /// Make a machine that is not there yet.
    Create {
        /// Its name.
        name: String,
        /// Where.
        region: String,
        /// Its whole config, image included.
        config: Value,
    },
    /// Give a machine another config.
    Update {
        /// The machine.
        machine: MachineId,
        /// The version that it must still have when its lease is taken; `None` on the way back,
        /// where whatever it has become is replaced.
        expected_instance: Option<InstanceId>,
        /// Its whole config before: what a rollback puts back.
        previous_config: Value,
        /// The image that ran before, where known.
        previous_image: Option<ImageDigest>,
        /// Its whole config after, image included.
        config: Value,
        /// A lease of ours that may still be held on it.
        supersedes_lease: Option<String>,
    },
    /// Take a machine that the way forward made out of service again.
    Retire {
        /// The machine, where its id is known.
        machine: Option<MachineId>,
        /// The effect that may have made it.
        created_by: EffectId,
    },
    /// Take a machine out of service again that ran no released version before the way forward:
    /// an earlier way back had stopped it, or had not found it.
    Withdraw {
        /// The machine.
        machine: MachineId,
        /// A lease of ours that may still be held on it.
        supersedes_lease: Option<String>,
    },
}

impl MachineAction {
    /// The phases of this change, in order.
    pub fn phases(&self) -> &'static [MachinePhase] {
        match self {
            Self::Create { .. } => &[
                MachinePhase::Create,
                MachinePhase::Health,
                MachinePhase::Uncordon,
                MachinePhase::Done,
            ],
            Self::Update { .. } => &[
                MachinePhase::Lease,
                MachinePhase::Cordon,
                MachinePhase::Update,
                MachinePhase::Health,
                MachinePhase::Uncordon,
                MachinePhase::Release,
                MachinePhase::Done,
            ],
            Self::Retire { .. } => &[MachinePhase::Stop, MachinePhase::Done],
            // the lease keeps earlier calls from being heard; stopping works without one
            Self::Withdraw { .. } => &[
                MachinePhase::Lease,
                MachinePhase::Cordon,
                MachinePhase::Release,
                MachinePhase::Stop,
                MachinePhase::Done,
            ],
        }
    }

    /// The phase with which this change begins.
    pub fn first_phase(&self) -> MachinePhase {
        self.phases().first().copied().unwrap_or(MachinePhase::Done)
    }

    /// The phase after `phase`.
    pub fn phase_after(&self, phase: MachinePhase) -> MachinePhase {
        let phases = self.phases();
        let next = phases.iter().position(|each| *each == phase).map(|index| index + 1);
        next.and_then(|index| phases.get(index)).copied().unwrap_or(MachinePhase::Done)
    }
}
