//! `holdpoint-sim`: runs seeds and tells the first that fails.
//!
//! Exit status: 0 when all is well, 1 when an invariant was broken, 2 for wrong options, 3 when a
//! healed world did not end every release, 101 when the engine panicked.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use holdpoint_sim::run::{Failure, Report, run};

/// Runs the engine against seeded worlds of faults.
#[derive(Debug, Parser)]
#[command(name = "holdpoint-sim")]
struct Arguments {
    /// How many seeds to run, from 0.
    #[arg(long, value_name = "N", default_value_t = 2000, conflicts_with = "seed")]
    seeds: u64,
    /// Run one seed and tell its story.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => run_one(seed),
        None => run_all(arguments.seeds),
    }
}

fn run_one(seed: u64) -> io::Result<ExitCode> {
    let report = named_in_panics(seed, true);
    tell(&report)?;
    Ok(exit_code(report.failure.as_ref()))
}

/// Runs all seeds, also after a failure: how many fail is worth knowing.
fn run_all(seeds: u64) -> io::Result<ExitCode> {
    let mut worst: Option<Failure> = None;
    let (mut steps, mut released, mut rolled_back) = (0, 0, 0);
    let mut failed = 0_u64;
    for seed in 0..seeds {
        let report = named_in_panics(seed, false);
        steps += report.steps;
        released += report.released;
        rolled_back += report.rolled_back;
        let Some(failure) = report.failure else { continue };
        failed += 1;
        writeln!(io::stdout(), "seed {seed}: {failure}")?;
        let is_worse =
            matches!(failure, Failure::Safety(_)) && !matches!(worst, Some(Failure::Safety(_)));
        if worst.is_none() || is_worse {
            if worst.is_none() {
                tell(&named_in_panics(seed, true))?;
            }
            worst = Some(failure);
        }
    }
    writeln!(
        io::stdout(),
        "{seeds} seeds, {steps} steps: {released} releases carried out, {rolled_back} rolled back \
         or refused, {failed} seeds failed"
    )?;
    Ok(exit_code(worst.as_ref()))
}

fn tell(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(report.story.as_bytes())?;
    let seed = report.seed;
    match &report.failure {
        None => writeln!(out, "seed {seed}: all is well after {} steps", report.steps),
        Some(failure) => {
            writeln!(out, "seed {seed}: {failure}\nrepeat it with: cargo xtask sim --seed {seed}")
        }
    }
}

fn exit_code(failure: Option<&Failure>) -> ExitCode {
    match failure {
        None => ExitCode::SUCCESS,
        Some(Failure::Safety(_)) => ExitCode::from(1),
        Some(Failure::NoConvergence(_)) => ExitCode::from(3),
    }
}

/// Runs a seed; should the engine panic, the seed is told before the process ends.
fn named_in_panics(seed: u64, is_told: bool) -> Report {
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                let text = format!("repeat the panic with: cargo xtask sim --seed {}\n", self.0);
                // the process is about to end: there is nobody to tell that this failed as well
                io::stdout().write_all(text.as_bytes()).unwrap_or_default();
            }
        }
    }
    let _named = Named(seed);
    run(seed, is_told)
}
