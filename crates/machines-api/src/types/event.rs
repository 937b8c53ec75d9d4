//! What happened to a machine, newest first, as `GET …/events` tells it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reading::text_or_milliseconds;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineEvent {
    pub id: String,
    /// `launch`, `start`, `update`, `stop`, `exit`, `restart`, `destroy`, ….
    #[serde(rename = "type")]
    pub event_type: String,
    /// The state that the event led to.
    pub status: String,
    /// `user`, `flyd` or `proxy`.
    pub source: String,
    #[serde(rename = "timestamp")]
    pub timestamp_ms: i64,
    /// Always filled for an `exit`: Fly's client reads it unasked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<EventRequest>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_event: Option<ExitEvent>,
    #[serde(rename = "MonitorEvent", skip_serializing_if = "Option::is_none")]
    pub monitor_event: Option<MonitorEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_count: Option<u64>,
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MonitorEvent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_event: Option<ExitEvent>,
}

/// How a machine's process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExitEvent {
    pub exit_code: i32,
    pub guest_exit_code: i32,
    pub guest_signal: i32,
    pub signal: i32,
    pub oom_killed: bool,
    pub requested_stop: bool,
    pub restarting: bool,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text_or_milliseconds")]
    pub exited_at: Option<Timestamp>,
}

impl MachineEvent {
    /// How the process ended, if this event is about that; the monitor's word
    /// goes first, as in Fly's client.
    pub fn exit_event(&self) -> Option<&ExitEvent> {
        let request = self.request.as_ref()?;
        request
            .monitor_event
            .as_ref()
            .and_then(|monitor| monitor.exit_event.as_ref())
            .or(request.exit_event.as_ref())
    }
}
