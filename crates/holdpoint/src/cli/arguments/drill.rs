//! Flags of `holdpoint drill`.

use clap::Args;

use super::{Platform, Reading};
use crate::drill::Drill as Kind;

/// `holdpoint drill`.
#[derive(Clone, Debug, Args)]
pub struct Drill {
    /// What is drilled
    #[arg(value_enum)]
    pub name: Kind,
    /// The service that is broken [default: the first one of the project's file]
    #[arg(long)]
    pub service: Option<String>,
    /// Requests per second to each app meanwhile: gates judge nothing without requests
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub traffic: u32,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub reading: Reading,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub platform: Platform,
}
