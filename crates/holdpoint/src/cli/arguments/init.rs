//! Flags of `holdpoint init`.

use std::path::PathBuf;

use clap::Args;

/// `holdpoint init`.
#[derive(Clone, Debug, Args)]
pub struct Init {
    /// The folder of the repository
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// Write the file anew where one is there; what it says is lost
    #[arg(long)]
    pub force: bool,
}
