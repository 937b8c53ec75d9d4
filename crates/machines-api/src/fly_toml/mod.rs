//! Reads a `fly.toml` and makes the machine config that it stands for. What
//! Fly's client accepts is accepted, odd and old forms included, and what it
//! refuses is refused with the place and the mend. Unknown keys are told, as
//! warnings unless they are asked to be errors. No file but the text is read.

mod checks;
mod compute;
mod deploy;
mod diagnostic;
mod field;
mod files;
mod literal;
mod mounts;
mod process;
mod repair;
mod schema;
mod section;
mod services;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use toml::de::DeTable;

pub use self::diagnostic::{Diagnostic, Severity};
use self::diagnostic::{Problem, Problems};
pub use self::repair::{Fixed, fix};
use self::section::{Form, Section};
use crate::types::{
    Autostop, Check, Guest, Init, MachineConfig, Mount, Restart, Service, StopConfig,
};

/// Real files have a few hundred lines; more than this is no `fly.toml`.
const MAX_BYTES: usize = 1024 * 1024;

/// A parser that lost its way reports one mistake many times over.
const MAX_SYNTAX_ERRORS: usize = 10;

/// The process group of an app without `[processes]`.
const DEFAULT_GROUP: &str = "app";

/// A `fly.toml`, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct FlyConfig {
    /// May be absent: Fly's client also takes it from the command line.
    pub app: Option<String>,
    pub primary_region: Option<String>,
    env: BTreeMap<String, String>,
    processes: BTreeMap<String, String>,
    services: Vec<PerGroup<Service>>,
    checks: BTreeMap<String, PerGroup<Check>>,
    guests: Vec<PerGroup<Guest>>,
    mounts: Vec<PerGroup<Mount>>,
    restarts: Vec<PerGroup<Restart>>,
    metrics: Vec<PerGroup<Value>>,
    files: Vec<PerGroup<Value>>,
    statics: Vec<Value>,
    init: Init,
    stop_config: Option<StopConfig>,
}

/// A setting and the process groups that it is for; none named means all.
#[derive(Clone, Debug, PartialEq)]
struct PerGroup<T> {
    value: T,
    processes: Vec<String>,
}

impl<T> PerGroup<T> {
    fn is_for(&self, group: &str) -> bool {
        self.processes.is_empty() || self.processes.iter().any(|process| process == group)
    }
}

/// A text that was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Missing if there are errors.
    pub config: Option<FlyConfig>,
    /// In the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads the text of a `fly.toml`; the errors stand in the order of the text.
pub fn parse(text: &str) -> Result<FlyConfig, Vec<Diagnostic>> {
    let Checked { config, mut diagnostics } = check(text, Severity::Warning);
    diagnostics.retain(|diagnostic| diagnostic.severity == Severity::Error);
    config.ok_or(diagnostics)
}

/// Reads the text of a `fly.toml` and tells what is wrong and what is odd. `unknown_keys` is what
/// a key that Fly's client ignores counts as.
pub fn check(text: &str, unknown_keys: Severity) -> Checked {
    let refused =
        |problem| Checked { config: None, diagnostics: vec![Diagnostic::new(text, problem)] };
    if text.len() > MAX_BYTES {
        let message =
            format!("the file has {} bytes, but at most {MAX_BYTES} are read", text.len());
        return refused(Problem::error(&(0..0), message, "name a `fly.toml`"));
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let diagnostics = errors.iter().take(MAX_SYNTAX_ERRORS).map(|error| {
            let message = format!("this is no TOML: {}", error.message());
            let span = error.span().unwrap_or_default();
            Diagnostic::new(text, Problem::error(&span, message, "mend the syntax at this place"))
        });
        return Checked { config: None, diagnostics: diagnostics.collect() };
    }
    let mut problems = Problems::default();
    let root = Section::root(document.get_ref(), document.span());
    let config = read(&root, &mut problems);
    schema::check(&root, unknown_keys, &mut problems);
    let diagnostics = problems.into_diagnostics(text);
    let is_refused = diagnostics.iter().any(|it| it.severity == Severity::Error);
    Checked { config: (!is_refused).then_some(config), diagnostics }
}

fn read(root: &Section<'_>, problems: &mut Problems) -> FlyConfig {
    let http_service = services::http_service(root, problems);
    let http_port = http_service.as_ref().map(|service| service.value.internal_port);
    let mut services: Vec<PerGroup<Service>> = http_service.into_iter().collect();
    services.extend(services::services(root, problems));
    let config = FlyConfig {
        app: root.string("app", problems),
        primary_region: root.string("primary_region", problems),
        env: process::env(root, problems),
        processes: process::processes(root, problems),
        services,
        checks: checks::machine_checks(root, http_port, problems),
        guests: compute::guests(root, problems),
        mounts: mounts::mounts(root, problems),
        restarts: process::restarts(root, problems),
        metrics: metrics(root, problems),
        files: files::files(root, problems),
        statics: files::statics(root, problems),
        init: process::init(root, problems),
        stop_config: process::stop_config(root, problems),
    };
    deploy::check(root, !config.mounts.is_empty(), problems);
    deploy::build(root, problems);
    deploy::command(root, "console_command", problems);
    for machine in root.sections("machine_checks", Form::List, problems) {
        deploy::test_machine(&machine, problems);
    }
    for key in ["machine_config", "container"] {
        root.string(key, problems);
    }
    check_groups(&config, root, problems);
    config
}

fn metrics(root: &Section<'_>, problems: &mut Problems) -> Vec<PerGroup<Value>> {
    let mut metrics = Vec::new();
    for key in ["metric", "metrics"] {
        for section in compute::sections_in_lower_case(root, key, problems) {
            let keys = ["port", "path", "https"];
            metrics.push(one_metrics(&section, keys, problems));
        }
    }
    // An old place, which counts only where the new one is not used.
    if let Some(section) = root.get("experimental").filter(field::Field::is_table)
        && let Some(section) = section.section(problems)
        && root.get("metrics").is_none()
        && (section.get("metrics_port").is_some() || section.get("metrics_path").is_some())
    {
        let keys = ["metrics_port", "metrics_path", ""];
        metrics.push(one_metrics(&section, keys, problems));
    }
    metrics
}

fn one_metrics(section: &Section<'_>, keys: [&str; 3], problems: &mut Problems) -> PerGroup<Value> {
    let [port, path, https] = keys;
    let port: Option<u16> = section.integer(port, 1..=65_535, problems);
    let mut value = json!({"port": port, "path": section.string(path, problems)});
    if let (Some(https), Some(fields)) = (section.boolean(https, problems), value.as_object_mut()) {
        fields.insert("https".to_owned(), https.into());
    }
    PerGroup { value, processes: section.strings("processes", problems) }
}

/// Every process group that a section names exists, and with `[processes]`
/// every service names its own.
fn check_groups(config: &FlyConfig, root: &Section<'_>, problems: &mut Problems) {
    let known: Vec<&str> = if config.processes.is_empty() {
        vec![DEFAULT_GROUP]
    } else {
        config.processes.keys().map(String::as_str).collect()
    };
    let list = known.join("`, `");
    for (name, command) in &config.processes {
        if process::words(command).is_none() {
            let message = format!("the command of process group `{name}` has an open quote");
            let span = root.get("processes").map(|field| field.span).unwrap_or_default();
            problems.add(&span, message, "close the quote");
        }
    }
    for key in [
        "http_service",
        "services",
        "vm",
        "compute",
        "mounts",
        "mount",
        "restart",
        "metrics",
        "files",
    ] {
        let Some(field) = root.get(key) else { continue };
        let sections = if field.is_table() || field.is_list() {
            field.sections(Form::ListOrTable, &mut Problems::default())
        } else {
            continue;
        };
        for section in sections {
            let named = section.strings("processes", &mut Problems::default());
            if named.is_empty()
                && !config.processes.is_empty()
                && matches!(key, "http_service" | "services")
            {
                let message = format!("`{key}` names no process group, but `[processes]` is given");
                let hint = format!("write `processes = [\"…\"]` with one of `{list}`");
                problems.add(&section.span, message, hint);
            }
            for group in named.iter().filter(|group| !known.contains(&group.as_str())) {
                let message =
                    format!("`{key}` names the process group `{group}`, which isn't there");
                problems.add(&section.span, message, format!("name one of `{list}`"));
            }
        }
    }
}

impl FlyConfig {
    /// The config of a machine that runs `image`, in the process group `app` or,
    /// where there is none of that name, the first one.
    pub fn machine_config(&self, image: &str) -> MachineConfig {
        let group = self.group();
        let mut env = self.env.clone();
        env.insert("FLY_PROCESS_GROUP".to_owned(), group.to_owned());
        if let Some(region) = &self.primary_region {
            env.insert("PRIMARY_REGION".to_owned(), region.clone());
        }
        let metadata = BTreeMap::from([
            ("fly_platform_version".to_owned(), "v2".to_owned()),
            ("fly_process_group".to_owned(), group.to_owned()),
        ]);
        let checks = self.checks.iter().filter(|(_, check)| check.is_for(group));
        let metrics = self.metrics.iter().find(|metrics| metrics.is_for(group));
        let mut config = MachineConfig {
            image: image.to_owned(),
            guest: self.guest().cloned(),
            env,
            init: self.init_of(group),
            metadata,
            services: self.services_of(group).cloned().collect(),
            checks: checks.map(|(name, check)| (name.clone(), check.value.clone())).collect(),
            restart: last_for(&self.restarts, group).cloned(),
            stop_config: self.stop_config.clone(),
            mounts: last_for(&self.mounts, group).cloned().into_iter().collect(),
            ..MachineConfig::default()
        };
        config.rest.extend(metrics.map(|metrics| ("metrics".to_owned(), metrics.value.clone())));
        let files = self.files.iter().filter(|file| file.is_for(group));
        let files: Vec<Value> = files.map(|file| file.value.clone()).collect();
        for (key, list) in [("files", files), ("statics", self.statics.clone())] {
            if !list.is_empty() {
                config.rest.insert(key.to_owned(), list.into());
            }
        }
        config
    }

    /// Fly's default size has 256 MB.
    pub fn memory_mb(&self) -> u64 {
        self.guest().map_or_else(|| compute::default_guest().memory_mb, |guest| guest.memory_mb)
    }

    pub fn cpus(&self) -> u32 {
        self.guest().map_or_else(|| compute::default_guest().cpus, |guest| guest.cpus)
    }

    /// `shared` or `performance`.
    pub fn cpu_kind(&self) -> String {
        self.guest().cloned().unwrap_or_else(compute::default_guest).cpu_kind
    }

    /// The largest number that a service asks for; 0 if none does.
    pub fn min_machines_running(&self) -> u32 {
        self.services_of(self.group())
            .filter_map(|service| service.min_machines_running)
            .max()
            .unwrap_or(0)
    }

    /// The first service's; off when not given.
    pub fn auto_stop(&self) -> Autostop {
        self.services_of(self.group()).find_map(|service| service.autostop).unwrap_or_default()
    }

    /// The first service's; on when not given, as Fly documents it.
    pub fn auto_start(&self) -> bool {
        self.services_of(self.group()).find_map(|service| service.autostart).unwrap_or(true)
    }

    /// The path of the first HTTP check, of a service before one of the machine.
    pub fn health_check_path(&self) -> Option<&str> {
        let group = self.group();
        let of_services =
            self.services_of(group).find_map(|service| checks::http_path(&service.checks));
        let mut of_machine = self.checks.values().filter(|check| check.is_for(group));
        of_services.or_else(|| {
            of_machine.find_map(|check| checks::http_path(std::slice::from_ref(&check.value)))
        })
    }

    fn group(&self) -> &str {
        if self.processes.contains_key(DEFAULT_GROUP) {
            return DEFAULT_GROUP;
        }
        self.processes.keys().next().map_or(DEFAULT_GROUP, String::as_str)
    }

    fn guest(&self) -> Option<&Guest> {
        last_for(&self.guests, self.group())
    }

    fn services_of(&self, group: &str) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(move |service| service.is_for(group)).map(|it| &it.value)
    }

    fn init_of(&self, group: &str) -> Option<Init> {
        let mut init = self.init.clone();
        let command = self.processes.get(group).and_then(|command| process::words(command));
        if let Some(words) = command.filter(|words| !words.is_empty()) {
            init.cmd = words;
        }
        (init != Init::default()).then_some(init)
    }
}

/// The last setting that names the group goes before those that are for all.
fn last_for<'a, T>(settings: &'a [PerGroup<T>], group: &str) -> Option<&'a T> {
    let named = settings.iter().rev().find(|it| !it.processes.is_empty() && it.is_for(group));
    named.or_else(|| settings.iter().rev().find(|it| it.is_for(group))).map(|it| &it.value)
}
