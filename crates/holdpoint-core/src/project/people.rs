//! The people whom a project knows and the roles in which they consent. It
//! authenticates nobody.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A capacity in which a person approves, overrides or is called (the runbook's "Escalation").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Answers for the code.
    Engineer,
    /// Answers for the decision to go to production.
    Manager,
    /// Answers for the running system; first to be called.
    Reliability,
}

impl Role {
    /// Every role, in the order in which messages list them.
    pub const ALL: [Self; 3] = [Self::Engineer, Self::Manager, Self::Reliability];

    /// The word used in files, commands and texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Engineer => "engineer",
            Self::Manager => "manager",
            Self::Reliability => "reliability",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// A word that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role\nhint: use `engineer`, `manager` or `reliability`")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// Somebody who may author, approve or own something in this project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The name by which commands and records know them; unique in the project.
    pub name: String,
    /// Never empty, without duplicates, in the file's order.
    pub roles: Vec<Role>,
}

impl Person {
    /// Whether they may act in this role.
    pub fn has_role(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}
