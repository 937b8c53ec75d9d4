//! What a person is told about a broken file, one story for each kind of
//! problem, and that no text whatsoever brings the reader down.

mod channels;
mod invariants;
mod policy;
mod preflight;
mod reading;
mod schedule;
mod services;
mod smoke;

use super::*;

/// The least that a project needs, without trailing parts that a test may want to write itself.
const LEAST: &str = r#"
[project]
name = "shop"
time_zone = "Europe/Berlin"

[[people]]
name = "ada"
roles = ["engineer", "manager"]

[[services]]
name = "api"
build = { command = ["make"], binary = "api" }
staging = { config = "staging.toml" }
production = { config = "production.toml", machines = 2 }
"#;

/// Everything that is told about the text, one finding after the other.
fn told(text: &str) -> String {
    let (project, findings) = parse(text);
    let is_refused = findings.iter().any(|finding| finding.severity == Severity::Error);
    assert_eq!(project.is_none(), is_refused);
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What is told about the least project with this after it.
fn told_after_least(rest: &str) -> String {
    told(&format!("{}{rest}", LEAST.trim_start()))
}

/// What is told about the least project with one part of it replaced.
fn told_with(from: &str, to: &str) -> String {
    assert!(LEAST.contains(from));
    told(LEAST.replace(from, to).trim_start())
}

fn examples() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("holdpoint.toml"))
        .map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()))
        .collect()
}
