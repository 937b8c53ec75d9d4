//! Flags of the verbs about pre-flight.

use clap::Args;
use holdpoint_core::project::Role;
use semver::Version;

use super::Platform;

/// What `holdpoint check` looks at beside the files.
#[derive(Clone, Debug, Args)]
pub struct Preflight {
    /// The version that is to be released [default: the one whose tag is checked out]
    #[arg(long, value_name = "VERSION")]
    pub version: Option<Version>,
    /// Look only at this pre-flight check, or at all of this kind; may be repeated
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Ask nothing but the files and programs of this computer
    #[arg(long)]
    pub offline: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub platform: Platform,
}

/// `holdpoint waive`.
#[derive(Clone, Debug, Args)]
pub struct Waive {
    /// The check that failed, as `holdpoint status` names it, or its kind for all of that kind
    pub check: String,
    /// Why, in a sentence; it goes into the journal
    #[arg(long)]
    pub reason: String,
    /// When it ends: `4h` from now, a time of the project's zone as `2026-12-01T14:00`, or one with
    /// an offset
    #[arg(long, value_name = "TIME")]
    pub until: String,
    /// The role in which you waive it [default: the first of yours that may]
    #[arg(long)]
    pub role: Option<Role>,
}
