//! What an organization has: its machines and volumes over all apps, page by page.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::machine::MachineState;
use super::machine_config::Guest;
use super::reading::{null_as_default, text_or_milliseconds};
use super::volume::Volume;

/// Reply to `GET /v1/orgs/{slug}/machines`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrgMachines {
    /// Oldest change first.
    #[serde(deserialize_with = "null_as_default")]
    pub machines: Vec<OrgMachine>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_machine_id: String,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text_or_milliseconds")]
    pub last_updated_at: Option<Timestamp>,
    /// Empty when there is no more.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next_cursor: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrgMachine {
    pub app_name: String,
    pub id: String,
    pub name: String,
    pub state: MachineState,
    pub region: String,
    pub version: String,
    pub private_ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<OverviewConfig>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text_or_milliseconds")]
    pub created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text_or_milliseconds")]
    pub updated_at: Option<Timestamp>,
}

/// The part of a config that an overview shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OverviewConfig {
    pub image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<Guest>,
    #[serde(deserialize_with = "null_as_default")]
    pub metadata: BTreeMap<String, String>,
}

/// Reply to `GET /v1/orgs/{slug}/volumes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrgVolumes {
    #[serde(deserialize_with = "null_as_default")]
    pub volumes: Vec<OrgVolume>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last_volume_id: String,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text_or_milliseconds")]
    pub last_updated_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next_cursor: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrgVolume {
    pub app_name: String,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text_or_milliseconds")]
    pub updated_at: Option<Timestamp>,
    #[serde(flatten)]
    pub volume: Volume,
}
