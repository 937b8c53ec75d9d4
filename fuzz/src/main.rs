//! `fuzz`: feeds one target with inputs made from its seeds, or with the one input that is named.
//!
//! Exit status: 0 when nothing was found. Anything else is a finding; the input stays in the file
//! that `--keep` names.

mod mutate;
mod run;
mod targets;

use std::io;
use std::path::PathBuf;

use clap::Parser;

use run::Plan;
use targets::Target;

#[derive(Debug, Parser)]
#[command(name = "fuzz", about = "Feeds one target with broken input")]
struct Arguments {
    target: Target,
    /// How long to go on
    #[arg(long, default_value_t = 5)]
    secs: u64,
    /// The same seed makes the same inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where each input is kept while it is tried
    #[arg(long)]
    keep: PathBuf,
    /// Try this one input and nothing else
    #[arg(long)]
    input: Option<PathBuf>,
}

fn main() -> io::Result<()> {
    let Arguments { target, secs, seed, keep, input } = Arguments::parse();
    run::prepare()?;
    match input {
        Some(path) => run::one(target, &std::fs::read(path)?),
        None => run::many(target, &Plan { secs, seed, keep }),
    }
}
