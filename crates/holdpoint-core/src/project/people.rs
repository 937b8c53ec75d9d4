//! The people whom a project knows and the roles in which they consent. It
//! authenticates nobody.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::reader::Table;

/// How many people a project may name.
const PEOPLE_LIMIT: usize = 256;

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

    pub(super) fn read_all(root: &mut Table<'_>) -> Vec<Self> {
        let errors = root.report.errors();
        let mut places = Vec::new();
        let people = root.tables("people", PEOPLE_LIMIT, |table| {
            let (name, place) = table.required_line("name", "\"ada\"");
            if name.contains(char::is_whitespace) {
                table.report.error(
                    &place,
                    format!("the name `{name}` has a space in it, so commands could not name this person"),
                    format!("write for example `{}`", name.split_whitespace().collect::<Vec<_>>().join("-")),
                );
            }
            let roles = table
                .require("roles", "[\"engineer\"]")
                .map(|value| value.words("role", &Role::ALL, Role::as_str))
                .unwrap_or_default();
            places.push(place);
            Self { name, roles }
        });
        let people = people.unwrap_or_default();
        if people.is_empty() && root.report.errors() == errors {
            root.report.absent(
                &(0..0),
                "the project names no people, so nobody could approve a release",
                "add a `[[people]]` table with `name` and `roles` for each person",
            );
        }
        root.report
            .distinct("people", people.iter().map(|person| person.name.as_str()).zip(&places));
        people
    }
}
