//! The runbook's rules for an app's config ("Verify fly.toml configuration", "Verify production
//! fly.toml", "Resource requirements documented", "Health check endpoints implemented"), and which
//! fields of it are each environment's own. How a config is written is for others to read.

use crate::id::{AppName, Environment};

/// What staging apps' names end in (the runbook, "app name ends with -staging").
const STAGING_SUFFIX: &str = "-staging";

/// What the rules look at in one app's config.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct AppConfig {
    /// The app.
    pub app: AppName,
    /// Where it runs.
    pub environment: Environment,
    /// The config's file, for the mend.
    pub file: String,
    /// Whether it takes requests at all.
    pub is_serving: bool,
    /// Whether its machines stop when they are idle.
    pub stops_when_idle: bool,
    /// Whether a request starts them.
    pub starts_by_request: bool,
    /// Whether somebody has written how many of them always run.
    pub says_how_many_always_run: bool,
    /// Whether somebody has written their size.
    pub says_its_size: bool,
    /// Whether it has a health check by HTTP.
    pub has_health_check: bool,
}

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The field that it is about.
    pub field: &'static str,
    /// What is not as it should be.
    pub what: String,
    /// What to write.
    pub mend: String,
}

/// Every rule that a config does not follow.
pub fn departures(config: &AppConfig) -> Vec<Departure> {
    let mut departures: Vec<Departure> = name(config).into_iter().collect();
    if config.is_serving {
        departures.extend(scaling(config));
    }
    departures.extend(documented(config));
    departures
}

/// Whether a field may differ between staging and production without a word: the app's name, how
/// many machines always run (which a rule wants to be set on purpose), and what a variable holds,
/// as long as both have it.
pub fn may_differ(field: &str, is_in_both: bool) -> bool {
    let last = field.rsplit('.').next().unwrap_or_default();
    field == "app" || last == "min_machines_running" || (field.starts_with("env.") && is_in_both)
}

fn name(config: &AppConfig) -> Option<Departure> {
    let AppConfig { app, environment, file, .. } = config;
    let is_staging_name = app.as_str().ends_with(STAGING_SUFFIX);
    let (what, mend) = match environment {
        Environment::Staging if !is_staging_name => (
            format!("the staging app `{app}` does not end in `{STAGING_SUFFIX}`"),
            format!("name it `{app}{STAGING_SUFFIX}` in `{file}`"),
        ),
        Environment::Production if is_staging_name => (
            format!("the production app `{app}` is named like a staging app"),
            format!("name another app in `{file}`"),
        ),
        Environment::Staging | Environment::Production => return None,
    };
    Some(Departure { field: "app", what, mend })
}

/// Machines stop when they are idle and start by themselves; how many of production's never do is
/// said in so many words.
fn scaling(config: &AppConfig) -> Vec<Departure> {
    let AppConfig { app, file, .. } = config;
    let mut departures = Vec::new();
    if !config.stops_when_idle {
        departures.push(Departure {
            field: "http_service.auto_stop_machines",
            what: format!("machines of `{app}` do not stop when they are idle"),
            mend: format!("write `auto_stop_machines = \"stop\"` in `{file}`"),
        });
    }
    if !config.starts_by_request {
        departures.push(Departure {
            field: "http_service.auto_start_machines",
            what: format!("machines of `{app}` are not started by a request"),
            mend: format!("write `auto_start_machines = true` in `{file}`"),
        });
    }
    if config.environment == Environment::Production && !config.says_how_many_always_run {
        departures.push(Departure {
            field: "http_service.min_machines_running",
            what: format!("nobody has said how many machines of `{app}` always run"),
            mend: format!("write `min_machines_running` in `{file}`, also if it is 0"),
        });
    }
    departures
}

fn documented(config: &AppConfig) -> Vec<Departure> {
    let AppConfig { app, file, .. } = config;
    let mut departures = Vec::new();
    if !config.says_its_size {
        departures.push(Departure {
            field: "vm",
            what: format!("the size of the machines of `{app}` is not written down"),
            mend: format!("add `[[vm]]` with `cpu_kind`, `cpus` and `memory` to `{file}`"),
        });
    }
    if config.is_serving && !config.has_health_check {
        departures.push(Departure {
            field: "http_service.checks",
            what: format!("`{app}` has no health check by HTTP"),
            mend: format!("add `[[http_service.checks]]` with `path = \"/health\"` to `{file}`"),
        });
    }
    departures
}
