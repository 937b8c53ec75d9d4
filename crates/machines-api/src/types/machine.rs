//! A machine, the bodies that create, change and stop one, and its states.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::check::CheckStatus;
use super::duration::WireDuration;
use super::event::MachineEvent;
use super::lease::MachineLease;
use super::machine_config::MachineConfig;
use super::reading::{null_as_default, text_or_milliseconds};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// 14 or 15 lowercase hex characters.
    pub id: String,
    pub name: String,
    pub state: MachineState,
    pub region: String,
    /// The machine's version, a ULID; every update gives a new one.
    pub instance_id: String,
    /// The same as `instance_id`, as Fly's client reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    pub private_ip: String,
    pub image_ref: ImageRef,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<MachineConfig>,
    /// Stands instead of `config` when the machine's host can't be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete_config: Option<MachineConfig>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text_or_milliseconds")]
    pub created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text_or_milliseconds")]
    pub updated_at: Option<Timestamp>,
    /// Newest first.
    #[serde(deserialize_with = "null_as_default")]
    pub events: Vec<MachineEvent>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub checks: Vec<CheckStatus>,
    /// Given when the machine was created with a lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Given when asked with `include_leases`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<MachineLease>,
    /// `ok`, `unknown` or `unreachable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cordoned: Option<bool>,
}

#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum MachineState {
    #[default]
    Created,
    Creating,
    Started,
    Starting,
    Stopped,
    Stopping,
    Restarting,
    Suspended,
    Suspending,
    Updating,
    Replacing,
    Replaced,
    Migrated,
    Failed,
    LaunchFailed,
    Destroying,
    Destroyed,
    /// A word this crate doesn't know.
    #[serde(other)]
    Unknown,
}

impl MachineState {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Creating => "creating",
            Self::Started => "started",
            Self::Starting => "starting",
            Self::Stopped => "stopped",
            Self::Stopping => "stopping",
            Self::Restarting => "restarting",
            Self::Suspended => "suspended",
            Self::Suspending => "suspending",
            Self::Updating => "updating",
            Self::Replacing => "replacing",
            Self::Replaced => "replaced",
            Self::Migrated => "migrated",
            Self::Failed => "failed",
            Self::LaunchFailed => "launch_failed",
            Self::Destroying => "destroying",
            Self::Destroyed => "destroyed",
            Self::Unknown => "unknown",
        }
    }
}

impl std::fmt::Display for MachineState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The image of a machine, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageRef {
    pub registry: String,
    pub repository: String,
    pub tag: String,
    /// `sha256:…` of the manifest.
    pub digest: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub labels: BTreeMap<String, String>,
}

/// Body of `POST …/machines`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateMachine {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    pub config: MachineConfig,
    /// The reply carries the nonce of a lease of that length.
    #[serde(rename = "lease_ttl", skip_serializing_if = "Option::is_none")]
    pub lease_ttl_secs: Option<u64>,
    /// Create without starting.
    pub skip_launch: bool,
    /// Keep the machine from the proxy until it is uncordoned.
    pub skip_service_registration: bool,
    pub skip_secrets: bool,
    /// The lowest version of the app's secrets that the machine must see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_secrets_version: Option<u64>,
}

/// Body of `POST …/machines/{id}`: replaces the whole config.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateMachine {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    pub config: MachineConfig,
    /// The `instance_id` that the caller last saw; another one refuses the update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_version: Option<String>,
    #[serde(rename = "lease_ttl", skip_serializing_if = "Option::is_none")]
    pub lease_ttl_secs: Option<u64>,
    /// Store the new version without starting it.
    pub skip_launch: bool,
    pub skip_service_registration: bool,
    pub skip_secrets: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_secrets_version: Option<u64>,
}

/// Body of `POST …/stop`; both are the config's when absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StopMachine {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<WireDuration>,
}

/// Reply to `POST …/start`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StartReply {
    pub message: String,
    pub status: String,
    pub previous_state: MachineState,
    /// Whether the machine was moved to another host to be started, and to which.
    pub migrated: bool,
    pub new_host: String,
}

/// The reply of calls that have nothing to say: `{"ok": true}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OkReply {
    pub ok: bool,
}
