//! When an incident calls whom (the runbook's "Escalation").

use serde::{Deserialize, Serialize};

use super::people::{Person, Role};
use super::reader::Table;

/// How long after its opening an incident that nobody has acknowledged calls each role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "each says what it counts, its unit last")]
pub struct Escalation {
    /// "Reliability Team (immediate)".
    pub reliability_after_secs: u64,
    /// "Engineer (within 5 minutes)".
    pub engineer_after_secs: u64,
    /// "Manager (within 15 minutes)".
    pub manager_after_secs: u64,
}

impl Escalation {
    /// Every role with its time, the first to be called first.
    pub fn calls(&self) -> [(Role, u64); 3] {
        let mut calls = [
            (Role::Reliability, self.reliability_after_secs),
            (Role::Engineer, self.engineer_after_secs),
            (Role::Manager, self.manager_after_secs),
        ];
        calls.sort_by_key(|(_, after_secs)| *after_secs);
        calls
    }

    pub(super) fn read(root: &mut Table<'_>) -> Self {
        let mut escalation = Self::default();
        root.table("escalation", |table| {
            table.secs("reliability_after", 0, &mut escalation.reliability_after_secs);
            table.secs("engineer_after", 0, &mut escalation.engineer_after_secs);
            table.secs("manager_after", 0, &mut escalation.manager_after_secs);
        });
        escalation
    }
}

impl Default for Escalation {
    fn default() -> Self {
        Self { reliability_after_secs: 0, engineer_after_secs: 5 * 60, manager_after_secs: 15 * 60 }
    }
}

/// The names of everybody of a role, for a message that calls them.
pub fn names_of(people: &[Person], role: Role) -> String {
    let names: Vec<&str> = people
        .iter()
        .filter(|person| person.has_role(role))
        .map(|person| person.name.as_str())
        .collect();
    if names.is_empty() { "nobody has this role".to_owned() } else { names.join(", ") }
}
