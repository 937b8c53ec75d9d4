//! The JSON interface of a running conductor, on a Unix socket in the state directory: `POST
//! /commands`, `GET /status`, `GET /plan`, `GET /timeline`. Who may open the socket's file may
//! use it; it is the user's own.

pub mod client;
mod server;

use holdpoint_core::command::{Actor, Command};
use serde::{Deserialize, Serialize};

pub use server::{ServeError, Server};

/// The body of `POST /commands`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandRequest {
    /// Who asks.
    pub actor: Actor,
    /// For what.
    pub command: Command,
}

/// The answer to a command that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The number of the journal's newest record.
    pub record: u64,
}

/// The answer to anything that was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub error: String,
    /// What would be accepted.
    pub hint: Option<String>,
}
