//! Builds and runs the simulator. What it simulates is the business of `holdpoint-sim`.

use std::path::PathBuf;

use serde_json::Value;

use crate::failure::Failure;
use crate::process::Invocation;

/// Enough to meet every fault in every phase of a release, and few enough for each change.
pub(crate) const DEFAULT_SEEDS: u64 = 2000;

/// The target that `.cargo/config.toml` sets for every build.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// `--workspace` keeps the features of the dependencies as every other build has them, so that
/// nothing is compiled a second time.
pub(crate) fn run(seeds: u64, seed: Option<u64>) -> Result<(), Failure> {
    let build = ["build", "--workspace", "--bin", "holdpoint-sim", "--locked", "--quiet"];
    Invocation::new("cargo", &build).run()?;
    let (option, number) = match seed {
        Some(seed) => ("--seed", seed.to_string()),
        None => ("--seeds", seeds.to_string()),
    };
    let program = built("holdpoint-sim")?;
    Invocation::new(program.to_string_lossy(), &[option, &number]).run()
}

/// Where cargo puts a program of the workspace.
pub(crate) fn built(name: &str) -> Result<PathBuf, Failure> {
    Ok(target_directory()?.join(TARGET).join("debug").join(name))
}

pub(crate) fn target_directory() -> Result<PathBuf, Failure> {
    let metadata = workspace_metadata()?;
    let directory = metadata.get("target_directory").and_then(Value::as_str).unwrap_or("target");
    Ok(PathBuf::from(directory))
}

/// What cargo says about the workspace's own crates.
pub(crate) fn workspace_metadata() -> Result<Value, Failure> {
    let question = ["metadata", "--no-deps", "--format-version", "1"];
    let answer = Invocation::new("cargo", &question).output()?;
    serde_json::from_str(&answer).map_err(|error| {
        Failure::new("cannot read what `cargo metadata` says", "run `cargo metadata`")
            .because(error)
    })
}
