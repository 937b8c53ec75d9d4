//! What a release waits for, in words that `status` prints.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::project::Role;

/// Why the engine waits. Every wait names a time, a person or a thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitReason {
    /// An effect is under way or will be tried again.
    Effect {
        /// What is being done.
        what: String,
    },
    /// A soak ends.
    SoakEnds {
        /// Its step's name.
        step: String,
    },
    /// The gates have to hold before a soak's count can begin.
    Gates {
        /// What the first gate that does not hold says.
        finding: String,
    },
    /// Signals become too old to rely on.
    Signals,
    /// A gate is about to be breached.
    Breach {
        /// What it says.
        finding: String,
    },
    /// People must consent.
    Approvals {
        /// In these roles.
        roles: Vec<Role>,
    },
    /// An approval's time runs out.
    ApprovalExpires,
    /// A window must open.
    Window {
        /// Why it is closed.
        reasons: Vec<String>,
        /// When it opens; `None` when no window opens within a year.
        opens_at: Option<Timestamp>,
    },
    /// An announced start is due.
    AnnouncedStart,
    /// An incident must be closed.
    Incident {
        /// Its title.
        title: String,
    },
    /// Somebody must say `continue`.
    Halted {
        /// Who halted it; `None` when the engine did.
        by: Option<String>,
        /// Why.
        reason: String,
    },
    /// People are told how it goes.
    Update,
    /// An incident that nobody has acknowledged calls somebody.
    Escalation {
        /// In which role.
        role: Role,
    },
    /// A message is tried again.
    Message,
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Effect { what } => write!(f, "{what}"),
            Self::SoakEnds { step } => write!(f, "{step} to end"),
            Self::Gates { finding } => write!(f, "the gates to hold: {finding}"),
            Self::Signals => write!(f, "fresh signals"),
            Self::Breach { finding } => write!(f, "a gate that is close to a breach: {finding}"),
            Self::Approvals { roles } => {
                let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
                write!(f, "approval by {}", roles.join(" and "))
            }
            Self::ApprovalExpires => write!(f, "an approval to expire"),
            Self::Window { reasons, .. } => {
                write!(f, "a production window: {}", reasons.join("; "))
            }
            Self::AnnouncedStart => write!(f, "the announced start"),
            Self::Incident { title } => write!(f, "an incident to be closed: {title}"),
            Self::Halted { by: Some(by), reason } => {
                write!(f, "`holdpoint continue`: halted by {by}: {reason}")
            }
            Self::Halted { by: None, reason } => write!(f, "`holdpoint continue`: {reason}"),
            Self::Update => write!(f, "the next regular update"),
            Self::Escalation { role } => write!(f, "an incident to call {role}"),
            Self::Message => write!(f, "a message to be delivered"),
        }
    }
}
