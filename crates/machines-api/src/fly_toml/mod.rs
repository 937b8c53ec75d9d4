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
mod group;
mod literal;
mod machine;
mod mounts;
mod process;
mod repair;
mod resize;
mod schema;
mod section;
mod services;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use toml::de::DeTable;

pub use self::diagnostic::{Diagnostic, Severity};
use self::diagnostic::{Problem, Problems};
pub use self::files::LocalFileError;
use self::files::MachineFile;
use self::group::{PerGroup, last_for};
pub use self::repair::{Fixed, fix};
pub use self::resize::{with_min_machines_running, with_size};
use self::section::{Form, Section};
use crate::types::{Autostop, Check, Guest, Init, Mount, Restart, Service, StopConfig};

/// Real files have a few hundred lines; more than this is no `fly.toml`.
const MAX_BYTES: usize = 1024 * 1024;

/// A parser that lost its way reports one mistake many times over.
const MAX_SYNTAX_ERRORS: usize = 10;

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
    files: Vec<PerGroup<MachineFile>>,
    statics: Vec<Value>,
    init: Init,
    stop_config: Option<StopConfig>,
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
    let processes = process::processes(root, problems);
    let default = group::default_of(&processes);
    let http_service =
        services::http_service(root, problems).map(|service| service.or_default(default));
    let mut services = services::services(root, problems);
    let checks = checks::machine_checks(root, http_service.as_ref(), default, problems);
    services.splice(0..0, http_service);
    let config = FlyConfig {
        app: root.string("app", problems),
        primary_region: root.string("primary_region", problems),
        env: process::env(root, problems),
        services: of_groups(services, default),
        checks,
        guests: compute::guests(root, problems),
        mounts: of_groups(mounts::mounts(root, problems), default),
        restarts: of_groups(process::restarts(root, problems), default),
        metrics: of_groups(metrics(root, problems), default),
        files: of_groups(files::files(root, problems), default),
        statics: files::statics(root, problems),
        init: process::init(root, problems),
        stop_config: process::stop_config(root, problems),
        processes,
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
    group::check(&config, root, problems);
    config
}

fn of_groups<T>(settings: Vec<PerGroup<T>>, default: &str) -> Vec<PerGroup<T>> {
    settings.into_iter().map(|setting| setting.or_default(default)).collect()
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

impl FlyConfig {
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
        self.services_of(self.default_group())
            .filter_map(|service| service.min_machines_running)
            .max()
            .unwrap_or(0)
    }

    /// The first service's; off when not given.
    pub fn auto_stop(&self) -> Autostop {
        self.services_of(self.default_group())
            .find_map(|service| service.autostop)
            .unwrap_or_default()
    }

    /// The first service's; on when not given, as Fly documents it.
    pub fn auto_start(&self) -> bool {
        self.services_of(self.default_group()).find_map(|service| service.autostart).unwrap_or(true)
    }

    /// The path of the first HTTP check, of a service before one of the machine.
    pub fn health_check_path(&self) -> Option<&str> {
        let group = self.default_group();
        let of_services =
            self.services_of(group).find_map(|service| checks::http_path(&service.checks));
        let mut of_machine = self.checks.values().filter(|check| check.is_for(group));
        of_services.or_else(|| {
            of_machine.find_map(|check| checks::http_path(std::slice::from_ref(&check.value)))
        })
    }

    /// The process groups, each of which has machines of its own; there is at least one.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        let only = self.processes.is_empty().then(|| self.default_group());
        self.processes.keys().map(String::as_str).chain(only)
    }

    /// `app`, or the first group where none is called so.
    pub fn default_group(&self) -> &str {
        group::default_of(&self.processes)
    }

    fn guest(&self) -> Option<&Guest> {
        last_for(&self.guests, self.default_group())
    }

    fn services_of(&self, group: &str) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(move |service| service.is_for(group)).map(|it| &it.value)
    }
}
