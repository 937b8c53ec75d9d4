//! A service of the project: how it is built, where it runs, how it is
//! questioned. It names files and never opens one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A program that is released together with the project's other services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Unique in the project.
    pub name: String,
    /// Services of this project that are rolled out before this one.
    pub after: Vec<String>,
    /// Names of secrets that must be set in an environment before a rollout into it.
    pub required_secrets: Vec<String>,
    /// How its image is made.
    pub build: Build,
    /// Where it runs in staging.
    pub staging: Placement,
    /// Where it runs in production.
    pub production: Placement,
    /// Questions asked of it after each rollout, in this order.
    pub smoke: Vec<SmokeCheck>,
}

/// How a service's image is made from source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Program and arguments; never empty. It is run without a shell.
    pub command: Vec<String>,
    /// Where the command runs, relative to `holdpoint.toml`; `.` by default.
    pub directory: String,
    /// The built program, relative to `directory`.
    pub binary: String,
    /// Files and folders that go into the image beside the program.
    pub files: Vec<BuildFile>,
    /// Environment variables of the command, added to the conductor's own.
    pub environment: BTreeMap<String, String>,
}

/// A file or folder that goes into the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildFile {
    /// Relative to `holdpoint.toml`.
    pub from: String,
    /// Absolute path inside the image.
    pub to: String,
}

/// A service's app in one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The `fly.toml`, relative to `holdpoint.toml`.
    pub config: String,
    /// How many machines it has, at least 1.
    pub machines: u32,
}

/// One question to a freshly rolled out service and the answer it must give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeCheck {
    /// What the check shows; unique in its service.
    pub name: String,
    /// HTTP method in upper case; `GET` by default.
    pub method: String,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// Header names in lower case with their values.
    pub headers: BTreeMap<String, String>,
    /// The request's body, sent as it stands.
    pub body: Option<String>,
    /// The status that counts as success; 200 by default.
    pub expect_status: u16,
    /// Text that the answer's body must contain.
    pub expect_body_contains: Option<String>,
    /// The whole answer must have arrived within this time, in milliseconds.
    pub within_ms: u64,
}
