//! The platform is killed while faults are set: what of them is left, and what goes on.

mod support;

use platform_local::{Platform, Settings};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{
    Client, TOKEN, config, process::PlatformProcess, state::StateDirectory, state::control_groups,
    until,
};

const FAULTS: &str = "/admin/faults";

async fn list(api: &Client) -> Vec<Value> {
    let listed = api.done(Method::GET, FAULTS, Value::Null).await;
    listed.get("faults").and_then(Value::as_array).expect("a list").clone()
}

async fn struck(api: &Client) {
    until("the fault strikes", || async {
        let fault = list(api).await.remove(0);
        assert_eq!(fault.get("trouble"), None, "this test must run as root");
        fault.get("struck") == Some(&json!(1))
    })
    .await;
}

/// What a machine answers that counts on its volume.
async fn count(api: &Client) -> (StatusCode, String) {
    let answer = api.request(Method::POST, "shop", "/count").send().await.expect("an answer");
    (answer.status(), answer.text().await.expect("a body"))
}

/// A machine with a volume, ready.
async fn shop(api: &Client) -> String {
    let image = api.push_image(&[]).await;
    api.create_app("shop").await;
    let mut config = config(&image, &[("COUNT_FILE", "data/count")]);
    config.mounts = serde_json::from_value(json!([{"name": "data", "path": "/data"}])).expect("ok");
    let id = api.create("shop", config).await.id;
    api.ready("shop", &id).await;
    id
}

/// How many file systems are mounted below the state directory.
fn mounts(state: &StateDirectory) -> usize {
    let state = state.path().canonicalize().expect("a directory").display().to_string();
    let text = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    text.lines().filter(|line| line.contains(&state)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_full_again_with_its_fault_and_has_room_again_without() {
    let state = StateDirectory::new();
    let platform = PlatformProcess::start(state.path());
    shop(&platform.api).await;
    assert_eq!(count(&platform.api).await.1, "1");
    let fault = json!({"kind": "disk_full", "app": "shop"});
    platform.api.done(Method::POST, FAULTS, fault).await;
    struck(&platform.api).await;
    platform.kill();
    assert!(mounts(&state) > 0, "the kill left the disk full");

    let platform = PlatformProcess::start(state.path());
    until("the disk is full again", || async {
        count(&platform.api).await.0 == StatusCode::INTERNAL_SERVER_ERROR
    })
    .await;
    platform.kill();

    let platform = Platform::start(Settings::new(state.path(), TOKEN)).await.expect("started");
    assert_eq!(mounts(&state), 0, "what the fault laid over the volume is gone");
    let api = Client::new(platform.api_address(), platform.proxy_address());
    until("the machine serves", || async { api.get("shop", "/").await.0 == StatusCode::OK }).await;
    assert_eq!(count(&api).await, (StatusCode::OK, "2".to_owned()), "nothing was lost");
    platform.stop(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_for_a_time_ends_at_that_time_although_the_platform_was_killed() {
    let state = StateDirectory::new();
    let platform = PlatformProcess::start(state.path());
    let id = shop(&platform.api).await;
    let fault = json!({"kind": "error", "status": 500, "app": "shop", "for_secs": 1});
    platform.api.done(Method::POST, FAULTS, fault).await;
    platform.kill();
    let platform = PlatformProcess::start(state.path());
    until("it has ended", || async { list(&platform.api).await.is_empty() }).await;
    platform.api.ready("shop", &id).await;
    assert_eq!(platform.api.get("shop", "/").await.0, StatusCode::OK);
    platform.api.done(Method::DELETE, "/v1/apps/shop?force=true", Value::Null).await;
    platform.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_a_machines_memory_ends_with_the_platform() {
    let state = StateDirectory::new();
    let platform = PlatformProcess::start(state.path());
    let id = shop(&platform.api).await;
    let pid = *state.programs().get(&id).expect("it runs");
    let groups = control_groups(pid);
    let fault = json!({"kind": "memory", "app": "shop", "count": 1});
    platform.api.done(Method::POST, FAULTS, fault).await;
    struck(&platform.api).await;
    platform.kill();
    until("nothing but the machine's own program is in its group", || async {
        let inside = |group: &std::path::PathBuf| {
            let text = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            text.lines().all(|line| line == pid.to_string())
        };
        groups.iter().all(inside)
    })
    .await;
    let platform = Platform::start(Settings::new(state.path(), TOKEN)).await.expect("started");
    let api = Client::new(platform.api_address(), platform.proxy_address());
    api.ready("shop", &id).await;
    platform.stop(true).await;
}
