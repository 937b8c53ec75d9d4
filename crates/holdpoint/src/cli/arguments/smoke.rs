//! Flags of `holdpoint smoke`.

use clap::{Args, ValueEnum};

use super::{Platform, Reading};

/// `holdpoint smoke`.
#[derive(Clone, Debug, Args)]
pub struct Smoke {
    /// Where the services are asked
    #[arg(value_enum)]
    pub environment: SmokedEnvironment,
    /// Ask this service alone
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub reading: Reading,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub platform: Platform,
}

/// An environment, as the command line spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SmokedEnvironment {
    Staging,
    Production,
}
