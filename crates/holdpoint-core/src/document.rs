//! What is written beside the reliability log: what was seen when an incident was opened, and
//! sections that Holdpoint keeps up to date inside a file that people write.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{AppName, IncidentId};

/// Something to be written. Paths are relative to the project's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Document {
    /// A folder of what was seen when an incident was opened.
    Diagnostics(Diagnostics),
    /// The text between the markers of a file.
    Section(Section),
}

/// What was seen when an incident was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostics {
    /// The incident.
    pub incident: IncidentId,
    /// Since when it is open: it tells incidents of two journals apart.
    pub opened_at: Timestamp,
    /// The folder.
    pub folder: String,
    /// Whether it is one of a rehearsal, of which nothing is kept beside the project.
    pub rehearsal: bool,
    /// Files of which the core knows the content, by their names.
    pub files: BTreeMap<String, String>,
    /// The apps whose machines and last log lines are to be looked at.
    pub apps: Vec<AppName>,
}

/// The text between the markers of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// The file.
    pub file: String,
    /// Whether it is one of a rehearsal.
    pub rehearsal: bool,
    /// The text, whole lines of Markdown.
    pub text: String,
    /// What stands before and after the section where the file is not there yet; without it a
    /// missing file is an error.
    pub around: Option<(String, String)>,
}

impl Document {
    /// Where it is written.
    pub fn path(&self) -> &str {
        match self {
            Self::Diagnostics(diagnostics) => &diagnostics.folder,
            Self::Section(section) => &section.file,
        }
    }
}
