//! A volume: a disk of an app that one machine at a time mounts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::reading::text_or_milliseconds;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// `vol_` and 17 characters.
    pub id: String,
    pub name: String,
    /// `created`, or one of the words for a volume on its way out.
    pub state: String,
    pub size_gb: u64,
    pub region: String,
    pub zone: String,
    pub encrypted: bool,
    pub attached_machine_id: Option<String>,
    #[serde(deserialize_with = "text_or_milliseconds")]
    pub created_at: Option<Timestamp>,
    pub fstype: String,
    /// Days.
    pub snapshot_retention: u64,
    pub auto_backup_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_used: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<u64>,
    /// `ok`, `unknown` or `unreachable`.
    pub host_status: String,
}

impl Volume {
    /// Whether Fly's client would still show it.
    pub fn is_there(&self) -> bool {
        !matches!(
            self.state.as_str(),
            "scheduling_destroy"
                | "fork_cleanup"
                | "waiting_for_detach"
                | "pending_destroy"
                | "destroying"
                | "destroyed"
        )
    }
}

/// Body of `POST …/volumes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateVolume {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_gb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fstype: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_retention: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_backup_enabled: Option<bool>,
}

/// Body of `PUT …/volumes/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateVolume {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_retention: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_backup_enabled: Option<bool>,
}

/// Body of `PUT …/volumes/{id}/extend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendVolume {
    pub size_gb: u64,
}

/// Reply to `PUT …/volumes/{id}/extend`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExtendReply {
    pub volume: Volume,
    pub needs_restart: bool,
}
