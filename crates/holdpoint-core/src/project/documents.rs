//! The files that a release or an incident is written down in, beside the reliability log.

use serde::{Deserialize, Serialize};

use super::reader::{Table, Value};

/// Files and folders, relative to the project's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Documents {
    /// The deployment runbook, which gets a section on the newest release.
    pub runbook: Option<String>,
    /// The monitoring runbook, which gets a section on baselines and thresholds.
    pub monitoring_runbook: Option<String>,
    /// The folder of incidents: reports, and what was seen when each was opened.
    pub incidents: String,
}

impl Documents {
    pub(super) fn read(root: &mut Table<'_>) -> Self {
        let mut documents = Self::default();
        root.table("documents", |table| {
            documents.runbook = table.take("runbook").and_then(|value| read_path(&value));
            let monitoring = table.take("monitoring_runbook");
            documents.monitoring_runbook = monitoring.and_then(|value| read_path(&value));
            if let Some(folder) = table.take("incidents").and_then(|value| read_path(&value)) {
                documents.incidents = folder;
            }
        });
        documents
    }
}

impl Default for Documents {
    fn default() -> Self {
        Self {
            runbook: None,
            monitoring_runbook: None,
            incidents: "artifacts/incidents".to_owned(),
        }
    }
}

/// What is written stays below the project.
fn read_path(value: &Value<'_>) -> Option<String> {
    let path = value.line()?;
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        value.refuse(
            format!("is `{path}`, which leads out of the project's folder"),
            "write a path below the folder of `holdpoint.toml`",
        );
        return None;
    }
    Some(path)
}
