//! The identifiers that records, plans and effects carry. They hold no behaviour beyond their
//! spelling.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Defines a newtype over `String` that is ordered, printable and serialised as the bare string.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(String);

        impl $name {
            /// Wraps the text as it is.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// The name of a service, as `holdpoint.toml` spells it.
    ServiceName
}
text_id! {
    /// The name of an app on the platform: one per service and environment.
    AppName
}
text_id! {
    /// A machine's id on the platform.
    MachineId
}
text_id! {
    /// One version of one machine; every update of a machine gives a new one.
    InstanceId
}
text_id! {
    /// The digest of an image's manifest, `sha256:…`.
    ImageDigest
}
text_id! {
    /// The digest of a whole plan, `sha256:…`. Approvals name it.
    PlanDigest
}

impl PlanDigest {
    /// The first twelve hexadecimal digits: enough for a person to tell two plans apart.
    pub fn short(&self) -> &str {
        let hex = self.0.strip_prefix("sha256:").unwrap_or(&self.0);
        hex.get(..12).unwrap_or(hex)
    }
}

impl ImageDigest {
    /// The first twelve hexadecimal digits, for display.
    pub fn short(&self) -> &str {
        let hex = self.0.strip_prefix("sha256:").unwrap_or(&self.0);
        hex.get(..12).unwrap_or(hex)
    }
}

/// The number of a release within its project, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReleaseId(pub u64);

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "release-{}", self.0)
    }
}

/// The number of an incident within its project, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IncidentId(pub u64);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "INC-{}", self.0)
    }
}

/// Where a service runs. Staging always comes first (the runbook, phase 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// The rehearsal room: no windows, no approvals.
    Staging,
    /// What customers meet.
    Production,
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Staging => "staging",
            Self::Production => "production",
        })
    }
}

/// Which of a release's two plans is meant: the way forward, or the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Course {
    /// Towards the new version.
    Forward,
    /// Back to the version before (a rollback).
    Back,
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward",
            Self::Back => "back",
        })
    }
}

/// The place of one machine in a project: it exists before the machine does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// The environment of the machine.
    pub environment: Environment,
    /// The service that it runs.
    pub service: ServiceName,
    /// Its number among the machines of that service there, from 0.
    pub index: u32,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.environment, self.service, self.index)
    }
}

/// What is being done to one machine. The order of a change is the order of the variants that
/// apply to it (see [`crate::plan::MachineAction`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MachinePhase {
    /// Take the machine's lease, so that nobody else acts on it.
    Lease,
    /// Take the machine out of the proxy's rotation.
    Cordon,
    /// Create the machine, outside the rotation.
    Create,
    /// Give the machine its new image and config.
    Update,
    /// Stop the machine.
    Stop,
    /// Wait until it is started and its checks pass.
    Health,
    /// Put the machine into the proxy's rotation.
    Uncordon,
    /// Give the lease back.
    Release,
    /// Nothing is left to do.
    Done,
}

impl fmt::Display for MachinePhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lease => "lease",
            Self::Cordon => "cordon",
            Self::Create => "create",
            Self::Update => "update",
            Self::Stop => "stop",
            Self::Health => "health",
            Self::Uncordon => "uncordon",
            Self::Release => "release",
            Self::Done => "done",
        })
    }
}

/// The derived id of an effect. It is the same whenever the same state calls for the same effect,
/// the outside world stores its text (machine metadata, idempotency header), and an outcome of
/// unknown fate is resolved by looking for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EffectId {
    /// An effect of a whole step: pre-flight, smoke, secrets.
    Step {
        /// The release.
        release: ReleaseId,
        /// Which of its plans.
        course: Course,
        /// The step's number in that plan.
        step: usize,
        /// 1 at first; one more after each failure.
        attempt: u32,
    },
    /// An effect on one machine.
    Machine {
        /// The release.
        release: ReleaseId,
        /// Which of its plans.
        course: Course,
        /// The step's number in that plan.
        step: usize,
        /// The machine's place.
        slot: Slot,
        /// What is done to it.
        phase: MachinePhase,
        /// 1 at first; one more after each failure.
        attempt: u32,
    },
    /// A line for a document.
    Message {
        /// The message's number within the journal.
        number: u64,
    },
    /// A message to people, on one channel.
    Delivery {
        /// The message's number within the journal.
        number: u64,
        /// The channel's name.
        channel: String,
    },
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { release, course, step, attempt } => {
                write!(f, "{release}/{course}/{step}/{attempt}")
            }
            Self::Machine { release, course, step, slot, phase, attempt } => {
                write!(f, "{release}/{course}/{step}/{slot}/{phase}/{attempt}")
            }
            Self::Message { number } => write!(f, "message-{number}"),
            Self::Delivery { number, channel } => write!(f, "message-{number}/{channel}"),
        }
    }
}
