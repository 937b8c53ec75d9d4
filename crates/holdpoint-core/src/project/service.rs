//! A service of the project: how it is built, where it runs, how it is
//! questioned. It names files and never opens one.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::order;
use super::reader::{Table, Value};
use super::report::Report;
use super::smoke::template::is_environment_variable;
use super::smoke::{self, HttpStep, SmokeCheck};
use crate::id::Environment;

/// How many machines one service may have in one environment.
pub(super) const MACHINES_LIMIT: u64 = 500;

/// How many services are released together, and how many entries each of their lists may have.
const LIST_LIMIT: usize = 64;

/// A program that is released together with the project's other services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Unique in the project.
    pub name: String,
    /// Services of this project that are rolled out before this one.
    pub after: Vec<String>,
    /// Names of secrets that must be set in an environment before a rollout into it.
    pub required_secrets: Vec<String>,
    /// How its image is made.
    pub build: Build,
    /// Where it runs in staging.
    pub staging: Placement,
    /// Where it runs in production.
    pub production: Placement,
    /// What is asked of it after each rollout, in this order: the checks of this file, and those
    /// of its smoke files once whoever opened them added them.
    pub smoke: Vec<SmokeCheck>,
    /// Files with more checks, relative to `holdpoint.toml`. Where the project's file says nothing
    /// of smoke checks, `smoke/NAME.toml` is one if it is there.
    pub smoke_files: Option<Vec<String>>,
}

impl Service {
    /// Where it runs in this environment.
    pub fn placement(&self, environment: Environment) -> &Placement {
        match environment {
            Environment::Staging => &self.staging,
            Environment::Production => &self.production,
        }
    }

    /// What clients may ask of it in this environment, again and again: the checks that are one
    /// question. They are asked after each rollout, so asking one often does no harm.
    pub fn questions(&self, environment: Environment) -> Vec<HttpStep> {
        let checks = self.smoke.iter().filter(|check| check.applies_to(environment));
        checks.filter_map(SmokeCheck::question).cloned().collect()
    }

    pub(super) fn read_all(root: &mut Table<'_>) -> Vec<Self> {
        let errors = root.report.errors();
        let drafts = root.tables("services", LIST_LIMIT, Draft::read).unwrap_or_default();
        if drafts.is_empty() && root.report.errors() == errors {
            root.report.absent(
                &(0..0),
                "the project names no services, so there is nothing to release",
                "add a `[[services]]` table for each program",
            );
        }
        order::refuse_misfits(root.report, &drafts);
        drafts.into_iter().map(|draft| draft.service).collect()
    }
}

/// How a service's image is made from source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Program and arguments; never empty. It is run without a shell.
    pub command: Vec<String>,
    /// Where the command runs, relative to `holdpoint.toml`; `.` by default.
    pub directory: String,
    /// The built program, relative to `directory`.
    pub binary: String,
    /// Files and folders that go into the image beside the program.
    pub files: Vec<BuildFile>,
    /// Environment variables of the command, added to the conductor's own.
    pub environment: BTreeMap<String, String>,
}

/// A file or folder that goes into the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildFile {
    /// Relative to `holdpoint.toml`.
    pub from: String,
    /// Absolute path inside the image.
    pub to: String,
}

/// A service's app in one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The `fly.toml`, relative to `holdpoint.toml`.
    pub config: String,
    /// How many machines it has, at least 1; 1 by default.
    pub machines: u32,
}

/// A service and the places of what is compared with other services.
pub(super) struct Draft {
    pub(super) service: Service,
    pub(super) name_place: Range<usize>,
    /// One for each entry of `after`.
    pub(super) after_places: Vec<Range<usize>>,
    /// Of the `config` of staging and of production.
    pub(super) config_places: [Range<usize>; 2],
}

impl Draft {
    pub(super) fn name(&self) -> &str {
        &self.service.name
    }

    fn read(table: &mut Table<'_>) -> Self {
        let (name, name_place) = table.required_line("name", "\"api\"");
        refuse_unfit_name(table.report, "service", &name, &name_place);
        let after = table.take("after").map(|value| value.lines(LIST_LIMIT)).unwrap_or_default();
        let (after, after_places) = after.into_iter().unzip();
        let required_secrets = read_secret_names(table);
        let build = table.table("build", Build::read);
        if build.is_none() {
            refuse_missing_table(table, &name, "build", "command");
        }
        let [(staging, staging_place), (production, production_place)] =
            [Environment::Staging, Environment::Production]
                .map(|environment| Placement::read(table, &name, environment));
        let (smoke, smoke_files) = read_smoke(table);
        let build = build.unwrap_or_default();
        Self {
            service: Service {
                name,
                after,
                required_secrets,
                build,
                staging,
                production,
                smoke,
                smoke_files,
            },
            name_place,
            after_places,
            config_places: [staging_place, production_place],
        }
    }
}

impl Build {
    fn read(table: &mut Table<'_>) -> Self {
        let command = table.require("command", "[\"cargo\", \"build\", \"--release\"]");
        let program = command.as_ref().map(|value| value.lines(LIST_LIMIT)).unwrap_or_default();
        if let Some(value) = &command
            && value.raw().as_array().is_some_and(|array| array.is_empty())
        {
            value.refuse("is empty", "name the program that builds the service and its arguments");
        }
        let directory = table.line("directory").unwrap_or_else(|| ".".to_owned());
        let (binary, _) = table.required_line("binary", "\"target/release/api\"");
        let files = table.tables("files", LIST_LIMIT, BuildFile::read).unwrap_or_default();
        let environment = table
            .texts("environment")
            .into_iter()
            .filter_map(|(name, value)| {
                refuse_unfit_variable(&value, name);
                Some((name.to_owned(), value.text()?.to_owned()))
            })
            .collect();
        let command = program.into_iter().map(|(word, _)| word).collect();
        Self { command, directory, binary, files, environment }
    }
}

impl BuildFile {
    fn read(table: &mut Table<'_>) -> Self {
        let (from, _) = table.required_line("from", "\"docs\"");
        let (to, place) = table.required_line("to", "\"/docs\"");
        if !to.is_empty() && (!to.starts_with('/') || to.split('/').any(|part| part == "..")) {
            table.report.error(
                &place,
                format!("`{to}` is no absolute path inside the image"),
                format!(
                    "write it from the root on: `to = \"/{}\"`",
                    to.replace("..", "").trim_matches('/')
                ),
            );
        }
        Self { from, to }
    }
}

impl Placement {
    /// The placement, and the place of its `config`.
    fn read(
        service: &mut Table<'_>,
        service_name: &str,
        environment: Environment,
    ) -> (Self, Range<usize>) {
        let key = match environment {
            Environment::Staging => "staging",
            Environment::Production => "production",
        };
        let read = service.table(key, |table| {
            let (config, place) = table.required_line("config", "\"fly.toml\"");
            let machines =
                table.take("machines").and_then(|value| value.number(&(1..=MACHINES_LIMIT)));
            (
                Self {
                    config,
                    machines: machines.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
                },
                place,
            )
        });
        read.unwrap_or_else(|| {
            refuse_missing_table(service, service_name, key, "config");
            (Self { config: String::new(), machines: 1 }, service.span.clone())
        })
    }
}

/// A name that can stand in host names, image names and file names.
pub(super) fn refuse_unfit_name(report: &Report<'_>, what: &str, name: &str, place: &Range<usize>) {
    let fits = name.len() <= 63
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if !fits {
        report.error(
            place,
            format!("`{name}` cannot be the name of a {what}, because it becomes part of host and image names"),
            "use at most 63 small letters, digits and hyphens, with a letter or digit at both ends",
        );
    }
}

fn read_secret_names(table: &mut Table<'_>) -> Vec<String> {
    let Some(value) = table.take("required_secrets") else { return Vec::new() };
    let names = value.lines(LIST_LIMIT);
    for (name, place) in &names {
        if !is_environment_variable(name) {
            table.report.error(
                place,
                format!("`{name}` cannot be the name of a secret, because it becomes an environment variable"),
                "use letters, digits and underscores, as in `DATABASE_URL`; the value never stands here",
            );
        }
    }
    table
        .report
        .distinct("required secrets", names.iter().map(|(name, place)| (name.as_str(), place)));
    names.into_iter().map(|(name, _)| name).collect()
}

fn refuse_unfit_variable(value: &Value<'_>, name: &str) {
    if !is_environment_variable(name) {
        value.refuse(
            "cannot be set, because its name is no name of an environment variable",
            "use letters, digits and underscores",
        );
    }
}

/// Checks that stand with their service, and files with more of them.
fn read_smoke(table: &mut Table<'_>) -> (Vec<SmokeCheck>, Option<Vec<String>>) {
    let Some(value) = table.take("smoke") else { return (Vec::new(), None) };
    let (mut checks, mut places) = (Vec::new(), Vec::new());
    let (mut files, mut file_places) = (Vec::new(), Vec::new());
    let hint = "write `smoke = [\"smoke/NAME.toml\"]`, or each check as `[[services.smoke]]`";
    for item in value.as_items(hint, smoke::LIST_LIMIT) {
        if item.raw().is_str() {
            files.extend(item.line());
            file_places.push(item.span());
        } else if let Some(check) = item.as_table(hint) {
            let (check, place) = check.read(SmokeCheck::read);
            checks.push(check);
            places.push(place);
        }
    }
    let names = checks.iter().map(|check: &SmokeCheck| check.name.as_str());
    table.report.distinct("smoke checks", names.zip(&places));
    table.report.distinct("smoke files", files.iter().map(String::as_str).zip(&file_places));
    (checks, Some(files))
}

fn refuse_missing_table(service: &Table<'_>, service_name: &str, key: &str, inside: &str) {
    service.report.absent(
        &service.span,
        format!("the service `{service_name}` has no `[services.{key}]`"),
        format!("add `[services.{key}]` with `{inside}` below its `[[services]]`"),
    );
}
