//! How machines are held to their memory and processor time, and what is left of that.

mod support;

use std::path::PathBuf;

use machines_api::types::MachineConfig;
use platform_local::Runtime;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{
    World,
    state::{control_groups, machine_groups},
    until,
};

/// What the metrics say of a machine.
fn gauge(metrics: &str, family: &str, machine: &str) -> Option<u64> {
    let instance = format!(r#"instance="{machine}""#);
    let of_family = metrics.lines().filter_map(|line| line.strip_prefix(family)?.strip_prefix('{'));
    let mut found = of_family.filter(|line| line.contains(&instance));
    found.next()?.rsplit_once("} ")?.1.parse().ok()
}

fn with_memory(mut config: MachineConfig, memory_mb: u64) -> MachineConfig {
    let guest = json!({"cpu_kind": "shared", "cpus": 1, "memory_mb": memory_mb});
    config.guest = serde_json::from_value(guest).expect("a guest");
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_wants_more_memory_than_its_machine_has_is_told_as_oom_killed() {
    Box::pin(want_too_much_memory(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_a_program_that_wants_more_memory_than_its_machine_has_is_told_as_oom_killed()
 {
    Box::pin(want_too_much_memory(Runtime::Container)).await;
}

async fn want_too_much_memory(runtime: Runtime) {
    let world = World::in_(runtime).await;
    world.api.create_app("shop").await;
    let mut config = with_memory(world.config(&[("HOLD_MB", "200")]), 64);
    config.restart = serde_json::from_value(json!({"policy": "no"})).expect("a policy");
    let made = world.api.create("shop", config).await;
    world.api.wait("shop", &made.id, "stopped").await;
    let machine = world.api.machine("shop", &made.id).await;
    let exit = machine.events.iter().find_map(|event| event.exit_event()).expect("an exit");
    assert!(exit.oom_killed && !exit.requested_stop, "{exit:?}");
    assert_eq!((exit.exit_code, exit.signal), (137, 9));
    let metrics = world.api.metrics().await;
    assert_eq!(gauge(&metrics, "fly_instance_exit_oom", &made.id), Some(1), "{metrics}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_within_its_memory_serves_and_a_plain_kill_is_no_oom_kill() {
    Box::pin(stay_within_memory(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_a_program_within_its_memory_serves_and_a_plain_kill_is_no_oom_kill() {
    Box::pin(stay_within_memory(Runtime::Container)).await;
}

async fn stay_within_memory(runtime: Runtime) {
    let world = World::in_(runtime).await;
    world.api.create_app("shop").await;
    let made = world.api.create("shop", with_memory(world.config(&[]), 256)).await;
    world.api.ready("shop", &made.id).await;
    let hold = world.api.request(Method::POST, "shop", "/hold?mb=60").send().await;
    assert_eq!(hold.expect("an answer").status(), StatusCode::OK);
    until("what it holds is not available", || async {
        let metrics = world.api.metrics().await;
        let available = gauge(&metrics, "fly_instance_memory_mem_available", &made.id);
        available.is_some_and(|bytes| bytes < (256 - 60) << 20)
    })
    .await;
    let signal = format!("/v1/apps/shop/machines/{}/signal", made.id);
    world.api.done(Method::POST, &signal, json!({"signal": 9})).await;
    until("the exit is told", || async {
        let machine = world.api.machine("shop", &made.id).await;
        let exit = machine.events.iter().find_map(|event| event.exit_event()).cloned();
        exit.is_some_and(|exit| exit.exit_code == 137 && !exit.oom_killed)
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_and_a_container_get_the_same_memory_and_processor_time() {
    let world = World::in_with(Runtime::Container, |settings| settings.shared_cpu_baseline = true);
    let world = world.await;
    let engine = world.engine.as_ref().expect("an engine");
    world.api.create_app("shop").await;
    for (cpu_kind, cpus, quota) in
        [("shared", 2, (10_000, 80_000)), ("performance", 1, (100_000, 100_000))]
    {
        for runtime in ["process", "container"] {
            let mut config = world.config(&[("HOLDPOINT_RUNTIME", runtime)]);
            let guest = json!({"cpu_kind": cpu_kind, "cpus": cpus, "memory_mb": 192});
            config.guest = serde_json::from_value(guest).expect("a guest");
            let id = world.api.create("shop", config).await.id;
            world.api.wait("shop", &id, "started").await;
            let programs =
                if runtime == "process" { world.state.programs() } else { engine.programs() };
            let given = given_limits(programs[&id]);
            assert_eq!(given, (192 << 20, quota), "{runtime} with {cpus} {cpu_kind}");
        }
    }
    world.end().await;
}

/// Bytes of memory, and microseconds of processor time in a period, that the kernel gives the
/// control group of a program.
fn given_limits(pid: i32) -> (u64, (u64, u64)) {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its groups");
    let read = |controller: &str, file: &str| {
        let path = groups.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|name| name == controller).then_some(path)
        });
        let path = format!("/sys/fs/cgroup/{controller}{}/{file}", path?);
        std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
    };
    let number = |text: &str| text.parse().expect("a number");
    if let Some(memory) = read("memory", "memory.limit_in_bytes") {
        let cpu = |file| number(&read("cpu", file).expect("a limit"));
        return (number(&memory), (cpu("cpu.cfs_quota_us"), cpu("cpu.cfs_period_us")));
    }
    let cpu = read("", "cpu.max").expect("a limit");
    let (quota, period) = cpu.split_once(' ').expect("two numbers");
    (number(&read("", "memory.max").expect("a limit")), (number(quota), number(period)))
}

#[tokio::test(flavor = "multi_thread")]
async fn control_groups_of_machines_that_are_gone_are_removed_and_others_are_taken_over() {
    let mut world = World::new().await;
    let ids = world.app("shop", 2).await;
    let groups = |world: &World| -> Vec<PathBuf> {
        world.state.programs().into_values().flat_map(control_groups).collect()
    };
    let before = groups(&world);
    world.restart_platform().await;
    assert_eq!(groups(&world), before, "programs stay in their groups");
    let stop = format!("/v1/apps/shop/machines/{}/stop", ids[0]);
    world.api.done(Method::POST, &stop, Value::Null).await;
    world.api.wait("shop", &ids[0], "stopped").await;
    let (kept, gone): (Vec<_>, Vec<_>) = before.iter().partition(|group| group.exists());
    assert_eq!(kept.len(), gone.len(), "the group of the machine that stopped is removed");
    world.end().await;
    for group in &before {
        assert!(!group.exists(), "{} is left", group.display());
        let of_platform = group.parent().expect("the platform's directory");
        assert!(!of_platform.exists(), "{} is left", of_platform.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_within_its_limits_from_its_first_moment_and_so_is_one_run_beside_it() {
    let world = World::new().await;
    let id = world.app("shop", 1).await.remove(0);
    let machine = format!("/v1/apps/shop/machines/{id}");
    for _ in 0..10 {
        let pid = *world.state.programs().get(&id).expect("it runs");
        let now = control_groups(pid);
        let (_, at_start) = world.api.get("shop", "/groups").await;
        assert_eq!(machine_groups(&at_start), now, "{at_start}");
        let tool = json!({"command": ["/app", "groups"]});
        let beside = world.api.done(Method::POST, &format!("{machine}/exec"), tool).await;
        let beside = beside["stdout"].as_str().expect("its output");
        assert_eq!(machine_groups(beside), now, "{beside}");
        world.api.post(&format!("{machine}/restart")).await;
        until("another program runs", || async {
            world.state.programs().get(&id).is_some_and(|other| *other != pid)
        })
        .await;
        world.api.ready("shop", &id).await;
    }
    world.end().await;
}
