//! What the planner left out of a plan, and why. It is shown with the plan: a plan whose
//! omissions nobody can read can't be approved.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{AppName, Environment, MachineId, ServiceName};

/// Everything that a plan leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
pub struct Report {
    /// One entry per thing left out.
    pub left_out: Vec<LeftOut>,
}

/// One thing that the plan leaves as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeftOut {
    /// The machine already runs this image with this config.
    AlreadyThere {
        /// The machine.
        machine: MachineId,
        /// Its app.
        app: AppName,
    },
    /// The machine is going away by itself.
    GoingAway {
        /// The machine.
        machine: MachineId,
        /// The platform's word for its state.
        state: String,
    },
    /// There are more machines than the project wants; a release scales nothing down.
    MoreThanWanted {
        /// The app.
        app: AppName,
        /// How many there are.
        found: usize,
        /// How many are wanted.
        wanted: u32,
    },
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyThere { machine, app } => {
                write!(f, "machine {machine} of {app} already runs this image and config")
            }
            Self::GoingAway { machine, state } => write!(f, "machine {machine} is {state}"),
            Self::MoreThanWanted { app, found, wanted } => {
                write!(f, "{app} has {found} machines and wants {wanted}; all are updated")
            }
        }
    }
}

/// Why no plan can be made at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// Nothing is known of a service in an environment.
    #[error("nothing is known of {service} in {environment}")]
    NoFacts {
        /// The service.
        service: ServiceName,
        /// The environment.
        environment: Environment,
    },
    /// The platform shows no machines where some are known to be. That is a fault of its answer,
    /// not a first deployment.
    #[error("the platform shows no machines of {app}, where {known} are known")]
    EmptyAnswer {
        /// The app.
        app: AppName,
        /// How many are known.
        known: usize,
    },
    /// Staging and production would run different images.
    #[error("{service} would run another image in production than in staging")]
    ImagesDiffer {
        /// The service.
        service: ServiceName,
    },
    /// An image is named by something else than a digest.
    #[error("the image of {service} is `{image}`, which is no digest")]
    NoDigest {
        /// The service.
        service: ServiceName,
        /// What was given.
        image: String,
    },
    /// No machine is wanted.
    #[error("{service} wants no machines in {environment}")]
    NoMachines {
        /// The service.
        service: ServiceName,
        /// The environment.
        environment: Environment,
    },
}
