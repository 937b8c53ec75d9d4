//! Flags of `holdpoint window`.

use clap::Args;

use super::Reading;

/// `holdpoint window`.
#[derive(Clone, Debug, Args)]
pub struct Window {
    /// Say only when the next one opens, and why not now
    #[arg(long)]
    pub next: bool,
    /// Answer for another time, such as `2026-12-01T10:00`; without an offset it is the project's
    /// local time
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub reading: Reading,
}
