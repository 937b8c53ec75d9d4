//! `holdpoint-sim`: runs seeds and tells the first that fails.
//!
//! Exit status: 0 when all is well, 1 when an invariant was broken, 2 for wrong options, 3 when a
//! healed world did not end every release, 101 when the engine panicked.

use std::io::{self, Write};
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

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

/// Runs all seeds, also after a failure: how many fail is worth knowing. The story of the first
/// that broke an invariant is told, or else of the first that did not converge.
fn run_all(seeds: u64) -> io::Result<ExitCode> {
    let reports = reports(seeds);
    let mut out = io::stdout();
    let failed: Vec<&Report> = reports.iter().filter(|one| one.failure.is_some()).collect();
    let is_unsafe = |one: &&&Report| matches!(one.failure, Some(Failure::Safety(_)));
    let worst = failed.iter().find(is_unsafe).or(failed.first()).copied();
    if let Some(worst) = worst {
        tell(&run(worst.seed, true))?;
    }
    for Report { seed, failure, .. } in &failed {
        if let Some(failure) = failure {
            writeln!(out, "seed {seed}: {failure}")?;
        }
    }
    let steps: u64 = reports.iter().map(|one| one.steps).sum();
    let released: usize = reports.iter().map(|one| one.released).sum();
    let others: usize = reports.iter().map(|one| one.rolled_back).sum();
    writeln!(
        out,
        "{seeds} seeds, {steps} steps: {released} releases carried out, {others} rolled back or \
         refused; {} seeds failed",
        failed.len()
    )?;
    Ok(exit_code(worst.and_then(|one| one.failure.as_ref())))
}

/// Runs seeds on every core. The reports are in the order of the seeds.
fn reports(seeds: u64) -> Vec<Report> {
    let next = AtomicU64::new(0);
    let reports = Mutex::new(Vec::new());
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let report = named_in_panics(seed, false);
                    reports.lock().expect("no other thread panicked").push(report);
                }
            });
        }
    });
    let mut reports = reports.into_inner().expect("no thread panicked");
    reports.sort_by_key(|report: &Report| report.seed);
    reports
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
            if thread::panicking() {
                let text = format!("repeat the panic with: cargo xtask sim --seed {}\n", self.0);
                // the process is about to end: there is nobody to tell that this failed as well
                io::stdout().write_all(text.as_bytes()).unwrap_or_default();
            }
        }
    }
    let _named = Named(seed);
    run(seed, is_told)
}
