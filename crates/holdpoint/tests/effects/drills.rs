//! Drills, on a real platform: what is broken is noticed by the real gates, what ran runs again,
//! and nothing stays broken.

#![expect(clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use holdpoint::adapter::clock::pause;
use holdpoint::adapter::faults::Faults;
use holdpoint::daemon::StopSignals;
use holdpoint::drill::{self, Drill, Setup};
use holdpoint::drill_record::{self, DrillRecord};
use holdpoint::message::Problem;
use holdpoint_core::id::{AppName, Environment, InstanceId, MachineId, ServiceName};
use machines_api::types::{CreateMachine, Machine};
use serde_json::json;

use super::world::{PATIENCE, STAGING_APP, World, is_done};

/// Staging has one machine that is well.
async fn world(adjust: impl FnOnce(&mut platform_local::Settings)) -> World {
    let mut world = World::with(|settings| {
        settings.allow_faults = true;
        adjust(settings);
    })
    .await;
    // The shortest that a policy can be; the rest of it is the default.
    let project = &mut world.project;
    project.staging.health_within_secs = PATIENCE.as_secs();
    project.production.watch_after_rollback_secs = 1;
    // While its only machine changes, some requests find none.
    project.gates.error_critical_for_secs = 5;
    project.gates.error_minimum_requests = 1;
    project.gates.latency_p95_minimum_requests = 1;
    project.gates.stale_after_secs = 10;
    // A busy computer is slow, and nothing here is about that.
    project.gates.latency_p95_warn_ms = 20_000;
    project.gates.latency_p95_critical_ms = 30_000;
    project.gates.memory_share_warn = 1.0;
    project.gates.memory_share_critical = 1.0;
    deploy(&world).await;
    world
}

async fn deploy(world: &World) {
    let mut facts = world.observe().await;
    facts.retain(|facts| facts.environment == Environment::Staging);
    let facts = facts.pop().expect("staging");
    let mut config = facts.config;
    config["image"] = json!(facts.image_reference);
    config["metadata"]["holdpoint_version"] = json!("1.0.0");
    let create = CreateMachine {
        config: serde_json::from_value(config).expect("a config"),
        ..CreateMachine::default()
    };
    let platform = world.executor.platform();
    let created = platform.client().create_machine(STAGING_APP, &create, None).await;
    let machine = created.expect("a machine");
    let (id, instance) = (MachineId::new(&machine.id), InstanceId::new(&machine.instance_id));
    let app = AppName::new(STAGING_APP);
    is_done(&platform.await_health(&app, &id, &instance, PATIENCE.as_secs()).await);
}

fn state_dir(world: &World) -> PathBuf {
    world.directory.path().join("drills")
}

async fn drill(world: &World, drill: Drill) -> Result<DrillRecord, Problem> {
    let setup = Setup {
        project: world.project.clone(),
        project_root: world.root(),
        state_dir: state_dir(world),
        address: world.address.clone(),
        actor: "ada".to_owned(),
        service: ServiceName::new("web"),
        traffic: 20,
    };
    let mut stop = StopSignals::listen().expect("signals");
    Box::pin(drill::run(&setup, drill, &mut stop)).await
}

async fn machine(world: &World) -> Machine {
    let machines = world.executor.platform().client().list_machines(STAGING_APP).await;
    machines.expect("listed").pop().expect("a machine")
}

/// The drill passed, the machine is as before, no fault is left, and the record says so.
async fn passes(world: &World, name: Drill) -> DrillRecord {
    let before = machine(world).await;
    let record = drill(world, name).await.unwrap_or_else(|problem| panic!("{}", problem.text()));
    assert!(record.passed, "{record:?}");
    assert_eq!((record.drill.as_str(), record.by.as_str()), (&*name.to_string(), "ada"));
    assert_eq!(record.versions["web"], "1.0.0");
    let after = machine(world).await;
    assert_eq!((after.state, after.cordoned), (before.state, before.cordoned));
    let config = after.config.expect("a config");
    assert!(!config.metadata.contains_key("holdpoint_drill"), "{config:?}");
    assert_eq!(config.image, before.config.expect("a config").image);
    let faults = Faults::of(&world.address).expect("faults").list().await.expect("listed");
    assert!(faults.is_empty(), "{faults:?}");
    let (records, problems) = drill_record::read_all(&world.root().join(drill_record::FOLDER));
    assert_eq!((records, problems), (vec![record.clone()], Vec::new()));
    let log = fs::read_to_string(world.root().join("feedback/reliability.md")).expect("a log");
    assert!(log.contains(&format!("] DRILL PASSED - shop\nDrill: {name} of web")), "{log}");
    assert!(!state_dir(world).join("drill").exists(), "its journal is of no more use");
    record
}

#[tokio::test]
async fn a_drill_of_rolling_back_changes_staging_by_a_release_and_puts_it_back() {
    let world = Box::pin(world(|_| {})).await;
    let instance = machine(&world).await.instance_id;
    let record = passes(&world, Drill::Rollback).await;
    assert_ne!(machine(&world).await.instance_id, instance, "the machine was changed");
    // This is what pre-flight's check asks of a record.
    assert_eq!(record.drill, drill_record::ROLLBACK);
    assert_eq!(record.environment, Environment::Staging);
    world.end().await;
}

#[tokio::test]
async fn what_a_drill_left_that_was_killed_is_put_back_by_the_next_one() {
    let world = Box::pin(world(|_| {})).await;
    let image = machine(&world).await.config.expect("a config").image;
    let marked = async {
        let is_marked = |machine: Machine| {
            machine.config.is_some_and(|config| config.metadata.contains_key("holdpoint_drill"))
        };
        while !is_marked(machine(&world).await) {
            pause(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        ended = drill(&world, Drill::Rollback) => panic!("it was not killed in time: {ended:?}"),
        () = marked => {}
    }
    let record = drill(&world, Drill::Rollback).await.unwrap_or_else(|it| panic!("{}", it.text()));
    assert!(record.passed, "{record:?}");
    let config = machine(&world).await.config.expect("a config");
    assert!(!config.metadata.contains_key("holdpoint_drill"), "{config:?}");
    assert_eq!(config.image, image);
    world.end().await;
}

#[tokio::test]
async fn errors_on_purpose_are_noticed_by_the_gate_and_the_release_goes_back() {
    let world = Box::pin(world(|_| {})).await;
    let record = passes(&world, Drill::HighErrorRate).await;
    assert!(record.noticed.is_some_and(|noticed| noticed.contains("error rate of web")));
    world.end().await;
}

#[tokio::test]
async fn late_answers_on_purpose_are_noticed_by_the_gate_and_the_release_goes_back() {
    let mut world = Box::pin(world(|_| {})).await;
    world.project.gates.latency_p95_critical_for_secs = 1;
    world.project.gates.latency_p95_warn_ms = 2_000;
    world.project.gates.latency_p95_critical_ms = 2_000;
    let record = passes(&world, Drill::HighLatency).await;
    assert!(record.noticed.is_some_and(|noticed| noticed.contains("latency")));
    world.end().await;
}

#[tokio::test]
async fn machines_that_are_down_are_noticed_and_started_again() {
    let mut world = Box::pin(world(|_| {})).await;
    world.project.gates.health_warn_for_secs = 1;
    world.project.gates.health_critical_for_secs = 1;
    let record = passes(&world, Drill::AllMachinesDown).await;
    assert!(record.noticed.is_some(), "{record:?}");
    world.end().await;
}

#[tokio::test]
async fn a_platform_that_answers_nothing_breaks_no_release() {
    let mut world = Box::pin(world(|_| {})).await;
    // Its only machine is out of the rotation for as long as the platform does not answer.
    world.project.gates.error_critical_for_secs = 60;
    passes(&world, Drill::PlatformApiDown).await;
    world.end().await;
}

#[tokio::test]
async fn a_service_that_nobody_asks_sleeps_and_is_awake_again_for_the_first_request() {
    let world = Box::pin(world(|settings| {
        settings.idle_stop_secs = 1;
        settings.idle_look_ms = 100;
    }))
    .await;
    let file = world.root().join("staging.toml");
    let refused = drill(&world, Drill::Autoscale).await.expect_err("it never sleeps").text();
    assert!(refused.contains("auto stop") && refused.contains("nothing was recorded"), "{refused}");
    let text = fs::read_to_string(&file).expect("read");
    let sleeping = text.replace("auto_stop_machines = \"off\"", "auto_stop_machines = \"stop\"");
    fs::write(&file, sleeping).expect("written");
    let client = world.executor.platform().client();
    client.delete(STAGING_APP, &machine(&world).await.id, true, None).await.expect("deleted");
    deploy(&world).await;
    let record = drill(&world, Drill::Autoscale).await.unwrap_or_else(|it| panic!("{}", it.text()));
    assert!(record.passed && record.recovered_after_ms > 0, "{record:?}");
    world.end().await;
}

#[tokio::test]
async fn memory_that_is_filled_is_noticed_or_the_platform_says_that_it_cannot() {
    let world = Box::pin(world(|_| {})).await;
    match drill(&world, Drill::Oom).await {
        Ok(record) => assert!(record.passed, "{record:?}"),
        // A computer that limits no memory can't drill this, and then nothing is recorded.
        Err(problem) => {
            assert!(problem.text().contains("the platform can't do what"), "{}", problem.text());
            let folder = world.root().join(drill_record::FOLDER);
            assert_eq!(drill_record::read_all(&folder).0, []);
        }
    }
    world.end().await;
}

#[tokio::test]
async fn without_a_database_its_drill_is_not_recorded_as_passed() {
    let world = Box::pin(world(|_| {})).await;
    let refused = drill(&world, Drill::DatabaseDown).await.expect_err("there is none").text();
    assert!(refused.contains("no database") && refused.contains("nothing was recorded"));
    assert!(!world.root().join(drill_record::FOLDER).exists());
    world.end().await;
}
