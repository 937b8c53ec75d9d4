//! Process groups: which there are, and which of them a setting is for. A setting that names none
//! is for the default group, except a size, which is for all.

use std::collections::BTreeMap;

use super::FlyConfig;
use super::diagnostic::Problems;
use super::process;
use super::section::{Form, Section};

/// The process group of an app without `[processes]`.
const DEFAULT: &str = "app";

/// Sections whose settings may be for some groups only.
const GROUPED: [&str; 12] = [
    "http_service",
    "services",
    "checks",
    "vm",
    "compute",
    "computes",
    "mounts",
    "mount",
    "restart",
    "metrics",
    "metric",
    "files",
];

/// A setting and the process groups that it is for; none named means all.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PerGroup<T> {
    pub(super) value: T,
    pub(super) processes: Vec<String>,
}

impl<T> PerGroup<T> {
    pub(super) fn is_for(&self, group: &str) -> bool {
        self.processes.is_empty() || self.processes.iter().any(|process| process == group)
    }

    /// A setting of this kind that names no group is for the default one.
    pub(super) fn or_default(mut self, default: &str) -> Self {
        if self.processes.is_empty() {
            self.processes.push(default.to_owned());
        }
        self
    }
}

/// `app`, or the first of the groups where none is called so.
pub(super) fn default_of(processes: &BTreeMap<String, String>) -> &str {
    if processes.contains_key(DEFAULT) {
        return DEFAULT;
    }
    processes.keys().next().map_or(DEFAULT, String::as_str)
}

/// The last setting that names the group goes before those that are for all.
pub(super) fn last_for<'a, T>(settings: &'a [PerGroup<T>], group: &str) -> Option<&'a T> {
    settings.get(last_index_for(settings, group)?).map(|it| &it.value)
}

/// The place of that setting in the list.
pub(super) fn last_index_for<T>(settings: &[PerGroup<T>], group: &str) -> Option<usize> {
    let named = settings.iter().rposition(|it| !it.processes.is_empty() && it.is_for(group));
    named.or_else(|| settings.iter().rposition(|it| it.is_for(group)))
}

/// Every process group that a section names exists, with `[processes]` every service names its
/// own, and no group has two mounts.
pub(super) fn check(config: &FlyConfig, root: &Section<'_>, problems: &mut Problems) {
    let known: Vec<&str> = config.groups().collect();
    let list = known.join("`, `");
    for (name, command) in &config.processes {
        if process::words(command).is_none() {
            let message = format!("the command of process group `{name}` has an open quote");
            let span = root.get("processes").map(|field| field.span).unwrap_or_default();
            problems.add(&span, message, "close the quote");
        }
    }
    let mut mounted: Vec<String> = Vec::new();
    for (key, section) in GROUPED.iter().flat_map(|key| sections(root, key)) {
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
            let message = format!("`{key}` names the process group `{group}`, which isn't there");
            problems.add(&section.span, message, format!("name one of `{list}`"));
        }
        if matches!(key, "mounts" | "mount") {
            let default = [default_of(&config.processes).to_owned()];
            for group in if named.is_empty() { &default[..] } else { &named } {
                if mounted.contains(group) {
                    let message = format!("the process group `{group}` has a second mount");
                    let hint = "leave one mount for each group: a machine has one volume at most";
                    problems.add(&section.span, message, hint);
                }
                mounted.push(group.clone());
            }
        }
    }
}

/// The tables that stand under a key, named ones included.
fn sections<'d>(root: &Section<'d>, key: &'static str) -> Vec<(&'static str, Section<'d>)> {
    let Some(field) = root.get(key).filter(|field| field.is_table() || field.is_list()) else {
        return Vec::new();
    };
    // Wrong forms are told by those who read the section.
    let told = &mut Problems::default();
    let mut sections = field.sections(Form::ListOrTable, told);
    if key == "checks" && field.is_table() {
        let named = sections.iter().flat_map(Section::fields);
        let named = named.filter(|(_, check)| check.is_table());
        sections = named.filter_map(|(_, check)| check.section(told)).collect();
    }
    sections.into_iter().map(|section| (key, section)).collect()
}
