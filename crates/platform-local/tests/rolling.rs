//! The platform's promise: while machines are updated, restarted, stopped and cordoned one at a
//! time, no client sees a failed request.

mod support;

use platform_local::Runtime;
use reqwest::Method;
use serde_json::Value;
use support::{World, load::Load};

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_machines_are_changed_one_at_a_time() {
    let world = World::new().await;
    let ids = world.app("shop", 2).await;
    let api = &world.api;
    let load = Load::begin(api, "shop");
    load.more(30).await;
    for round in 0..4 {
        for id in &ids {
            let machine = format!("/v1/apps/shop/machines/{id}");
            match round {
                0 => {
                    let config = world.config(&[("VERSION", "two")]);
                    api.update("shop", id, &config).await;
                }
                1 => {
                    api.post(&format!("{machine}/restart")).await;
                    // The answer may come before the machine has left `started`.
                }
                2 => {
                    api.post(&format!("{machine}/stop")).await;
                    api.wait("shop", id, "stopped").await;
                    api.post(&format!("{machine}/start")).await;
                }
                // The way a careful deployment does it.
                _ => {
                    api.post(&format!("{machine}/cordon")).await;
                    let config = world.config(&[("VERSION", "three")]);
                    api.update("shop", id, &config).await;
                    api.ready("shop", id).await;
                    api.post(&format!("{machine}/uncordon")).await;
                }
            }
            api.ready("shop", id).await;
            load.more(20).await;
        }
    }
    let report = load.end().await;
    assert!(report.failures.is_empty(), "of {}: {:#?}", report.answered, report.failures);
    assert_eq!(report.served_by.len(), 2, "both machines took part");
    assert_eq!(retries(&world).await, None);
    let (_, answer) = api.get("shop", "/").await;
    assert!(answer.contains("three"), "{answer}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_machine_is_restarted_without_a_failed_request_because_requests_are_held() {
    Box::pin(restart_the_only_machine(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_a_single_machine_is_restarted_without_a_failed_request_because_requests_are_held()
 {
    Box::pin(restart_the_only_machine(Runtime::Container)).await;
}

#[expect(clippy::indexing_slicing, reason = "the body of two tests")]
async fn restart_the_only_machine(runtime: Runtime) {
    let world = World::in_(runtime).await;
    let ids = world.app("shop", 1).await;
    let load = Load::begin(&world.api, "shop");
    load.more(20).await;
    for version in ["two", "three"] {
        let config = world.config(&[("VERSION", version)]);
        world.api.update("shop", &ids[0], &config).await;
        world.api.ready("shop", &ids[0]).await;
        load.more(20).await;
    }
    let report = load.end().await;
    assert!(report.failures.is_empty(), "of {}: {:#?}", report.answered, report.failures);
    assert_eq!(retries(&world).await, None);
    world.end().await;
}

/// The proxy would hide a request that a machine lost by sending it again.
async fn retries(world: &World) -> Option<String> {
    let text = world.api.metrics().await;
    let mut lines = text.lines();
    lines.find(|line| line.starts_with("platform_local_proxy_retries_total")).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_with_a_machine_finishes_before_the_machine_stops() {
    let world = World::new().await;
    let ids = world.app("shop", 1).await;
    let api = world.api.clone();
    let slow = tokio::spawn({
        let api = api.clone();
        async move { api.get("shop", "/slow?ms=2000").await }
    });
    support::until("the request is with the machine", || async {
        let text = api.metrics().await;
        let mut lines = text.lines().filter(|line| line.starts_with("fly_app_concurrency{"));
        lines.any(|line| line.contains(&ids[0]) && line.ends_with(" 1"))
    })
    .await;
    api.post(&format!("/v1/apps/shop/machines/{}/stop", ids[0])).await;
    let (status, _) = slow.await.expect("the request ends");
    assert!(status.is_success(), "{status}");
    api.wait("shop", &ids[0], "stopped").await;
    let path = format!("/v1/apps/shop/machines/{}", ids[0]);
    let machine = api.done(Method::GET, &path, Value::Null).await;
    let exit = &machine["events"][0]["request"]["exit_event"];
    assert_eq!(exit["requested_stop"], true, "{machine}");
    world.end().await;
}
