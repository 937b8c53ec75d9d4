//! The facts that must hold before a release (the runbook's pre-deployment check-list), looked at
//! all at once. Each says what it looked at and how to mend it; whether a failed one holds the
//! release, and who may waive it, is the core's decision.

mod app_config;
mod ci;
mod config;
mod database;
mod drill;
mod finding;
mod invariants;
mod model_api;
mod notes;
mod parity;
mod platform;
mod reachable;
mod rollback_target;
mod runbook;
mod secrets;
mod source;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use holdpoint_core::effect::CheckResult;
use holdpoint_core::gate::comparison::outlook;
use holdpoint_core::id::{AppName, Environment, ImageDigest, ServiceName};
use holdpoint_core::preflight::CheckKind;
use holdpoint_core::project::Project;
use jiff::Timestamp;
use semver::Version;

use super::clock::Stopwatch;
use super::platform::Platform;
use crate::executor::ReleaseFacts;
use crate::variables::Variables;
use finding::Lack;

pub use finding::{Check, Reach};
pub use rollback_target::Previous;

/// A check that has not ended by then counts as failed; what it asks answers within seconds.
const LOOK_TIMEOUT: Duration = Duration::from_mins(1);

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The project that rules the release.
    pub project: Project,
    /// The version; `None` where nobody has said which, and nothing is asked of it then.
    pub version: Option<Version>,
    /// Whether it is a rehearsal, which cannot have what a release must have.
    pub is_rehearsal: bool,
    /// The images that the release brings to each app; none before they are built.
    pub images: Vec<(AppName, ImageDigest)>,
    /// What each app runs before it: what a rollback puts back.
    pub previous: Vec<(AppName, Previous)>,
    /// When a release was last rolled back in staging alone.
    pub rolled_back_in_staging_at: Option<Timestamp>,
    /// How many requests a second each service answers in production, where that is known.
    pub requests_per_sec: BTreeMap<ServiceName, f64>,
}

/// Where it is looked.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The platform.
    pub platform: Option<&'a Platform>,
    /// The folder of `holdpoint.toml`.
    pub project_root: &'a Path,
    /// Where tokens and addresses with passwords are kept.
    pub variables: &'a Variables,
    /// The time by which reviews and drills become old.
    pub now: Timestamp,
}

impl Subject {
    /// What is looked at before a release.
    pub fn of(facts: &ReleaseFacts) -> Self {
        Self {
            project: facts.project.clone(),
            version: Version::parse(&facts.version).ok(),
            is_rehearsal: facts.is_rehearsal,
            images: facts.images.clone(),
            previous: facts.previous.clone(),
            rolled_back_in_staging_at: facts.rolled_back_in_staging_at,
            requests_per_sec: facts.requests_per_sec.clone(),
        }
    }
}

/// Every check that applies, in the order in which people read them.
pub fn checks<'a>(subject: &'a Subject, surroundings: Surroundings<'a>) -> Vec<Check<'a>> {
    let mut checks = of_the_version(subject, surroundings);
    if let Some(platform) = surroundings.platform {
        checks.extend(of_the_platform(subject, surroundings, platform));
    }
    checks.extend(of_the_files(subject, surroundings));
    checks.extend(of_the_traffic(subject));
    checks.extend(of_others(subject, surroundings));
    checks
}

/// Whether the gates that compare can decide at the traffic that was last measured. Too little of it
/// fails nothing: the soak lasts until there was enough.
fn of_the_traffic(subject: &Subject) -> Vec<Check<'_>> {
    let Project { gates, production, .. } = &subject.project;
    let known = subject.requests_per_sec.iter().filter(|_| !subject.is_rehearsal);
    let looks = known.map(|(service, per_sec)| {
        let outlook = outlook(gates, *per_sec, production.validate_secs);
        Check::here(CheckKind::Traffic, service.as_str(), async move { Ok(outlook.to_string()) })
    });
    looks.collect()
}

fn of_the_version<'a>(subject: &'a Subject, surroundings: Surroundings<'a>) -> Vec<Check<'a>> {
    let Some(version) = &subject.version else {
        return Vec::new();
    };
    let root = surroundings.project_root;
    let project = &subject.project;
    vec![
        Check::here(CheckKind::Version, "", async move {
            Ok(format!("{version} is a semantic version"))
        }),
        Check::here(CheckKind::Notes, "", notes::look(root, project, version)),
        Check::here(CheckKind::Tag, "", source::tag(root, version, subject.is_rehearsal)),
        Check::here(CheckKind::Merged, "", source::merged(root, version, subject.is_rehearsal)),
    ]
}

fn of_the_platform<'a>(
    subject: &'a Subject,
    surroundings: Surroundings<'a>,
    platform: &'a Platform,
) -> Vec<Check<'a>> {
    let (root, project) = (surroundings.project_root, &subject.project);
    let mut checks = Vec::new();
    let apps: BTreeSet<AppName> = app_config::apps(root, project);
    if let Some(app) = apps.first().cloned() {
        let token = platform::token(platform, app);
        checks.push(Check::network(CheckKind::Token, "", token));
    }
    for app in apps {
        let subject = app.to_string();
        checks.push(Check::network(CheckKind::App, &subject, platform::app(platform, app)));
    }
    for (app, digest) in &subject.images {
        let image = platform::image(platform, app, digest.as_str());
        checks.push(Check::network(CheckKind::Image, app.as_str(), image));
    }
    for (app, previous) in &subject.previous {
        let target = rollback_target::look(platform, app, previous);
        checks.push(Check::network(CheckKind::RollbackTarget, app.as_str(), target));
    }
    for service in &project.services {
        for environment in [Environment::Staging, Environment::Production] {
            let name = format!("{}/{environment}", service.name);
            let required = secrets::required(platform, root, service, environment);
            checks.push(Check::network(CheckKind::Secrets, &name, required));
        }
        let shared = secrets::shared(platform, root, &project.preflight, service);
        checks.push(Check::network(CheckKind::SharedSecrets, &service.name, shared));
    }
    checks
}

fn of_the_files<'a>(subject: &'a Subject, surroundings: Surroundings<'a>) -> Vec<Check<'a>> {
    let Surroundings { project_root: root, now, .. } = surroundings;
    let policy = &subject.project.preflight;
    let mut checks = Vec::new();
    for service in &subject.project.services {
        let config = async move { config::look(root, policy, service) };
        checks.push(Check::here(CheckKind::Config, &service.name, config));
        let parity = async move { parity::look(root, policy, service) };
        checks.push(Check::here(CheckKind::Parity, &service.name, parity));
    }
    for runbook in &policy.runbooks {
        let reviewed = runbook::look(root, runbook, now);
        checks.push(Check::here(CheckKind::Runbook, &runbook.path, reviewed));
    }
    for invariant in &subject.project.gates.invariants {
        for environment in invariant.environments.iter().copied() {
            let name = format!("{}/{environment}", invariant.name);
            let answered = invariants::look(root, invariant, environment);
            checks.push(Check::network(CheckKind::Invariant, &name, answered));
        }
    }
    if let Some(within_days) = policy.rollback_drilled_within_days {
        let drilled = drill::look(root, within_days, subject, now);
        checks.push(Check::here(CheckKind::Drill, "", drilled));
    }
    checks
}

/// What services of others say. A rehearsal has to do without them.
fn of_others<'a>(subject: &'a Subject, surroundings: Surroundings<'a>) -> Vec<Check<'a>> {
    let Surroundings { project_root: root, variables, .. } = surroundings;
    let policy = &subject.project.preflight;
    let mut checks = Vec::new();
    if let (Some(ci), Some(version)) = (&policy.ci, &subject.version) {
        let passed = ci::passed(root, version, ci, variables);
        checks.push(Check::network(CheckKind::Ci, "", passed));
        if ci.approving_reviews > 0 {
            let reviewed = ci::reviewed(root, version, ci, variables);
            checks.push(Check::network(CheckKind::Reviewed, "", reviewed));
        }
    }
    for database in &policy.databases {
        let answers = database::look(database, variables);
        checks.push(Check::network(CheckKind::Database, &database.name, answers));
    }
    for api in &policy.model_apis {
        let answers = model_api::look(api, variables);
        checks.push(Check::network(CheckKind::ModelApi, &api.name, answers));
    }
    for reachable in &policy.reachable {
        let answers = reachable::look(reachable);
        checks.push(Check::network(CheckKind::Reachable, &reachable.name, answers));
    }
    if subject.is_rehearsal {
        for check in &mut checks {
            check.look = Box::pin(async { Ok(skipped("a rehearsal asks nobody else")) });
        }
    }
    checks
}

/// Looks at everything at once. `told` hears of each check as it ends; the results come in the
/// order of the checks.
pub async fn look(checks: Vec<Check<'_>>, mut told: impl FnMut(&CheckResult)) -> Vec<CheckResult> {
    let mut looks: FuturesUnordered<_> = checks
        .into_iter()
        .enumerate()
        .map(|(number, check)| async move { (number, result(check).await) })
        .collect();
    let mut results = Vec::new();
    while let Some((number, result)) = looks.next().await {
        told(&result);
        results.push((number, result));
    }
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}

async fn result(check: Check<'_>) -> CheckResult {
    let Check { name, look, .. } = check;
    let watch = Stopwatch::start();
    let finding = match tokio::time::timeout(LOOK_TIMEOUT, look).await {
        Ok(finding) => finding,
        Err(_elapsed) => Err(Lack::new(
            format!("nothing was found out within {} s", LOOK_TIMEOUT.as_secs()),
            "see whether what it asks can be reached, then look again",
        )),
    };
    let (passed, detail, hint) = match finding {
        Ok(detail) => (true, detail, None),
        Err(Lack { detail, hint }) => (false, detail, Some(hint)),
    };
    CheckResult { name, passed, detail, hint, took_ms: watch.elapsed_ms() }
}

/// What a check says that does not apply.
fn skipped(why: &str) -> String {
    format!("skipped: {why}")
}
