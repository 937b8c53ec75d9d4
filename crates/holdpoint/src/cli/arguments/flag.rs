//! Flags of `holdpoint flag`.

use clap::Args;
use holdpoint_core::flag::Flag;

/// `holdpoint flag`.
#[derive(Clone, Debug, Args)]
pub struct RaiseFlag {
    /// `security` for a critical security issue, `corruption` for damaged data
    #[arg(value_name = "FLAG")]
    pub flag: Flag,
    /// What was seen, in a sentence; it goes into the journal
    #[arg(long)]
    pub reason: String,
}
