//! What every plan keeps to, whatever the world looks like: safety (nothing bad is planned) and
//! progress (what can be planned is).

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::{CONFIG_KEY, KnownMachines, LeftOut, Obstacle, plan};
use crate::command::StartRelease;
use crate::id::{AppName, Environment, ImageDigest, InstanceId, MachineId, ReleaseId, ServiceName};
use crate::observation::{GroupFacts, ObservedMachine, ServiceFacts};
use crate::plan::{MachineAction, Plan, Rollout};
use crate::project::{self, Project};

fn project(max_unavailable: u32) -> Project {
    let text = format!(
        r#"
[project]
name = "shop"
title = "Shop"
time_zone = "UTC"
[[people]]
name = "ada"
roles = ["engineer", "manager"]
[[services]]
name = "web"
[services.build]
command = ["true"]
binary = "web"
[services.staging]
config = "staging.toml"
machines = 1
[services.production]
config = "production.toml"
machines = 2
[production]
max_unavailable = {max_unavailable}
"#
    );
    let (project, diagnostics) = project::parse(&text);
    assert_eq!(diagnostics, []);
    project.expect("a project")
}

/// A machine: its number, its state, and whether it already has the target config.
type AnyMachine = (u8, &'static str, bool);

fn any_machines() -> impl Strategy<Value = Vec<AnyMachine>> {
    let states = prop::sample::select(vec!["started", "stopped", "created", "destroying"]);
    prop::collection::vec((any::<u8>(), states, any::<bool>()), 0..8).prop_map(|mut machines| {
        let mut seen = BTreeSet::new();
        machines.retain(|(number, ..)| seen.insert(*number));
        machines
    })
}

fn start(staging: &[AnyMachine], production: &[AnyMachine], max: u32) -> StartRelease {
    let bare = |machines: &[AnyMachine]| StartRelease {
        version: "1.2.3".parse().expect("a version"),
        project: project(max),
        facts: vec![
            facts(Environment::Staging, staging, None),
            facts(Environment::Production, machines, None),
        ],
        rehearsal: None,
        again: None,
    };
    // the marks of the target config are read off a plan that makes every machine anew
    let (made, _) = plan(ReleaseId(1), &bare(&[]), &KnownMachines::new()).expect("a plan");
    let mark = |environment| {
        let rollout = rollouts(&made).into_iter().find(|one| one.environment == environment);
        rollout.and_then(|rollout| match &rollout.waves.first()?.changes.first()?.action {
            MachineAction::Create { config, .. } | MachineAction::Update { config, .. } => {
                config.get("metadata").cloned()
            }
            MachineAction::Retire { .. } | MachineAction::Withdraw { .. } => None,
        })
    };
    StartRelease {
        facts: vec![
            facts(Environment::Staging, staging, mark(Environment::Staging).as_ref()),
            facts(Environment::Production, production, mark(Environment::Production).as_ref()),
        ],
        ..bare(production)
    }
}

fn facts(
    environment: Environment,
    machines: &[AnyMachine],
    mark: Option<&serde_json::Value>,
) -> ServiceFacts {
    let machines = machines.iter().map(|(number, state, same)| ObservedMachine {
        id: MachineId::new(format!("{environment}-{number}")),
        state: (*state).to_owned(),
        instance_id: InstanceId::new(format!("v{number}")),
        image_digest: None,
        config: json!({
            "image": "registry/web@sha256:old",
            "metadata": mark.filter(|_| *same).cloned().unwrap_or_default(),
        }),
        updated_config: json!({"guest": {"memory_mb": 512}, "schedule": "daily"}),
    });
    ServiceFacts {
        service: ServiceName::new("web"),
        environment,
        app: AppName::new(format!("web-{environment}")),
        region: "ord".to_owned(),
        machines_wanted: 2,
        config: json!({"guest": {"memory_mb": 512}}),
        image_digest: ImageDigest::new("sha256:new"),
        image_reference: "registry/web@sha256:new".to_owned(),
        secrets_version: None,
        machines: machines.collect(),
        other_groups: Vec::new(),
    }
}

fn rollouts(plan: &Plan) -> Vec<&Rollout> {
    plan.steps.iter().filter_map(|step| step.kind.rollout()).collect()
}

proptest! {
    #[test]
    fn no_plan_does_anything_unsafe(
        staging in any_machines(),
        production in any_machines(),
        max in 1_u32..4,
    ) {
        let start = start(&staging, &production, max);
        let (plan, _) = plan(ReleaseId(7), &start, &KnownMachines::new()).expect("a plan");
        let mut machines = BTreeSet::new();
        for rollout in rollouts(&plan) {
            let seen = production.len();
            for wave in &rollout.waves {
                let updates = wave
                    .changes
                    .iter()
                    .filter(|change| matches!(change.action, MachineAction::Update { .. }));
                prop_assert!(
                    updates.count() <= max as usize || seen == 0,
                    "never more machines at once than the project allows"
                );
                for change in &wave.changes {
                    prop_assert!(machines.insert(change.slot.clone()), "no machine twice");
                    let config = match &change.action {
                        MachineAction::Create { config, .. }
                        | MachineAction::Update { config, .. } => config,
                        MachineAction::Retire { .. } | MachineAction::Withdraw { .. } => {
                            unreachable!("forward retires nothing")
                        }
                    };
                    let image = config.get("image").and_then(|image| image.as_str());
                    prop_assert!(
                        image.is_some_and(|image| image.contains("@sha256:")),
                        "an image is always named by its digest"
                    );
                }
            }
        }
    }

    #[test]
    fn every_machine_that_differs_is_planned_and_every_other_is_accounted_for(
        staging in any_machines(),
        production in any_machines(),
    ) {
        let start = start(&staging, &production, 1);
        let (plan, report) = plan(ReleaseId(7), &start, &KnownMachines::new()).expect("a plan");
        for machines in [(Environment::Staging, &staging), (Environment::Production, &production)] {
            let (environment, machines) = machines;
            for (number, state, same) in machines {
                let id = MachineId::new(format!("{environment}-{number}"));
                let updated = rollouts(&plan).iter().any(|rollout| {
                    rollout.waves.iter().flat_map(|wave| &wave.changes).any(|change| {
                        matches!(&change.action, MachineAction::Update { machine, .. }
                            if *machine == id)
                    })
                });
                let left_out = report.left_out.iter().any(|one| match one {
                    LeftOut::AlreadyThere { machine, .. } | LeftOut::GoingAway { machine, .. } => {
                        *machine == id
                    }
                    LeftOut::MoreThanWanted { .. } => false,
                });
                prop_assert!(updated != left_out, "either planned or left out with a reason");
                prop_assert_eq!(updated, *state != "destroying" && !*same);
            }
            let live = machines.iter().filter(|(_, state, _)| *state != "destroying").count();
            let created = rollouts(&plan)
                .iter()
                .filter(|rollout| rollout.environment == environment)
                .flat_map(|rollout| rollout.waves.iter().flat_map(|wave| &wave.changes))
                .filter(|change| matches!(change.action, MachineAction::Create { .. }))
                .count();
            prop_assert_eq!(created, 2_usize.saturating_sub(live), "as many as are wanted");
        }
    }

    #[test]
    fn the_same_facts_give_the_same_digest(
        staging in any_machines(),
        production in any_machines(),
    ) {
        let start = start(&staging, &production, 1);
        let digest = |start: &StartRelease| {
            let (plan, _) = plan(ReleaseId(7), start, &KnownMachines::new()).expect("a plan");
            let text = serde_json::to_string(&plan).expect("a plan serialises");
            let again: Plan = serde_json::from_str(&text).expect("and is read back");
            (plan.digest(), again.digest())
        };
        let (written, read) = digest(&start);
        prop_assert_eq!(&written, &read);
        prop_assert_eq!(written, digest(&start.clone()).0);
    }
}

#[test]
fn every_obstacle_is_told_at_once() {
    let mut start = start(&[], &[], 1);
    start.facts.remove(0);
    start.facts[0].image_digest = ImageDigest::new("latest");
    let known = [(AppName::new("web-production"), [MachineId::new("m1")].into())].into();
    let obstacles = plan(ReleaseId(1), &start, &known).unwrap_err();
    let texts: Vec<String> = obstacles.iter().map(Obstacle::to_string).collect();
    insta::assert_snapshot!(texts.join("\n"), @"
    nothing is known of web in staging
    the image of web is `latest`, which is no digest
    the platform shows no machines of web-production, where 1 are known
    ");
}

#[test]
fn a_machine_is_marked_with_the_version_and_config_that_it_was_given() {
    let (plan, _) = plan(ReleaseId(1), &start(&[], &[], 1), &KnownMachines::new()).unwrap();
    let rollout = rollouts(&plan)[0];
    let MachineAction::Create { config, .. } = &rollout.waves[0].changes[0].action else {
        panic!("the first machine is created");
    };
    assert_eq!(config["metadata"]["holdpoint_version"], "1.2.3");
    assert!(config["metadata"][CONFIG_KEY].as_str().unwrap().starts_with("sha256:"));
}

#[test]
fn an_update_gives_each_machine_what_the_file_makes_of_its_own_config() {
    let start = start(&[], &[(1, "started", false)], 1);
    let (plan, _) = plan(ReleaseId(1), &start, &KnownMachines::new()).unwrap();
    let rollout = rollouts(&plan)[1];
    let MachineAction::Update { config, previous_config, .. } = &rollout.waves[0].changes[0].action
    else {
        panic!("the machine that is there is updated");
    };
    assert_eq!(config["schedule"], "daily", "what the file doesn't manage stays");
    assert_eq!(config["image"], "registry/web@sha256:new");
    assert_eq!(previous_config["image"], "registry/web@sha256:old");
}

#[test]
fn every_process_group_is_released_with_its_own_config_and_none_twice() {
    let mut start = start(&[], &[], 1);
    let worker = json!({"metadata": {"fly_process_group": "worker"}});
    for facts in &mut start.facts {
        facts.other_groups.push(GroupFacts {
            name: "worker".to_owned(),
            machines_wanted: 1,
            config: worker.clone(),
            machines: Vec::new(),
        });
    }
    let (plan, _) = plan(ReleaseId(1), &start, &KnownMachines::new()).unwrap();
    let changes: Vec<_> = rollouts(&plan)[1].waves.iter().flat_map(|wave| &wave.changes).collect();
    let made: Vec<(u32, &str, &serde_json::Value)> = changes
        .iter()
        .map(|change| {
            let MachineAction::Create { name, config, .. } = &change.action else {
                panic!("nothing is there that could be changed");
            };
            (change.slot.index, name.as_str(), &config["metadata"]["fly_process_group"])
        })
        .collect();
    let null = serde_json::Value::Null;
    let group = json!("worker");
    assert_eq!(made, [(0, "web-0", &null), (1, "web-1", &null), (2, "web-worker-0", &group)]);
}
