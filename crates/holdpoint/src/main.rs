//! The `holdpoint` command. Everything is in the library; this starts it and ends the process
//! with its status.

use std::process::ExitCode;

use clap::Parser;
use holdpoint::cli::{self, arguments::Arguments};
use holdpoint::message;
use mimalloc::MiMalloc;
use tracing_subscriber::EnvFilter;

/// The proxy of `holdpoint up` takes and gives back memory some dozen times for each request, at
/// half the cost of the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // logs are for whoever looks into a problem; what people need to know is printed by the verbs
    let filter =
        EnvFilter::try_from_env("HOLDPOINT_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Box::pin(cli::run(arguments)).await {
        Ok(exit) => exit.into(),
        Err(problem) => {
            message::tell(&problem.text());
            problem.exit.into()
        }
    }
}
