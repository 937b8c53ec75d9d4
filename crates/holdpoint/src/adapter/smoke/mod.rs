//! Asks a service its smoke checks: steps over HTTP, tools of an MCP server, programs of the
//! project. It tells of each step what was asked, what came and what may mend it; what follows
//! from that is not its business.

mod command;
mod http;
mod mcp;
mod secrets;
mod signing;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use holdpoint_core::effect::CheckResult;
use holdpoint_core::id::{AppName, Environment};
use holdpoint_core::project::SmokeCheck;
use holdpoint_core::project::smoke::SmokeKind;
use holdpoint_core::project::smoke::template::{ENV, ENVIRONMENT, RUN, RUN_NUMBER, Variables};
use rand::RngExt;
use serde::Serialize;

use super::clock::{Clock, Stopwatch};
use super::probe::Prober;

pub use secrets::Secrets;

/// How much of an answer or of a program's output is quoted.
const QUOTED_CHARACTERS: usize = 400;

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The service.
    pub service: String,
    /// Where.
    pub environment: Environment,
    /// Its app there.
    pub app: AppName,
}

/// Asks services their smoke checks.
#[derive(Clone, Debug)]
pub struct Smoker {
    prober: Prober,
    project_root: PathBuf,
}

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The check's name.
    pub check: String,
    /// Whether every step passed.
    pub passed: bool,
    /// The steps that were asked, in order.
    pub steps: Vec<StepReport>,
    /// The steps that were not asked, because one before them failed.
    pub not_asked: Vec<String>,
}

/// How a step went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// The step's name.
    pub step: String,
    /// Whether the answer was as it must be.
    pub passed: bool,
    /// What was asked.
    pub asked: String,
    /// What came.
    pub found: String,
    /// What may mend it, where it failed.
    pub hint: Option<String>,
    /// How long it took in all, in real milliseconds.
    pub took_ms: u64,
}

/// What the steps of one check share.
struct Context<'a> {
    smoker: &'a Smoker,
    target: &'a Target,
    secrets: &'a Secrets,
    /// What the run brings, and what steps captured.
    variables: Variables,
}

/// How a step ended: what came, or what came and what may mend it.
type Ended = Result<String, Trouble>;

/// What went wrong in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Trouble {
    found: String,
    hint: String,
}

impl Smoker {
    /// For the project in this directory.
    pub fn new(prober: Prober, project_root: PathBuf) -> Self {
        Self { prober, project_root }
    }

    /// Asks those of the checks that apply, one after the other: a later one may rest on an
    /// earlier one.
    pub async fn run(
        &self,
        target: &Target,
        checks: &[SmokeCheck],
        secrets: &Secrets,
    ) -> Vec<CheckReport> {
        let mut reports = Vec::new();
        for check in checks.iter().filter(|check| check.applies_to(target.environment)) {
            reports.push(self.check(target, check, secrets).await);
        }
        reports
    }

    async fn check(&self, target: &Target, check: &SmokeCheck, secrets: &Secrets) -> CheckReport {
        let mut variables = run_variables(target.environment);
        let mut missing = None;
        for name in check.secrets() {
            match secrets.get(&name) {
                Some(value) => drop(variables.insert(format!("{ENV}{name}"), value.to_owned())),
                None => missing = Some(name),
            }
        }
        let context = Context { smoker: self, target, secrets, variables };
        let (steps, not_asked) = match (&missing, &check.kind) {
            (Some(name), _) => (vec![without_secret(name)], Vec::new()),
            (None, SmokeKind::Http(steps)) => http::ask(context, steps).await,
            (None, SmokeKind::Synthetic(step)) => {
                http::ask(context, std::slice::from_ref(&**step)).await
            }
            (None, SmokeKind::Mcp(mcp)) => Box::pin(mcp::ask(&context, mcp)).await,
            (None, SmokeKind::Command(command)) => {
                (vec![command::run(&context, command).await], Vec::new())
            }
        };
        let steps: Vec<StepReport> =
            steps.into_iter().map(|step| secrets.removed_from(step)).collect();
        let passed = steps.iter().all(|step| step.passed);
        CheckReport { check: check.name.clone(), passed, steps, not_asked }
    }
}

impl CheckReport {
    /// The check as evidence of a release: what its last step found, and how long all took.
    pub fn into_result(self) -> CheckResult {
        let took_ms = self.steps.iter().map(|step| step.took_ms).sum();
        let count = self.steps.len();
        let last = self.steps.into_iter().next_back();
        let (detail, hint) = match last {
            None => ("nothing was asked".to_owned(), None),
            Some(step) if self.passed && count > 1 => {
                (format!("{count} steps, the last one {}: {}", step.step, step.found), None)
            }
            Some(step) if count == 1 && step.step == self.check => {
                (format!("{}: {}", step.asked, step.found), step.hint)
            }
            Some(step) => (format!("{}: {}: {}", step.step, step.asked, step.found), step.hint),
        };
        CheckResult { name: self.check, passed: self.passed, detail, hint, took_ms }
    }
}

impl StepReport {
    fn new(step: &str, asked: String, ended: Ended, watch: Stopwatch) -> Self {
        let (passed, found, hint) = match ended {
            Ok(found) => (true, found, None),
            Err(Trouble { found, hint }) => (false, found, Some(hint)),
        };
        let took_ms = watch.elapsed_ms();
        Self { step: step.to_owned(), passed, asked, found, hint, took_ms }
    }
}

impl Trouble {
    fn new(found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { found: found.into(), hint: hint.into() }
    }
}

impl Context<'_> {
    /// Where to look when an answer is not as it must be.
    fn logs_hint(&self) -> String {
        format!("`holdpoint logs {}` shows what its machines say", self.target.app)
    }
}

fn without_secret(name: &str) -> StepReport {
    let found = format!("the variable `{name}` is not set, and the check needs its value");
    let hint = format!("`export {name}=…` where the conductor runs; it is shown nowhere");
    let asked = "nothing".to_owned();
    let ended = Err(Trouble::new(found, hint));
    StepReport::new("reads its secrets", asked, ended, Stopwatch::start())
}

/// What a run brings. The number grows with time, so that whoever sorts by it sees runs in order,
/// and is below 2^53, so that every reader of JSON keeps it.
fn run_variables(environment: Environment) -> Variables {
    let millis = Clock::real().now().as_millisecond().unsigned_abs();
    let number = millis * 1000 + rand::rng().random_range(0..1000_u64);
    Variables::from([
        (RUN.to_owned(), format!("smoke-{number}")),
        (RUN_NUMBER.to_owned(), number.to_string()),
        (ENVIRONMENT.to_owned(), environment.to_string()),
    ])
}

/// The beginning of a text in one line, for a sentence.
fn quoted(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let start: String = line.chars().take(QUOTED_CHARACTERS).collect();
    match start.len() {
        0 => "an empty answer".to_owned(),
        shown if shown < line.len() => format!("{start}…"),
        _ => start,
    }
}
