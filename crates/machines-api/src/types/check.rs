//! Health checks: how one is configured, and what it last said.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::duration::WireDuration;
use super::reading::null_as_default;

/// A check of a service or, with a name of its own, of the whole machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
pub struct Check {
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub check_type: Option<CheckType>,
    /// The service's `internal_port` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<WireDuration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<WireDuration>,
    /// How long after the start a failure doesn't count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period: Option<WireDuration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `http` or `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_skip_verify: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub headers: Vec<CheckHeader>,
    /// `informational` (when absent) or `readiness`; only for checks of a machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Fields this crate doesn't know, kept as they came.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckType {
    Http,
    Tcp,
    #[serde(untagged)]
    Other(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckHeader {
    pub name: String,
    #[serde(deserialize_with = "null_as_default")]
    pub values: Vec<String>,
}

/// The last word of one check. The name of a service check starts with
/// `servicecheck-`, for example `servicecheck-00-http-8080`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckStatus {
    pub name: String,
    pub status: CheckHealth,
    pub output: String,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::reading::text_or_milliseconds"
    )]
    pub updated_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckHealth {
    Passing,
    Warning,
    #[default]
    Critical,
    /// A word this crate doesn't know; never counts as passing.
    #[serde(other)]
    Unknown,
}
