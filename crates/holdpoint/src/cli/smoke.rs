//! `holdpoint smoke`: asks the project's smoke checks outside of a release, and shows every step.

use std::collections::BTreeMap;

use holdpoint_core::id::{AppName, Environment};
use holdpoint_core::project::{Project, Service};
use serde_json::json;

use crate::adapter::build::BuildPlace;
use crate::adapter::probe::Prober;
use crate::adapter::smoke::{CheckReport, Secrets, Smoker, Target};
use crate::cli::arguments::{Smoke, SmokedEnvironment};
use crate::daemon::StopSignals;
use crate::exit_code::ExitCode;
use crate::images;
use crate::message::{self, Problem};
use crate::project_file;
use crate::render::smoke as render;
use crate::settings::Settings;
use crate::variables::Variables;

pub(super) async fn smoke(settings: &Settings, flags: &Smoke) -> Result<ExitCode, Problem> {
    let project = project_file::load(&settings.project_file)?;
    let environment = match flags.environment {
        SmokedEnvironment::Staging => Environment::Staging,
        SmokedEnvironment::Production => Environment::Production,
    };
    let services = services(&project, environment, flags.service.as_deref())?;
    let place =
        BuildPlace { project_root: settings.project_dir(), state_dir: settings.state_dir.clone() };
    let apps: BTreeMap<String, AppName> = images::apps(&place, &project)?
        .into_iter()
        .filter(|(where_from, _, _)| *where_from == environment)
        .map(|(_, service, app)| (service.to_string(), app))
        .collect();
    let address = settings.platform(&flags.platform)?;
    let smoker = Smoker::new(Prober::new(address.proxy_url.as_deref())?, settings.project_dir());
    let variables = Variables::of_process();
    // a program that a check runs must not outlive this one
    let mut stop = StopSignals::listen()?;
    let mut asked: Vec<(Target, Vec<CheckReport>)> = Vec::new();
    for service in services {
        let Some(app) = apps.get(&service.name).cloned() else { continue };
        let target = Target { service: service.name.clone(), environment, app };
        let secrets = Secrets::of(&service.smoke, &variables);
        let running = Box::pin(smoker.run(&target, &service.smoke, &secrets));
        let reports = tokio::select! {
            reports = running => reports,
            _ = stop.next() => return Ok(ExitCode::Interrupted),
        };
        if !flags.reading.json {
            message::print(&render::table(&target, &reports));
        }
        asked.push((target, reports));
    }
    let reports = asked.iter().flat_map(|(_, reports)| reports);
    let passed = reports.clone().all(|report| report.passed);
    if flags.reading.json {
        let services: Vec<serde_json::Value> = asked
            .iter()
            .map(|(target, checks)| {
                json!({ "service": target.service, "app": target.app, "checks": checks })
            })
            .collect();
        let document =
            json!({ "environment": environment, "passed": passed, "services": services });
        message::print(&format!("{}\n", serde_json::to_string_pretty(&document)?));
    } else {
        message::print(&render::summary(reports));
    }
    Ok(if passed { ExitCode::Done } else { ExitCode::Unexpected })
}

/// The services that have something to answer, in the order of a release.
fn services<'a>(
    project: &'a Project,
    environment: Environment,
    only: Option<&str>,
) -> Result<Vec<&'a Service>, Problem> {
    let names = project.service_order();
    if let Some(only) = only.filter(|only| !names.contains(only)) {
        let known = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        return Err(Problem::new(ExitCode::Usage, format!("the project has no service `{only}`"))
            .hint(format!("name one of {known}")));
    }
    let wanted = names.into_iter().filter(|name| only.is_none_or(|only| only == *name));
    let services: Vec<&Service> = wanted
        .filter_map(|name| project.service(name))
        .filter(|service| service.smoke.iter().any(|check| check.applies_to(environment)))
        .collect();
    if services.is_empty() {
        let whose = only.map_or_else(|| "the project".to_owned(), |only| format!("`{only}`"));
        let sentence = format!("{whose} has no smoke checks for {environment}");
        return Err(Problem::new(ExitCode::Usage, sentence)
            .hint("write `smoke/SERVICE.toml` beside `holdpoint.toml`; docs/smoke.md says how"));
    }
    Ok(services)
}
