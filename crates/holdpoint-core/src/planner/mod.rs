//! Turns a project and what was seen of the world into a plan and a report, without touching
//! anything. The way back is planned in [`way_back`].

mod report;
mod way_back;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::canonical;
use crate::command::StartRelease;
use crate::id::{AppName, Course, Environment, MachineId, ReleaseId, ServiceName, Slot};
use crate::observation::{GroupFacts, ObservedMachine, ServiceFacts};
use crate::plan::{
    MachineAction, MachineChange, Plan, Rollout, Soak, SoakPurpose, Step, StepKind, Wave,
};
use crate::project::Project;

pub use report::{LeftOut, Obstacle, Report};
pub use way_back::way_back;

/// The metadata key under which a machine tells which config a plan gave it.
pub const CONFIG_KEY: &str = "holdpoint_config";
/// The metadata key under which a machine tells which version it runs.
pub const VERSION_KEY: &str = "holdpoint_version";

/// The machines known per app, from earlier plans and outcomes.
pub type KnownMachines = BTreeMap<AppName, BTreeSet<MachineId>>;

/// Plans a release: pre-flight, staging, its soak, the hold points, production, its validation.
///
/// # Errors
/// Every obstacle that keeps a plan from being made, at once.
pub fn plan(
    release: ReleaseId,
    start: &StartRelease,
    known: &KnownMachines,
) -> Result<(Plan, Report), Vec<Obstacle>> {
    let obstacles = obstacles(start, known);
    if !obstacles.is_empty() {
        return Err(obstacles);
    }
    let mut report = Report::default();
    let mut steps = vec![Step { name: "pre-flight".to_owned(), kind: StepKind::Preflight }];
    let project = &start.project;
    let production = &project.production;

    environment_steps(start, Environment::Staging, &mut steps, &mut report);
    smoke_steps(start, Environment::Staging, &mut steps);
    steps.push(soak(SoakPurpose::Soak, Environment::Staging, project.staging.soak_secs));
    steps.push(Step {
        name: "approvals".to_owned(),
        kind: StepKind::Approval {
            roles: production.approvals.clone(),
            expires_after_secs: production.approval_expires_after_secs,
        },
    });
    steps.push(Step {
        name: "production window".to_owned(),
        kind: StepKind::Window { announce_before_secs: production.announce_before_secs },
    });
    environment_steps(start, Environment::Production, &mut steps, &mut report);
    steps.push(soak(SoakPurpose::Settle, Environment::Production, production.settle_secs));
    smoke_steps(start, Environment::Production, &mut steps);
    steps.push(soak(SoakPurpose::Validate, Environment::Production, production.validate_secs));

    let plan = Plan {
        release,
        course: Course::Forward,
        version: start.version.clone(),
        parent: None,
        pace: start.rehearsal.map_or(1, |rehearsal| rehearsal.speed.max(1)),
        steps,
    };
    Ok((plan, report))
}

fn obstacles(start: &StartRelease, known: &KnownMachines) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    for service in &start.project.services {
        let name = ServiceName::new(&service.name);
        let mut images = BTreeSet::new();
        for environment in [Environment::Staging, Environment::Production] {
            let Some(facts) = facts_of(start, &name, environment) else {
                obstacles.push(Obstacle::NoFacts { service: name.clone(), environment });
                continue;
            };
            images.insert(facts.image_digest.clone());
            if !facts.image_digest.as_str().starts_with("sha256:") {
                let image = facts.image_digest.to_string();
                obstacles.push(Obstacle::NoDigest { service: name.clone(), image });
            }
            let known_count = known.get(&facts.app).map_or(0, BTreeSet::len);
            if facts.every_machine().next().is_none() && known_count > 0 {
                let app = facts.app.clone();
                obstacles.push(Obstacle::EmptyAnswer { app, known: known_count });
            }
            if facts.machines.is_empty() && facts.machines_wanted == 0 {
                obstacles.push(Obstacle::NoMachines { service: name.clone(), environment });
            }
        }
        if images.len() > 1 {
            obstacles.push(Obstacle::ImagesDiffer { service: name });
        }
    }
    obstacles
}

fn facts_of<'a>(
    start: &'a StartRelease,
    service: &ServiceName,
    environment: Environment,
) -> Option<&'a ServiceFacts> {
    start.facts.iter().find(|facts| facts.service == *service && facts.environment == environment)
}

/// The facts of one environment in the order in which its services are changed.
fn in_order(start: &StartRelease, environment: Environment) -> Vec<&ServiceFacts> {
    let order = start.project.service_order();
    order
        .into_iter()
        .filter_map(|name| facts_of(start, &ServiceName::new(name), environment))
        .collect()
}

fn environment_steps(
    start: &StartRelease,
    environment: Environment,
    steps: &mut Vec<Step>,
    report: &mut Report,
) {
    for facts in in_order(start, environment) {
        let changes = changes(start, facts, report);
        let rollout = Rollout {
            service: facts.service.clone(),
            environment,
            app: facts.app.clone(),
            image_digest: facts.image_digest.clone(),
            secrets_version: facts.secrets_version,
            health_within_secs: health_within_secs(&start.project, environment),
            waves: waves(changes, wave_size(&start.project, facts)),
        };
        let name = format!("{environment} rollout of {}", facts.service);
        steps.push(Step { name, kind: StepKind::Rollout(rollout) });
    }
}

fn smoke_steps(start: &StartRelease, environment: Environment, steps: &mut Vec<Step>) {
    for facts in in_order(start, environment) {
        steps.push(Step {
            name: format!("{environment} smoke checks of {}", facts.service),
            kind: StepKind::Smoke {
                service: facts.service.clone(),
                environment,
                app: facts.app.clone(),
            },
        });
    }
}

/// How long a machine may take to become healthy: 30 s in staging, 2 min in production by
/// default (the runbook, phases 1 and 2).
fn health_within_secs(project: &Project, environment: Environment) -> u64 {
    match environment {
        Environment::Staging => project.staging.health_within_secs,
        Environment::Production => project.production.health_within_secs,
    }
}

/// How many machines change together. A first deployment makes all at once: there is no traffic
/// to keep up.
fn wave_size(project: &Project, facts: &ServiceFacts) -> usize {
    if facts.every_machine().next().is_none() {
        return usize::MAX;
    }
    match facts.environment {
        Environment::Staging => 1,
        Environment::Production => {
            usize::try_from(project.production.max_unavailable).unwrap_or(1).max(1)
        }
    }
}

fn waves(changes: Vec<MachineChange>, size: usize) -> Vec<Wave> {
    let mut waves: Vec<Wave> = Vec::new();
    for change in changes {
        match waves.last_mut() {
            Some(wave) if wave.changes.len() < size => wave.changes.push(change),
            _ => waves.push(Wave { changes: vec![change] }),
        }
    }
    waves
}

/// The changes of all process groups, the default one first; the slots are numbered through.
fn changes(start: &StartRelease, facts: &ServiceFacts, report: &mut Report) -> Vec<MachineChange> {
    let default = GroupFacts {
        name: String::new(),
        machines_wanted: facts.machines_wanted,
        config: facts.config.clone(),
        machines: facts.machines.clone(),
    };
    let mut actions = Vec::new();
    for group in std::iter::once(&default).chain(&facts.other_groups) {
        actions.extend(changes_of_group(start, facts, group, report));
    }
    let slots = (0..).map(|index| slot(facts, index));
    // A machine that stays as it is has its slot too.
    let numbered = slots.zip(actions);
    numbered.filter_map(|(slot, action)| Some(MachineChange { slot, action: action? })).collect()
}

/// For each machine of the group what is done to it, if anything, then those that are missing.
fn changes_of_group(
    start: &StartRelease,
    facts: &ServiceFacts,
    group: &GroupFacts,
    report: &mut Report,
) -> Vec<Option<MachineAction>> {
    let digest = canonical::digest(&json!([group.config, facts.image_reference]));
    let mut machines: Vec<&ObservedMachine> = group.machines.iter().collect();
    machines.sort_by(|left, right| left.id.cmp(&right.id));
    machines.retain(|machine| {
        let going_away = matches!(machine.state.as_str(), "destroyed" | "destroying");
        if going_away {
            report.left_out.push(LeftOut::GoingAway {
                machine: machine.id.clone(),
                state: machine.state.clone(),
            });
        }
        !going_away
    });
    let wanted = usize::try_from(group.machines_wanted).unwrap_or(usize::MAX);
    let count = machines.len();
    if count > wanted {
        report.left_out.push(LeftOut::MoreThanWanted {
            app: facts.app.clone(),
            found: count,
            wanted: group.machines_wanted,
        });
    }
    let mut actions = Vec::new();
    for machine in machines {
        if config_digest_of(&machine.config) == Some(&digest) {
            let (machine, app) = (machine.id.clone(), facts.app.clone());
            report.left_out.push(LeftOut::AlreadyThere { machine, app });
            actions.push(None);
            continue;
        }
        actions.push(Some(MachineAction::Update {
            machine: machine.id.clone(),
            expected_instance: Some(machine.instance_id.clone()),
            previous_config: machine.config.clone(),
            previous_image: machine.image_digest.clone(),
            config: target_config(start, facts, &machine.updated_config, &digest),
            supersedes_lease: None,
        }));
    }
    let name = if group.name.is_empty() {
        facts.service.to_string()
    } else {
        format!("{}-{}", facts.service, group.name)
    };
    actions.extend((count..wanted).map(|index| {
        Some(MachineAction::Create {
            name: format!("{name}-{index}"),
            region: facts.region.clone(),
            config: target_config(start, facts, &group.config, &digest),
        })
    }));
    actions
}

fn slot(facts: &ServiceFacts, index: u32) -> Slot {
    Slot { environment: facts.environment, service: facts.service.clone(), index }
}

/// A machine config with the image and the marks by which the machine is recognised later. The
/// digest is that of what the app's file asks for, whatever else the machine has.
fn target_config(
    start: &StartRelease,
    facts: &ServiceFacts,
    config: &Value,
    digest: &str,
) -> Value {
    let mut config = config.clone();
    if let Value::Object(fields) = &mut config {
        fields.insert("image".to_owned(), json!(facts.image_reference));
        let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
        if let Value::Object(metadata) = metadata {
            metadata.insert(CONFIG_KEY.to_owned(), json!(digest));
            metadata.insert(VERSION_KEY.to_owned(), json!(start.version.to_string()));
        }
    }
    config
}

fn config_digest_of(config: &Value) -> Option<&str> {
    config.get("metadata")?.get(CONFIG_KEY)?.as_str()
}

pub(crate) fn soak(purpose: SoakPurpose, environment: Environment, duration_secs: u64) -> Step {
    let word = match purpose {
        SoakPurpose::Soak => "soak",
        SoakPurpose::Settle => "settling",
        SoakPurpose::Validate => "validation",
        SoakPurpose::Watch => "watch",
    };
    let soak = Soak { environment, purpose, duration_secs };
    Step { name: format!("{environment} {word}"), kind: StepKind::Soak(soak) }
}

#[cfg(test)]
mod tests;
