//! `holdpoint scale`: gives a service's machines another size or number, while no release is
//! under way. `holdpoint scale advice`: what they should have, by what they use.

use std::time::Duration;

use holdpoint_core::id::Environment;
use holdpoint_core::project::{Project, Service};
use holdpoint_core::sizing::{self, Size};
use machines_api::types::Machine;

use crate::adapter::clock::{Clock, Stopwatch, pause};
use crate::adapter::platform::{Platform, app_file};
use crate::adapter::telemetry::usage;
use crate::cli::arguments::{Scale, ScaleAdvice, ScaleOrder, ScaleVerb};
use crate::daemon::{StopSignals, read_stored};
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};
use crate::project_file;
use crate::scaling::report::ServiceReport;
use crate::scaling::{Scaling, Wanted};
use crate::settings::Settings;

pub(super) async fn scale(settings: &Settings, scale: &Scale) -> Result<ExitCode, Problem> {
    let order = &scale.order;
    match (&scale.verb, &order.service, order.environment) {
        (Some(ScaleVerb::Advice(flags)), ..) => advice(settings, flags).await,
        (None, Some(service), Some(environment)) => {
            change(settings, service, environment, order).await
        }
        // The definition asks for both.
        (None, ..) => Err(Problem::new(ExitCode::Usage, "nothing was named to scale")),
    }
}

/// Fly's default for a service whose config says no soft limit.
const SOFT_LIMIT: u32 = 20;

/// An app that is there, and what its machines have.
struct Subject<'a> {
    service: &'a Service,
    environment: Environment,
    app: String,
    size: Size,
    soft_limit: u32,
}

async fn advice(settings: &Settings, flags: &ScaleAdvice) -> Result<ExitCode, Problem> {
    let project = project_file::load(&settings.project_file)?;
    let address = settings.platform(&flags.platform)?;
    let subjects = subjects(settings, &project, &Platform::new(&address)?).await?;
    let watch = Stopwatch::start();
    let earlier = usage::scrape(&address).await?;
    pause(Duration::from_secs(flags.over)).await;
    let later = usage::scrape(&address).await?;
    let passed = watch.elapsed();
    let reports: Vec<ServiceReport> = subjects
        .into_iter()
        .map(|Subject { service, environment, app, size, soft_limit }| {
            let usage = usage::between(&app, &earlier, &later, passed, size.cpus, soft_limit);
            let advice = sizing::advise(&usage, size, project.gates.latency_p95_warn_ms);
            let advice = ServiceReport::advised(&service.name, environment, advice);
            let service = service.name.clone();
            ServiceReport { service, environment, app, size, usage, advice }
        })
        .collect();
    if flags.reading.json {
        message::print(&format!("{}\n", serde_json::to_string_pretty(&reports)?));
    } else if reports.is_empty() {
        message::print("no service has machines yet\n");
    } else {
        message::print(&reports.iter().map(ServiceReport::text).collect::<String>());
    }
    Ok(ExitCode::Done)
}

/// Every service that has machines, in the file's order.
async fn subjects<'a>(
    settings: &Settings,
    project: &'a Project,
    platform: &Platform,
) -> Result<Vec<Subject<'a>>, Problem> {
    let mut subjects = Vec::new();
    for environment in [Environment::Staging, Environment::Production] {
        for service in &project.services {
            let file = app_file(&settings.project_dir(), service.placement(environment))
                .map_err(|error| Problem::from(error).exit(ExitCode::Usage))?;
            let machines = match platform.machines_of(&file).await {
                Ok(machines) => machines,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error.into()),
            };
            let Some(config) =
                machines.iter().find_map(|machine: &Machine| machine.config.as_ref())
            else {
                continue;
            };
            let guest = config.guest.clone().unwrap_or_default();
            let limits =
                config.services.iter().filter_map(|it| it.concurrency.as_ref()?.soft_limit);
            subjects.push(Subject {
                service,
                environment,
                app: file.app.to_string(),
                size: Size {
                    memory_mb: guest.memory_mb,
                    cpus: guest.cpus,
                    machines: u32::try_from(machines.len()).unwrap_or(u32::MAX),
                },
                soft_limit: limits.min().unwrap_or(SOFT_LIMIT),
            });
        }
    }
    Ok(subjects)
}

async fn change(
    settings: &Settings,
    service: &str,
    environment: Environment,
    order: &ScaleOrder,
) -> Result<ExitCode, Problem> {
    let project = project_file::load(&settings.project_file)?;
    let service = project.service(service).ok_or_else(|| {
        let names: Vec<&str> = project.services.iter().map(|it| it.name.as_str()).collect();
        Problem::new(ExitCode::Usage, format!("the project has no service `{service}`"))
            .hint(format!("name one of `{}`", names.join("`, `")))
    })?;
    let &ScaleOrder { memory: memory_mb, cpus, count, min_running, .. } = order;
    let wanted = Wanted { memory_mb, cpus, count, min_running };
    refuse_meaningless(service, environment, order.yes, &wanted)?;
    let mut stop = StopSignals::listen()?;
    // Whoever drives a release has the lock, and no release starts while we have it.
    let _lock = super::drive::lock(settings, format!("holdpoint scale {}", service.name))?;
    let stored = read_stored(&settings.state_dir).await?;
    if let Some(release) = stored.as_ref().and_then(|stored| stored.state.active()) {
        return Err(Problem::new(ExitCode::Refused, format!("cannot scale `{}`", service.name))
            .cause(format!("{} of {} is under way", release.id, release.version))
            .hint("let it end (`holdpoint resume`), then scale"));
    }
    let platform = Platform::new(&settings.platform(&order.platform)?)?;
    let scaling = Scaling {
        project: &project,
        project_file: settings.project_file.clone(),
        project_root: settings.project_dir(),
        platform: &platform,
        service,
        environment,
        wanted,
        actor: settings.actor.clone(),
        reason: order.reason.clone(),
    };
    scaling.carry_out(Clock::real().now(), &mut stop).await?;
    Ok(ExitCode::Done)
}

fn refuse_meaningless(
    service: &Service,
    environment: Environment,
    yes: bool,
    wanted: &Wanted,
) -> Result<(), Problem> {
    if *wanted == Wanted::default() {
        return Err(Problem::new(ExitCode::Usage, "nothing was said to scale")
            .hint("give `--memory MB`, `--cpus N`, `--count N` or `--min-running N`"));
    }
    if wanted.count == Some(0) && !yes {
        let sentence = format!("`--count 0` takes `{}` offline", service.name);
        return Err(Problem::new(ExitCode::Refused, sentence)
            .cause(format!("every machine of it in {environment} would be stopped"))
            .hint("repeat it with `--yes` if that is meant, and say why with `--reason`"));
    }
    let more_kept = wanted.min_running.zip(wanted.count).filter(|(kept, count)| kept > count);
    if let Some((kept, count)) = more_kept {
        let sentence = format!("{kept} machines can't be kept running where {count} are");
        return Err(Problem::new(ExitCode::Usage, sentence)
            .hint("give `--min-running` no more than `--count`"));
    }
    Ok(())
}
