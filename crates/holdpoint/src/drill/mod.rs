//! Drills: a failure on purpose in staging, to see that it is noticed and mended in time. What is
//! broken stays so only while the drill lasts, however it ends; what it found out becomes a record
//! that pre-flight reads.
//!
//! Most drills break a real release of what runs already and let the engine notice it and go back:
//! the same gates, planner and executor as in production. `autoscale` only leaves a service alone.

mod autoscale;
mod direct;
mod fleet;
mod kind;
mod release;
mod timing;

use std::path::PathBuf;

use holdpoint_core::event::Ending;
use holdpoint_core::id::{Environment, ServiceName};
use holdpoint_core::project::Project;
use jiff::Timestamp;

use crate::adapter::clock::Clock;
use crate::adapter::documents;
use crate::adapter::platform::{Platform, PlatformAddress};
use crate::adapter::probe::Prober;
use crate::daemon::{Drive, StopSignals};
use crate::drill_record::{self, DrillRecord};
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};
use crate::rehearsal::traffic::{Party as Asked, Target, Traffic};

use direct::{Director, Injected};
use fleet::Fleet;
use release::DrillRelease;
use timing::Timing;

pub use kind::Drill;

/// The runbook, "Rollback Steps (< 5 minutes)".
const RECOVERY_MS_MAX: u64 = 5 * 60 * 1000;

/// What a drill is made with.
#[derive(Debug)]
pub struct Setup {
    /// The project.
    pub project: Project,
    /// The folder that its paths are relative to.
    pub project_root: PathBuf,
    /// Where the journal of the drill is kept. The caller holds its driver's lock.
    pub state_dir: PathBuf,
    /// The platform.
    pub address: PlatformAddress,
    /// Who drills.
    pub actor: String,
    /// The service that is broken.
    pub service: ServiceName,
    /// Requests per second to each app meanwhile.
    pub traffic: u32,
}

/// Times of a drill, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    started_at: Timestamp,
    noticed_at: Option<Timestamp>,
    /// What noticed it.
    noticed: Option<String>,
    recovered_at: Option<Timestamp>,
    /// What is wrong with how it went; nothing if it went as it should.
    problems: Vec<String>,
}

/// Drills, puts everything back, and writes the record.
///
/// # Errors
/// When the drill can't be begun; nothing is recorded then.
pub async fn run(
    setup: &Setup,
    drill: Drill,
    stop: &mut StopSignals,
) -> Result<DrillRecord, Problem> {
    if drill == Drill::DatabaseDown {
        return Err(no_database(setup));
    }
    let platform = Platform::new(&setup.address)?;
    // What an earlier drill left behind is no state to come back to.
    let release = DrillRelease::open(setup, stop).await?;
    let fleet = Fleet::look(setup, &platform).await?;
    let seen = if drill == Drill::Autoscale {
        release.clear()?;
        autoscale::run(setup, &platform, &fleet, stop).await?
    } else {
        with_release(setup, drill, &platform, &fleet, release, stop).await?
    };
    record(setup, drill, &fleet, &seen)
}

/// Breaks a release, lets the engine go back, and puts the rest back by hand.
async fn with_release(
    setup: &Setup,
    drill: Drill,
    platform: &Platform,
    fleet: &Fleet,
    release: DrillRelease<'_>,
    stop: &mut StopSignals,
) -> Result<Seen, Problem> {
    let director = Director::new(setup, drill, platform, fleet)?;
    let traffic = Traffic::start(targets(setup, fleet)?, setup.traffic, &Clock::real())?;
    let (conductor, handle) = release.start(platform, fleet).await?;
    let driving = Box::pin(conductor.drive(stop));
    let (driven, directed) = tokio::join!(driving, director.direct(&handle));
    // From here on nothing may return before all is as it was.
    let mut problems = director.clear().await;
    let stopped = matches!(driven, Ok(Drive::Stopped | Drive::Left));
    if release.is_open().await? {
        message::tell("putting everything back; Ctrl-C leaves at once\n");
        release.roll_back("the drill was broken off", stop).await?;
    }
    traffic.stop().await;
    problems.extend(fleet.put_back(platform).await);
    let timing = Timing::read(&release.records().await?)?;
    release.clear()?;
    driven?;
    let injected = directed?;
    if stopped {
        return Err(Problem::new(
            ExitCode::Interrupted,
            format!("the drill `{drill}` was stopped"),
        )
        .cause("everything is as before, and nothing was recorded"));
    }
    seen(drill, injected, timing, problems)
}

/// What the journal and the director say together.
fn seen(
    drill: Drill,
    injected: Option<Injected>,
    timing: Timing,
    mut problems: Vec<String>,
) -> Result<Seen, Problem> {
    let Some(injected) = injected else {
        let reason = match timing.ending {
            Some((_, Ending::Refused { reason })) => reason,
            _ => timing.rolled_back.map_or_else(String::new, |(_, reason)| reason),
        };
        return Err(Problem::new(ExitCode::Refused, format!("the drill `{drill}` did not begin"))
            .cause(reason)
            .hint("staging must be well before something is broken there: `holdpoint check`"));
    };
    let (noticed_at, noticed) = match (drill, timing.rolled_back) {
        (Drill::PlatformApiDown, _) => {
            match timing.first_failure_at.filter(|at| *at >= injected.at) {
                Some(at) => (Some(at), Some("a call of the Machines API failed".to_owned())),
                // Only a machine's health was waited for meanwhile, and that wait bears it.
                None => (Some(injected.at), Some("the wait for health outlasted it".to_owned())),
            }
        }
        (_, Some((at, reason))) => (Some(at), Some(reason)),
        (_, None) => (None, None),
    };
    if injected.was_given_up {
        problems.push("it was not noticed in time".to_owned());
    }
    let back_at = match timing.ending {
        Some((at, Ending::RolledBack)) => timing.back_at.or(Some(at)),
        // The API was gone before the first machine was touched: all is as it was.
        Some((at, Ending::Refused { .. })) if drill == Drill::PlatformApiDown => Some(at),
        Some(_) | None => None,
    };
    if back_at.is_none() {
        problems.push("the release did not go back".to_owned());
    }
    Ok(Seen {
        started_at: injected.at,
        noticed_at: noticed_at.filter(|at| !injected.was_given_up && *at >= injected.at),
        noticed,
        recovered_at: back_at,
        problems,
    })
}

fn record(setup: &Setup, drill: Drill, fleet: &Fleet, seen: &Seen) -> Result<DrillRecord, Problem> {
    let ended_at = Clock::real().now();
    let noticed_at = seen.noticed_at.unwrap_or(ended_at);
    let recovered_at = seen.recovered_at.unwrap_or(ended_at);
    let recovered_after_ms = millis(noticed_at, recovered_at);
    let mut problems = seen.problems.clone();
    if drill != Drill::Autoscale && recovered_after_ms > RECOVERY_MS_MAX {
        problems
            .push(format!("it took {} s to recover, 300 are allowed", recovered_after_ms / 1000));
    }
    let is_noticed = seen.noticed_at.is_some() && seen.recovered_at.is_some();
    let versions = fleet.0.iter().map(|party| {
        let version = party.version.clone().unwrap_or_else(|| party.image.to_string());
        (party.service.to_string(), version)
    });
    let record = DrillRecord {
        drill: drill.to_string(),
        environment: Environment::Staging,
        by: setup.actor.clone(),
        started_at: seen.started_at,
        ended_at,
        passed: problems.is_empty() && is_noticed,
        detected_after_ms: millis(seen.started_at, noticed_at),
        recovered_after_ms,
        service: setup.service.to_string(),
        versions: versions.collect(),
        noticed: seen.noticed.clone(),
        problems,
    };
    let path = drill_record::write(&setup.project_root, &record)?;
    message::tell(&format!("recorded in {}\n", path.display()));
    if let Some(log) = &setup.project.reliability_log {
        documents::append(&setup.project_root.join(log), &lines(&setup.project.title, &record))?;
    }
    Ok(record)
}

fn lines(title: &str, record: &DrillRecord) -> Vec<String> {
    let DrillRecord { drill, environment, by, detected_after_ms, recovered_after_ms, .. } = record;
    let stamp = record.ended_at.strftime("%Y-%m-%dT%H:%M:%SZ");
    let word = if record.passed { "PASSED" } else { "FAILED" };
    vec![
        format!("[{stamp}] DRILL {word} - {title}"),
        format!("Drill: {drill} of {} in {environment}, by {by}", record.service),
        format!("Detected: {detected_after_ms} ms"),
        format!("Recovered: {recovered_after_ms} ms"),
    ]
}

fn millis(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}

/// The questions of the smoke checks, of every service in staging.
fn targets(setup: &Setup, fleet: &Fleet) -> Result<Vec<Target>, Problem> {
    let prober = Prober::new(setup.address.proxy_url.as_deref())?;
    let targets = fleet.0.iter().filter_map(|party| {
        let service = setup.project.service(party.service.as_str())?;
        let questions = service.questions(Environment::Staging);
        let address = prober.address(party.app());
        let own_host = address.base_url.split_once("://").map(|(_, host)| host.to_owned());
        let host = address.host_header.or(own_host)?;
        let (service, app) = (party.service.clone(), party.app().clone());
        let asked = Asked { environment: Environment::Staging, service, app };
        let base_url = address.base_url;
        (!questions.is_empty()).then_some(Target { party: asked, base_url, host, questions })
    });
    Ok(targets.collect())
}

/// A project does not say which of its secrets lead to a database, so none can be taken away.
fn no_database(setup: &Setup) -> Problem {
    let sentence = format!("`{}` has no database that a drill could take away", setup.service);
    Problem::new(ExitCode::Refused, sentence)
        .cause("the project's file names none, and nothing was recorded as passed")
        .hint("stop the database of staging by hand, and watch `holdpoint status` meanwhile")
}
