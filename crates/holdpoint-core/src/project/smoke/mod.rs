//! Smoke checks: what is asked of a service after each rollout, and what it must answer. They
//! stand in files of their own, or in the project's file with their service. It reads them; asking
//! is the shell's business.

mod approval_flow;
mod command;
mod expectation;
mod json_path;
mod mcp;
mod scope;
mod step;
pub mod template;

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::diagnostic::Diagnostic;
use super::read_text;
use super::reader::{Table, Value};
use crate::id::Environment;
use scope::Scope;

pub use command::CommandCheck;
pub use expectation::{JsonExpectation, JsonRule};
pub use json_path::JsonPath;
pub use mcp::McpCheck;
pub use step::{HttpStep, Signature};

/// How many checks one file and one service may have, and how many steps one check.
pub(super) const LIST_LIMIT: usize = 64;

/// The kinds of check, as the file spells them.
const KINDS: [&str; 4] = ["http", "mcp", "approval-flow", "command"];

/// Questions to a freshly rolled out service, and the answers that it must give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmokeCheck {
    /// What the check shows; unique in its service.
    pub name: String,
    /// Where it is asked; never empty.
    pub environments: Vec<Environment>,
    /// What is asked.
    pub kind: SmokeKind,
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmokeKind {
    /// One question after the other, until one is not answered as it must be; never empty.
    Http(Vec<HttpStep>),
    /// A tool of an MCP server.
    Mcp(McpCheck),
    /// A program of the project's own.
    Command(CommandCheck),
    /// The synthetic check, which no file writes: `[production] synthetic` rules it.
    Synthetic(Box<HttpStep>),
}

/// Reads a smoke file. `taken` are the names of checks that the service has already. The checks
/// are there exactly if no finding is an error.
pub fn parse_smoke(text: &str, taken: &[String]) -> (Option<Vec<SmokeCheck>>, Vec<Diagnostic>) {
    read_text(text, |root| {
        let errors = root.report.errors();
        let checks = read_checks(root, "checks", taken);
        if checks.is_empty() && root.report.errors() == errors {
            root.report.absent(
                &(0..0),
                "the file has no checks, so that nothing would be asked",
                "add a `[[checks]]` table with `name` and `path`, or remove the file",
            );
        }
        checks
    })
}

fn read_checks(root: &mut Table<'_>, key: &'static str, taken: &[String]) -> Vec<SmokeCheck> {
    let mut places = Vec::new();
    let checks = root.tables(key, LIST_LIMIT, |table| {
        let (check, place) = SmokeCheck::read(table);
        places.push(place);
        check
    });
    let checks = checks.unwrap_or_default();
    let names = checks.iter().map(|check| check.name.as_str());
    root.report.distinct("smoke checks", names.clone().zip(&places));
    for (name, place) in names.zip(&places) {
        if taken.iter().any(|other| other == name) {
            root.report.error(
                place,
                format!("the service has a smoke check called `{name}` already"),
                "rename one of the two; the other is in another file of the same service",
            );
        }
    }
    checks
}

impl SmokeCheck {
    /// Whether it is asked in this environment.
    pub fn applies_to(&self, environment: Environment) -> bool {
        self.environments.contains(&environment)
    }

    /// Whether no file wrote it.
    pub fn is_synthetic(&self) -> bool {
        matches!(self.kind, SmokeKind::Synthetic(_))
    }

    /// How long it may take in all, in milliseconds.
    pub fn limit_ms(&self) -> u64 {
        match &self.kind {
            SmokeKind::Http(steps) => {
                steps.iter().map(HttpStep::limit_ms).fold(0, u64::saturating_add)
            }
            SmokeKind::Mcp(mcp) => mcp.limit_ms(),
            SmokeKind::Command(command) => command.within_ms,
            SmokeKind::Synthetic(step) => step.limit_ms(),
        }
    }

    /// The check as one question that can be asked any number of times by anybody, if it is one.
    pub fn question(&self) -> Option<&HttpStep> {
        match &self.kind {
            SmokeKind::Http(steps) => match steps.as_slice() {
                [only] if only.is_plain() => Some(only),
                _ => None,
            },
            SmokeKind::Mcp(_) | SmokeKind::Command(_) | SmokeKind::Synthetic(_) => None,
        }
    }

    /// The variables of the conductor's environment that it needs; their values are secrets.
    pub fn secrets(&self) -> BTreeSet<String> {
        match &self.kind {
            SmokeKind::Http(steps) => steps.iter().flat_map(HttpStep::secrets).collect(),
            SmokeKind::Mcp(mcp) => {
                let texts = mcp.headers.values().chain([&mcp.path]);
                secrets_in(texts)
            }
            SmokeKind::Command(command) => secrets_in(&command.command),
            SmokeKind::Synthetic(_) => BTreeSet::new(),
        }
    }

    /// The check, and the place of its name.
    pub(super) fn read(table: &mut Table<'_>) -> (Self, Range<usize>) {
        let (name, place) = table.required_line("name", "\"answers its health check\"");
        let environments = table.take("environments").map(|value| {
            value.words("environment", &[Environment::Staging, Environment::Production], |word| {
                match word {
                    Environment::Staging => "staging",
                    Environment::Production => "production",
                }
            })
        });
        let environments =
            environments.unwrap_or_else(|| vec![Environment::Staging, Environment::Production]);
        let kind =
            table.take("kind").and_then(|value| value.word("kind of check", &KINDS, |it| it));
        let mut scope = Scope::new();
        let kind = match kind.unwrap_or("http") {
            "mcp" => SmokeKind::Mcp(McpCheck::read(table, &scope)),
            "approval-flow" => SmokeKind::Http(approval_flow::read(table, &mut scope)),
            "command" => SmokeKind::Command(CommandCheck::read(table, &scope)),
            _ => SmokeKind::Http(read_steps(table, &name, &mut scope)),
        };
        (Self { name, environments, kind }, place)
    }
}

/// The steps of a check; a check without any is its own step.
fn read_steps(table: &mut Table<'_>, name: &str, scope: &mut Scope) -> Vec<HttpStep> {
    let Some(value) = table.take("steps") else {
        let mut step = HttpStep::new(name, "GET", "");
        step.read_over(table, scope);
        return vec![step];
    };
    let mut places = Vec::new();
    let steps = table.tables("steps", LIST_LIMIT, |table| {
        let (name, place) = table.required_line("name", "\"finds the order\"");
        places.push(place);
        let mut step = HttpStep::new(&name, "GET", "");
        step.read_over(table, scope);
        step
    });
    let steps = steps.unwrap_or_default();
    if steps.is_empty() && value.raw().as_array().is_some_and(|array| array.is_empty()) {
        value.refuse("is empty", "add a `[[checks.steps]]` table for each question");
    }
    table.report.distinct("steps", steps.iter().map(|step| step.name.as_str()).zip(&places));
    steps
}

/// A request's path without variables.
pub(super) fn read_plain_path(value: &Value<'_>) -> Option<String> {
    step::read_path(value, &Scope::empty())
}

fn secrets_in<'a>(texts: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
    let names = texts.into_iter().flat_map(|text| template::variables(text));
    names.filter_map(|name| name.strip_prefix(template::ENV)).map(str::to_owned).collect()
}
