//! `GET …/wait`: which states can be awaited, and the reply.

use serde::{Deserialize, Serialize};

use super::machine::MachineState;

/// A state that `wait` understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitState {
    #[default]
    Started,
    Stopped,
    Suspended,
    Destroyed,
    Failed,
    /// Any lasting state.
    Settled,
}

impl WaitState {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Suspended => "suspended",
            Self::Destroyed => "destroyed",
            Self::Failed => "failed",
            Self::Settled => "settled",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WaitReply {
    pub ok: bool,
    pub state: MachineState,
    /// The `instance_id` that reached the state.
    pub version: String,
    pub event_id: String,
}
