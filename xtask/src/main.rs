//! The one door to every task of this repository: `cargo xtask VERB`.
//!
//! It starts other programs and reads this repository's own files. It decides nothing about
//! Holdpoint itself, and no crate of the workspace depends on it.

mod bench;
mod failure;
mod fuzzing;
mod openapi;
mod process;
mod setup;
mod simulation;
mod stages;
mod tidy;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use fuzzing::Inputs;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The one door to every task of this repository")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install what the tests need and is missing: Debian packages (as root) and pinned tools
    Setup,
    /// Set up, build and run every test and check, cheapest first; stop at the first that fails
    #[command(visible_alias = "ci")]
    Test,
    /// Check the rules of this repository that no other tool knows
    Tidy,
    /// Run the simulator over many seeds, or over one
    Sim {
        /// How many seeds to run
        #[arg(long, default_value_t = simulation::DEFAULT_SEEDS)]
        seeds: u64,
        /// Run this one seed and tell its story
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Feed what reads files and requests of others with broken input
    Fuzz {
        /// One target; without it, every one
        target: Option<String>,
        /// How long each target goes on
        #[arg(long, default_value_t = fuzzing::DEFAULT_SECS)]
        secs: u64,
        /// The same seed makes the same inputs
        #[arg(long, default_value_t = fuzzing::DEFAULT_SEED)]
        seed: u64,
        /// Try this one input and make no others
        #[arg(long, requires = "target")]
        input: Option<PathBuf>,
    },
    /// Measure how fast the platform is, beside others where they do the same
    Bench {
        /// Only this one
        benchmark: Option<bench::Benchmark>,
        /// Options of that benchmark; `-- --help` shows them
        #[arg(last = true, requires = "benchmark")]
        options: Vec<String>,
    },
    /// Make the test fixture with the structure of the Machines API from Fly's OpenAPI file
    Openapi {
        /// Fly's file, as its documentation serves it
        source: PathBuf,
        /// Where the fixture is written
        #[arg(default_value = "crates/platform-local/tests/fixtures/machines-openapi.json")]
        target: PathBuf,
    },
}

#[expect(clippy::print_stderr, reason = "the one place that tells a failure")]
fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Setup => setup::run(),
        Verb::Test => stages::run(),
        Verb::Tidy => tidy::run(),
        Verb::Sim { seeds, seed } => simulation::run(seeds, seed),
        Verb::Fuzz { target, secs, seed, input } => {
            let inputs = Inputs { secs, seed, only: input.as_deref() };
            fuzzing::run(target.as_deref(), &inputs)
        }
        Verb::Bench { benchmark, options } => bench::run(benchmark, &options),
        Verb::Openapi { source, target } => openapi::reduce(&source, &target),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
