//! The public addresses of an app.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::reading::{null_as_default, text_or_milliseconds};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpAssignment {
    pub ip: String,
    pub region: String,
    #[serde(deserialize_with = "null_as_default")]
    pub service_name: String,
    pub shared: bool,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text_or_milliseconds")]
    pub created_at: Option<Timestamp>,
}

/// Reply to `GET …/ip_assignments`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpAssignments {
    #[serde(deserialize_with = "null_as_default")]
    pub ips: Vec<IpAssignment>,
}

/// Body of `POST …/ip_assignments`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AssignIp {
    /// `v4`, `v6`, `shared_v4` or `private_v6`.
    #[serde(rename = "type")]
    pub ip_type: String,
    #[serde(deserialize_with = "null_as_default")]
    pub region: String,
    #[serde(deserialize_with = "null_as_default")]
    pub service_name: String,
}
