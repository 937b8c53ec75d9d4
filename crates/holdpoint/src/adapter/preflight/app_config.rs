//! What checks read of the apps' configs: as Fly understands them, and as they are written.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use holdpoint_core::id::{AppName, Environment};
use holdpoint_core::project::{Project, Service};

use super::finding::Lack;
use crate::adapter::platform::{AppFile, app_file};

/// The config of one service in one environment.
pub(super) fn read(
    root: &Path,
    service: &Service,
    environment: Environment,
) -> Result<AppFile, Lack> {
    let placement = service.placement(environment);
    app_file(root, placement).map_err(|error| {
        let Lack { detail, hint } = Lack::told(&error, "");
        Lack::new(detail, format!("mend `{}`: {hint}", placement.config))
    })
}

/// The text of that config.
pub(super) fn text(
    root: &Path,
    service: &Service,
    environment: Environment,
) -> Result<String, Lack> {
    let config = &service.placement(environment).config;
    fs::read_to_string(root.join(config)).map_err(|error| {
        Lack::new(format!("`{config}` can't be read: {error}"), format!("write `{config}`"))
    })
}

/// Every app whose config can be read; those that can't are told by the checks of the configs.
pub(super) fn apps(root: &Path, project: &Project) -> BTreeSet<AppName> {
    let placements = project.services.iter().flat_map(|service| {
        [Environment::Staging, Environment::Production]
            .map(|environment| service.placement(environment))
    });
    placements.filter_map(|placement| Some(app_file(root, placement).ok()?.app)).collect()
}

/// Names for people: `a`, `b` and `c`.
pub(super) fn listed(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}
