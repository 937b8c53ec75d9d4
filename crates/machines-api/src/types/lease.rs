//! Leases: for a while, only the holder of the nonce may change a machine.

use serde::{Deserialize, Serialize};

/// Body of `POST …/lease`; Fly's client sends `ttl` as a query instead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AcquireLease {
    #[serde(rename = "ttl", skip_serializing_if = "Option::is_none")]
    pub ttl_secs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lease {
    pub nonce: String,
    /// Seconds since the epoch.
    pub expires_at: i64,
    pub owner: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The machine's `instance_id` when the lease was taken: tells the holder
    /// whether its copy is stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The reply of every lease call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeaseEnvelope {
    /// `success` or `error`.
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Lease>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl LeaseEnvelope {
    pub fn success(lease: Lease) -> Self {
        Self { status: "success".to_owned(), data: Some(lease), message: None }
    }
}

/// A lease as a machine shows it: without the nonce.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineLease {
    pub owner: String,
    /// Seconds since the epoch.
    pub expires_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
