//! An open or closed problem, and what was done about it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{Environment, ReleaseId};
use crate::notice::{Fact, Milestone};
use crate::project::Role;
use crate::severity::Severity;

/// The most entries that are kept of what was done; later ones are in the journal alone.
const ENTRIES_MAX: usize = 200;

/// An open or closed problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// What is wrong.
    pub title: String,
    /// How bad it is.
    pub severity: Severity,
    /// Where.
    pub environment: Environment,
    /// The numbers of the moment in which it was opened.
    pub facts: Vec<Fact>,
    /// The release during which it was opened.
    pub release: Option<ReleaseId>,
    /// Who opened it; `None` when the engine did.
    pub opened_by: Option<String>,
    /// Since when.
    pub opened_at: Timestamp,
    /// When and by whom it was taken on.
    pub acknowledged: Option<(Timestamp, String)>,
    /// The roles that were called.
    pub called: Vec<Role>,
    /// What of its life people were told.
    pub told: Vec<Milestone>,
    /// What was said and done, in its order.
    pub entries: Vec<IncidentEntry>,
    /// When, by whom and with what result it was closed.
    pub closed: Option<Closed>,
}

/// Something that was said or done about an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentEntry {
    /// When.
    pub at: Timestamp,
    /// What.
    pub text: String,
}

/// The end of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// What was found and done.
    pub resolution: String,
}

impl Incident {
    /// An incident that was just opened, during no release.
    pub fn new(title: String, opened_at: Timestamp) -> Self {
        Self {
            title,
            severity: Severity::default(),
            environment: Environment::Production,
            facts: Vec::new(),
            release: None,
            opened_by: None,
            opened_at,
            acknowledged: None,
            called: Vec::new(),
            told: Vec::new(),
            entries: Vec::new(),
            closed: None,
        }
    }

    /// Notes what was said or done.
    pub(crate) fn note(&mut self, at: Timestamp, text: String) {
        if self.entries.len() < ENTRIES_MAX {
            self.entries.push(IncidentEntry { at, text });
        }
    }
}
