//! Sends approved replies.

use crate::Service;
use crate::approvals::Channel;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// A reply that is due.
#[derive(Debug, Clone)]
pub(crate) struct DueReply {
    pub(crate) number: i64,
    pub(crate) approval_id: String,
    pub(crate) channel: Channel,
    pub(crate) arguments: String,
    pub(crate) digest: String,
    pub(crate) approved_digest: Option<String>,
    pub(crate) version: i64,
    pub(crate) interrupted: bool,
    pub(crate) attempts: i64,
    pub(crate) approved_at_ms: i64,
}

/// A reply that was sent.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sent {
    #[serde(skip)]
    pub(crate) number: i64,
    pub(crate) approval_id: String,
    pub(crate) channel: String,
    pub(crate) arguments: Value,
    pub(crate) digest: String,
    pub(crate) receipt: Option<String>,
    pub(crate) sent_at: Option<String>,
}
/// Sender.
#[derive(Debug)]
pub(crate) struct Sender {
    service: Arc<Service>,
}
impl Sender {
    /// New.
    pub(crate) fn new(service: Arc<Service>) -> Result<Self, reqwest::Error> {
        Ok(Self { service })
    }
    /// Run.
    pub(crate) async fn run(self) {
        self.service.stopping.cancelled().await;
    }
}
