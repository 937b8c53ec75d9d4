//! A program run inside a machine, and the processes that run there.

use serde::{Deserialize, Serialize};

use super::reading::null_as_default;

/// Body of `POST …/exec`. Fly's documents say `command`, its client `cmd`: one line, split as a
/// shell would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecMachine {
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    pub cmd: String,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub command: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// The program is killed after this.
    #[serde(rename = "timeout", skip_serializing_if = "Option::is_none")]
    pub timeout_secs: Option<u64>,
}

/// Reply to `POST …/exec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecReply {
    pub exit_code: i32,
    /// The signal that ended the program; 0 without one.
    pub exit_signal: i32,
    pub stdout: String,
    pub stderr: String,
}

/// One process of a machine, as `GET …/ps` lists them. Fly documents no units: the times are
/// milliseconds here, `rss` is bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessStat {
    pub pid: i32,
    /// Time that the kernel worked for it.
    pub stime: u64,
    /// Time since its start.
    pub rtime: u64,
    pub command: String,
    pub directory: String,
    /// Time that it worked, in the kernel and out of it.
    pub cpu: u64,
    pub rss: u64,
    #[serde(deserialize_with = "null_as_default")]
    pub listen_sockets: Vec<ListenSocket>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenSocket {
    /// `tcp`, `tcp6`, ….
    pub proto: String,
    /// Address and port.
    pub address: String,
}
