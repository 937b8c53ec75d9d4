//! Scaling, on a real platform: every machine gets its new size, or all keep the old one; the
//! number follows; the files say it from then on.

use std::fs;

use holdpoint::daemon::StopSignals;
use holdpoint::message::Problem;
use holdpoint::scaling::{Scaling, Wanted};
use holdpoint_core::id::Environment;
use jiff::Timestamp;
use machines_api::types::{Machine, MachineState};

use super::world::{APP, World};

const PROJECT: &str = r#"[project]
name = "shop"
time_zone = "UTC"

[[people]]
name = "ada"
roles = ["engineer", "manager"]

[[services]]
name = "web"
build = { command = ["true"], binary = "program" }
staging = { config = "staging.toml" }

[services.production]
config = "production.toml"
machines = 2 # by day
"#;

async fn world() -> World {
    let world = World::new().await;
    fs::write(world.root().join("holdpoint.toml"), PROJECT).expect("written");
    for index in [0, 1] {
        world.healthy_machine(index).await;
    }
    world
}

async fn scale(world: &World, wanted: Wanted) -> Result<(), Problem> {
    let scaling = Scaling {
        project: &world.project,
        project_file: world.root().join("holdpoint.toml"),
        project_root: world.root(),
        platform: world.executor.platform(),
        service: world.project.service("web").expect("the service"),
        environment: Environment::Production,
        wanted,
        actor: "ada".to_owned(),
        reason: Some("more customers".to_owned()),
    };
    let mut stop = StopSignals::listen().expect("signals");
    scaling.carry_out(Timestamp::UNIX_EPOCH, &mut stop).await
}

async fn machines(world: &World) -> Vec<Machine> {
    let mut machines = world.executor.platform().client().list_machines(APP).await.expect("listed");
    let is_gone = |state| matches!(state, MachineState::Destroying | MachineState::Destroyed);
    machines.retain(|machine| !is_gone(machine.state));
    machines.sort_by(|left, right| left.id.cmp(&right.id));
    machines
}

async fn memory(world: &World) -> Vec<u64> {
    let guest = |machine: Machine| machine.config.expect("a config").guest.expect("a size");
    machines(world).await.into_iter().map(|machine| guest(machine).memory_mb).collect()
}

#[tokio::test]
async fn machines_get_more_memory_one_by_one_and_the_file_says_it_from_then_on() {
    let world = Box::pin(world()).await;
    let wanted = Wanted { memory_mb: Some(320), min_running: Some(1), ..Wanted::default() };
    scale(&world, wanted.clone()).await.expect("scaled");
    assert_eq!(memory(&world).await, [320, 320]);
    assert_eq!(world.ask().await.0, 200);
    let before = machines(&world).await;
    assert!(before.iter().all(|machine| machine.cordoned != Some(true)));
    let file = fs::read_to_string(world.root().join("production.toml")).expect("read");
    assert!(file.contains("memory = \"320mb\"") && file.contains("min_machines_running = 1"));
    let log = fs::read_to_string(world.root().join("feedback/reliability.md")).expect("a log");
    assert!(log.contains("] SCALED - shop\nWhat: `web` in production: memory 256 to 320 MB"));
    assert!(log.ends_with("by ada\nReason: more customers\n"), "{log}");
    // What is so already is left alone.
    scale(&world, wanted).await.expect("nothing to do");
    let versions = |machines: &[Machine]| -> Vec<String> {
        machines.iter().map(|machine| machine.instance_id.clone()).collect()
    };
    assert_eq!(versions(&machines(&world).await), versions(&before));
    world.end().await;
}

#[tokio::test]
async fn if_one_machine_cannot_be_scaled_all_keep_their_size() {
    let world = Box::pin(world()).await;
    let ids: Vec<String> = machines(&world).await.into_iter().map(|machine| machine.id).collect();
    let client = world.executor.platform().client();
    let held = client.acquire_lease(APP, &ids[1], 600, "somebody else").await.expect("a lease");
    let wanted = Wanted { memory_mb: Some(320), ..Wanted::default() };
    let problem = scale(&world, wanted).await.expect_err("refused").text();
    assert!(problem.contains(&format!("machine `{}`", ids[1])), "{problem}");
    assert!(problem.contains(&format!("machine `{}` is as before", ids[0])), "{problem}");
    client.release_lease(APP, &ids[1], &held.nonce).await.expect("released");
    assert_eq!(memory(&world).await, [256, 256]);
    assert_eq!(world.ask().await.0, 200);
    let file = fs::read_to_string(world.root().join("production.toml")).expect("read");
    assert!(file.contains("256mb"), "{file}");
    world.end().await;
}

#[tokio::test]
async fn a_service_grows_shrinks_goes_offline_and_comes_back() {
    let world = Box::pin(world()).await;
    let count = |count| Wanted { count: Some(count), ..Wanted::default() };
    scale(&world, count(3)).await.expect("grown");
    let grown = machines(&world).await;
    let mut effects: Vec<_> = grown
        .iter()
        .filter_map(|it| it.config.as_ref()?.metadata.get("holdpoint_effect"))
        .collect();
    effects.dedup();
    assert_eq!((grown.len(), effects.len()), (3, 2), "the new one was made by no effect");
    let project = || fs::read_to_string(world.root().join("holdpoint.toml")).expect("read");
    assert_eq!(project(), PROJECT.replace("= 2 #", "= 3 #"));
    scale(&world, count(2)).await.expect("shrunk");
    assert_eq!(machines(&world).await.len(), 2);
    assert_eq!(project(), PROJECT);
    scale(&world, count(0)).await.expect("offline");
    assert_eq!(world.ask().await.0, 503, "nothing starts it again");
    let log = fs::read_to_string(world.root().join("feedback/reliability.md")).expect("a log");
    assert!(log.contains("] EMERGENCY SCALE TO ZERO - shop\nReason: more customers\n"), "{log}");
    assert_eq!(machines(&world).await.len(), 2, "they are kept");
    scale(&world, count(1)).await.expect("back");
    assert_eq!(world.ask().await.0, 200);
    world.end().await;
}

#[tokio::test]
async fn a_service_is_measured_now_and_one_that_has_enough_gets_no_advice() {
    let world = Box::pin(world()).await;
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_holdpoint"))
        .args(["scale", "advice", "--over", "1", "--json"])
        .current_dir(world.root())
        .env_clear()
        .env("FLY_API_TOKEN", world.address.token())
        .env("FLY_FLAPS_BASE_URL", &world.address.api_base_url)
        .env("HOLDPOINT_PROXY_URL", world.address.proxy_url.as_deref().expect("a proxy"))
        .output()
        .await
        .expect("the command runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let reports: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let report = &reports[0];
    assert_eq!(reports.as_array().map(Vec::len), Some(1), "staging has no machines: {reports}");
    assert_eq!(report["service"], "web");
    assert_eq!(report["size"]["machines"], 2);
    let memory_share = report["usage"]["memory_share"].as_f64().expect("memory is measured");
    assert!(memory_share > 0.0 && memory_share < 0.7, "{report}");
    assert_eq!(report["advice"], serde_json::json!([]), "{report}");
    world.end().await;
}
