//! Builds and runs the fuzz targets. What they feed and what must hold is the business of `fuzz`.

use std::fs;
use std::path::Path;

use crate::failure::Failure;
use crate::process::Invocation;
use crate::simulation::{built, target_directory};

/// In the order of what they take to start.
const TARGETS: &[&str] =
    &["fly_toml", "holdpoint_toml", "smoke_toml", "image_unpack", "api_bodies"];

/// Enough for each change: the inputs of a whole night are not made then.
pub(crate) const DEFAULT_SECS: u64 = 5;

/// The inputs of a change are always the same ones, so that none fails for what another brought.
pub(crate) const DEFAULT_SEED: u64 = 1;

/// Which inputs are made.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    /// For each target.
    pub(crate) secs: u64,
    pub(crate) seed: u64,
    /// One that is there already; no others are made.
    pub(crate) only: Option<&'a Path>,
}

/// `--workspace` keeps the features of the dependencies as every other build has them, so that
/// nothing is compiled a second time.
pub(crate) fn run(target: Option<&str>, inputs: &Inputs<'_>) -> Result<(), Failure> {
    let targets: Vec<&str> =
        TARGETS.iter().copied().filter(|known| target.is_none_or(|it| it == *known)).collect();
    if targets.is_empty() {
        let mend = format!("name one of {}", TARGETS.join(", "));
        return Err(Failure::new("there is no such fuzz target", mend));
    }
    let build = ["build", "--workspace", "--bin", "fuzz", "--locked", "--quiet"];
    Invocation::new("cargo", &build).run()?;
    let program = built("fuzz")?.to_string_lossy().into_owned();
    let folder = target_directory()?.join("fuzz");
    fs::create_dir_all(&folder).map_err(|error| {
        Failure::new("cannot keep inputs", "make room below `target`").because(error)
    })?;
    for target in targets {
        let keep = folder.join(target);
        let (secs, seed) = (inputs.secs.to_string(), inputs.seed.to_string());
        let keep = keep.to_string_lossy();
        let mut words = vec![target, "--keep", &keep, "--secs", &secs, "--seed", &seed];
        let only = inputs.only.map(Path::to_string_lossy);
        words.extend(only.iter().flat_map(|path| ["--input", path]));
        let input = only.as_deref().unwrap_or(&keep);
        Invocation::new(program.clone(), &words).run().map_err(|_told_above| {
            let repeat = format!("cargo xtask fuzz {target} --input {input}");
            Failure::new(
                format!("the fuzz target `{target}` found something"),
                format!("mend it, and repeat the one input with `{repeat}`"),
            )
        })?;
    }
    Ok(())
}
