//! Flags of `holdpoint scale`.

use clap::{Args, Subcommand};
use holdpoint_core::id::Environment;

use super::{Platform, Reading};

/// `holdpoint scale`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Scale {
    #[command(subcommand)]
    #[expect(missing_docs, reason = "the type says it")]
    pub verb: Option<ScaleVerb>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub order: ScaleOrder,
}

/// What can be asked beside a change.
#[derive(Clone, Debug, Subcommand)]
pub enum ScaleVerb {
    /// Say what each service should get more of, the number behind it, and the command
    Advice(ScaleAdvice),
}

/// `holdpoint scale SERVICE ENVIRONMENT`.
#[derive(Clone, Debug, Args)]
pub struct ScaleOrder {
    /// The service, as the project's file names it
    #[arg(required = true)]
    pub service: Option<String>,
    /// `staging` or `production`
    #[arg(required = true, value_parser = environment)]
    pub environment: Option<Environment>,
    /// Memory of each machine, in MB
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(64..=1_048_576))]
    pub memory: Option<u64>,
    /// CPUs of each machine
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=128))]
    pub cpus: Option<u32>,
    /// How many machines take requests; 0 stops all and takes the service offline
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=500))]
    pub count: Option<u32>,
    /// How many machines are kept running without requests (`min_machines_running`)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=500))]
    pub min_running: Option<u32>,
    /// Why, in a sentence; it goes into the reliability log
    #[arg(long)]
    pub reason: Option<String>,
    /// Take the service offline without a question
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub platform: Platform,
}

/// `holdpoint scale advice`.
#[derive(Clone, Debug, Args)]
pub struct ScaleAdvice {
    /// For how many seconds to look: rates are measured between the first and the last look
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub over: u64,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub reading: Reading,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub platform: Platform,
}

fn environment(text: &str) -> Result<Environment, String> {
    match text {
        "staging" => Ok(Environment::Staging),
        "production" => Ok(Environment::Production),
        other => Err(format!("`{other}` is neither `staging` nor `production`")),
    }
}
