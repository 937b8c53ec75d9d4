//! What must stay as it is while a release changes programs (the runbook: "any data corruption
//! detected"): a question whose answer is one value, and a rule for it. It asks nothing.

use serde::{Deserialize, Serialize};

use super::reader::{Table, Value};
use super::service::Service;
use crate::id::Environment;

/// How many invariants one project may have; each is asked again and again.
const INVARIANTS_LIMIT: usize = 32;

/// How many words a command may have.
const WORDS_LIMIT: usize = 64;

/// The longest time between two questions: damage that is found later is found too late.
const EVERY_LIMIT_SECS: u64 = 60 * 60;

/// The longest time that a question may take.
const TIMEOUT_LIMIT_SECS: u64 = 5 * 60;

/// One invariant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invariant {
    /// Unique in the project.
    pub name: String,
    /// The service whose data it is.
    pub service: String,
    /// Where it must hold; never empty.
    pub environments: Vec<Environment>,
    /// The program that prints the value, and its arguments.
    pub command: Vec<String>,
    /// The rule.
    pub must: Must,
    /// The time between two questions, by the release's clock.
    pub every_secs: u64,
    /// How long the answer may take, in real seconds.
    pub timeout_secs: u64,
}

/// What must be true of a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Must {
    /// It is what it was before the rollout.
    Stay,
    /// It is a number within these limits. At least one is set.
    Lie(Limits),
}

/// Limits of a number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// The least.
    pub min: Option<f64>,
    /// The most.
    pub max: Option<f64>,
    /// By how much it may be less than before the rollout.
    pub falls_at_most: Option<f64>,
    /// By how much it may be more than before the rollout.
    pub rises_at_most: Option<f64>,
}

impl Invariant {
    /// Reads `[[gates.invariants]]`.
    pub(super) fn read_all(gates: &mut Table<'_>, services: &[Service]) -> Vec<Self> {
        let mut places = Vec::new();
        let invariants = gates.tables("invariants", INVARIANTS_LIMIT, |table| {
            let (invariant, place) = Self::read(table, services);
            places.push(place);
            invariant
        });
        let invariants = invariants.unwrap_or_default();
        let names = invariants.iter().map(|invariant| invariant.name.as_str());
        gates.report.distinct("invariants", names.zip(&places));
        invariants
    }

    fn read(table: &mut Table<'_>, services: &[Service]) -> (Self, std::ops::Range<usize>) {
        let (name, place) = table.required_line("name", "\"orders are kept\"");
        let (service, service_place) = table.required_line("service", "\"shop\"");
        if !service.is_empty() && !services.iter().any(|one| one.name == service) {
            let names: Vec<String> =
                services.iter().map(|service| format!("`{}`", service.name)).collect();
            table.report.error(
                &service_place,
                format!("`service` is `{service}`, which the project does not have"),
                format!("name the service whose data it is: {}", names.join(", ")),
            );
        }
        let environments = table.take("environments").map(|value| {
            let all = [Environment::Staging, Environment::Production];
            value.words("environment", &all, |environment| match environment {
                Environment::Staging => "staging",
                Environment::Production => "production",
            })
        });
        let command = table.require("command", "[\"scripts/count-orders.sh\"]");
        let words = command.as_ref().map(|value| value.lines(WORDS_LIMIT)).unwrap_or_default();
        if let Some(value) = &command
            && value.raw().as_array().is_some_and(|array| array.is_empty())
        {
            value.refuse("is empty", "name the program that prints the value, and its arguments");
        }
        let must = Must::read(table);
        let (mut every_secs, mut timeout_secs) = (30, 10);
        let secs = table.take("every").and_then(|value| value.secs(&(1..=EVERY_LIMIT_SECS)));
        every_secs = secs.unwrap_or(every_secs);
        let secs = table.take("timeout").and_then(|value| value.secs(&(1..=TIMEOUT_LIMIT_SECS)));
        timeout_secs = secs.unwrap_or(timeout_secs);
        let invariant = Self {
            name,
            service,
            environments: environments.unwrap_or_else(|| vec![Environment::Production]),
            command: words.into_iter().map(|(word, _)| word).collect(),
            must,
            every_secs,
            timeout_secs,
        };
        (invariant, place)
    }
}

impl Must {
    fn read(table: &mut Table<'_>) -> Self {
        let Some(value) = table.take("must") else {
            return Self::Stay;
        };
        if value.raw().as_str().is_some() {
            // the only word; another is told
            let _stay: Option<()> = value.word("rule", &[()], |()| "stay");
            return Self::Stay;
        }
        let limits = table.table("must", |table| {
            let limits = Limits {
                min: number(table, "min"),
                max: number(table, "max"),
                falls_at_most: number(table, "falls_at_most"),
                rises_at_most: number(table, "rises_at_most"),
            };
            if limits == Limits::default() {
                table.report.error(
                    &table.span,
                    "`must` has no limit",
                    "write `must = \"stay\"`, or for example `must = { falls_at_most = 0 }`",
                );
            }
            if let (Some(min), Some(max)) = (limits.min, limits.max)
                && min > max
            {
                table.report.error(
                    &table.span,
                    format!("`min` is {min} and above `max`, {max}: no value could hold"),
                    "make `min` at most `max`",
                );
            }
            limits
        });
        limits.map_or(Self::Stay, Self::Lie)
    }
}

fn number(table: &mut Table<'_>, key: &'static str) -> Option<f64> {
    let value = table.take(key)?;
    let number = as_number(&value);
    if number.is_none() {
        value.refuse("is no number", format!("write for example `{key} = 0`"));
    }
    number
}

fn as_number(value: &Value<'_>) -> Option<f64> {
    let raw = value.raw();
    let written = raw
        .as_float()
        .map(|float| float.as_str().to_owned())
        .or_else(|| raw.as_integer().map(ToString::to_string))?;
    written.parse().ok().filter(|number: &f64| number.is_finite())
}
