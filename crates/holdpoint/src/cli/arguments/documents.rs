//! Flags of the verbs that write documents about this program itself.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// `holdpoint completions`.
#[derive(Clone, Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `holdpoint man`.
#[derive(Clone, Debug, Args)]
pub struct Man {
    /// Write a page for each verb into this folder
    #[arg(value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
}
