//! The stages of `cargo xtask test`, cheapest first. Each can be run alone by the line that it
//! prints; the first that fails ends the run.

use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::process::Invocation;
use crate::{fuzzing, setup, simulation, tidy};

/// One thing that is checked.
struct Stage {
    name: &'static str,
    /// The line that a person types to run this stage alone.
    line: String,
    work: Box<dyn Fn() -> Result<(), Failure>>,
}

/// Sets up what is missing, then runs every stage.
#[expect(clippy::print_stdout, reason = "the report of a run")]
pub(crate) fn run() -> Result<(), Failure> {
    let mut taken = Vec::new();
    for stage in stages()? {
        println!("\n== {} ({})", stage.name, stage.line);
        let (result, duration) = timed(&stage.work);
        taken.push((stage.name, duration));
        println!("== {}: {:.1} s", stage.name, duration.as_secs_f64());
        if let Err(failure) = result {
            println!("\n{}", table(&taken));
            println!("\nstage `{}` failed; run it alone: {}", stage.name, stage.line);
            return Err(failure);
        }
    }
    println!("\n{}", table(&taken));
    Ok(())
}

/// `build` precedes the tests because they start the services' binaries, which nextest alone
/// would not build. `clippy` and `doc` share one set of check artefacts.
fn stages() -> Result<Vec<Stage>, Failure> {
    let mut stages = vec![
        Stage { name: "setup", line: "cargo xtask setup".to_owned(), work: Box::new(setup::run) },
        program("fmt", Invocation::new("cargo", &["fmt", "--all", "--check"])),
        program("typos", Invocation::new("typos", &[])),
        Stage { name: "tidy", line: "cargo xtask tidy".to_owned(), work: Box::new(tidy::run) },
        cargo(
            "clippy",
            &["clippy", "--workspace", "--all-targets", "--locked", "--", "-Dwarnings"],
        ),
        cargo("build", &["build", "--workspace", "--locked"]),
        program(
            "nextest",
            Invocation::new(
                "cargo",
                &["nextest", "run", "--workspace", "--locked", "--profile", "ci"],
            )
            // A snapshot that differs is a failure, never a new file.
            .with_environment("INSTA_UPDATE", "no"),
        ),
    ];
    if tidy::documentation_has_tests()? {
        stages.push(cargo("doc tests", &["test", "--doc", "--workspace", "--locked"]));
    }
    stages.push(program(
        "doc",
        Invocation::new("cargo", &["doc", "--workspace", "--no-deps", "--locked"])
            .with_environment("RUSTDOCFLAGS", "-Dwarnings"),
    ));
    stages.push(cargo("deny", &["deny", "check", "bans", "licenses", "sources"]));
    stages.push(Stage {
        name: "sim",
        line: format!("cargo xtask sim --seeds {}", simulation::DEFAULT_SEEDS),
        work: Box::new(|| simulation::run(simulation::DEFAULT_SEEDS, None)),
    });
    stages.push(Stage {
        name: "fuzz",
        line: format!("cargo xtask fuzz --secs {}", fuzzing::DEFAULT_SECS),
        work: Box::new(|| {
            let (secs, seed) = (fuzzing::DEFAULT_SECS, fuzzing::DEFAULT_SEED);
            fuzzing::run(None, &fuzzing::Inputs { secs, seed, only: None })
        }),
    });
    Ok(stages)
}

fn cargo(name: &'static str, arguments: &[&str]) -> Stage {
    program(name, Invocation::new("cargo", arguments))
}

fn program(name: &'static str, invocation: Invocation) -> Stage {
    Stage { name, line: invocation.line(), work: Box::new(move || invocation.run()) }
}

#[expect(clippy::disallowed_methods, reason = "the one clock of xtask: how long a stage took")]
fn timed(work: impl Fn() -> Result<(), Failure>) -> (Result<(), Failure>, Duration) {
    let begun = Instant::now();
    let result = work();
    (result, begun.elapsed())
}

fn table(taken: &[(&str, Duration)]) -> String {
    let total: Duration = taken.iter().map(|(_, duration)| *duration).sum();
    let rows = taken.iter().copied().chain([("all", total)]);
    rows.map(|(name, duration)| format!("{name:<10} {:>8.1} s", duration.as_secs_f64()))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_ends_with_the_sum() {
        let text = table(&[("fmt", Duration::from_secs(1)), ("tidy", Duration::from_secs(2))]);
        assert!(text.ends_with("all             3.0 s"), "{text}");
    }

    #[test]
    fn binaries_are_built_before_the_tests_that_start_them() {
        let names: Vec<_> = stages().unwrap().iter().map(|stage| stage.name).collect();
        let place = |name| names.iter().position(|other| *other == name).unwrap();
        assert!(place("build") < place("nextest"));
        assert_eq!(place("setup"), 0);
    }
}
