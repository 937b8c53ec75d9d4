//! What clients and operators see of each fault that is set on purpose, and of its limits.

mod support;

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use machines_api::types::CheckHealth;
use platform_local::Runtime;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{World, exits, until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const FAULTS: &str = "/admin/faults";

async fn set(world: &World, fault: Value) -> String {
    let set = world.api.done(Method::POST, FAULTS, fault).await;
    set.get("id").and_then(Value::as_str).expect("an id").to_owned()
}

async fn remove(world: &World, id: &str) {
    world.api.done(Method::DELETE, &format!("{FAULTS}/{id}"), Value::Null).await;
}

async fn list(world: &World) -> Vec<Value> {
    let listed = world.api.done(Method::GET, FAULTS, Value::Null).await;
    listed.get("faults").and_then(Value::as_array).expect("a list").clone()
}

/// The statuses of so many answers; 0 where the connection was closed.
async fn statuses(world: &World, requests: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..requests {
        let answer = world.api.request(Method::GET, "shop", "/").send().await;
        statuses.push(answer.map_or(0, |answer| answer.status().as_u16()));
    }
    statuses
}

#[expect(clippy::disallowed_methods, reason = "a fault's delay is measured from outside")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_breaks_an_exact_share_of_one_images_answers() {
    let world = World::new().await;
    world.app("shop", 1).await;
    let other = world.api.push_image(&[("OTHER", "1")]).await;
    let fault = |digest: &oci_image::ImageDigest| {
        json!({"kind": "error", "status": 500, "share": 0.2, "app": "shop",
               "image_digest": digest.to_string()})
    };
    set(&world, fault(&other)).await;
    assert_eq!(statuses(&world, 5).await, [200; 5]);
    let id = set(&world, fault(&world.image)).await;
    let broken = statuses(&world, 50).await.into_iter().filter(|status| *status == 500).count();
    assert_eq!(broken, 10);
    let listed = list(&world).await;
    assert_eq!((&listed[1]["seen"], &listed[1]["struck"]), (&json!(50), &json!(10)));
    let text = world.api.metrics().await;
    assert!(
        text.lines().any(|line| {
            line.starts_with("fly_app_http_responses_count")
                && line.ends_with(r#"status="500"} 10"#)
        }),
        "{text}"
    );
    remove(&world, &id).await;
    assert_eq!(statuses(&world, 10).await, [200; 10]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_strikes_one_machine_after_a_while_and_so_often() {
    let world = World::new().await;
    let ids = world.app("shop", 2).await;
    let fault = json!({"kind": "error", "status": 503, "machine": ids[0], "after": 2, "count": 3});
    set(&world, fault).await;
    let mut struck = 0;
    for _ in 0..20 {
        let answer = world.api.request(Method::GET, "shop", "/").send().await.expect("an answer");
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            assert_eq!(answer.headers()["x-served-by"], ids[0].as_str());
            struck += 1;
        }
    }
    assert_eq!(struck, 3);
    until("the fault has ended", || async { list(&world).await.is_empty() }).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_ends_when_its_time_is_over() {
    let world = World::new().await;
    world.app("shop", 1).await;
    set(&world, json!({"kind": "error", "status": 500, "app": "shop", "for_secs": 1})).await;
    until("answers are whole again", || async { statuses(&world, 1).await == [200] }).await;
    until("the fault is gone", || async { list(&world).await.is_empty() }).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_app_is_slow_to_its_clients_and_in_the_metrics() {
    let world = World::new().await;
    world.app("shop", 1).await;
    let fault = json!({"kind": "latency", "ms": 300, "jitter_ms": 100, "app": "shop"});
    set(&world, fault).await;
    let begun = now();
    assert_eq!(statuses(&world, 1).await, [200]);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let text = world.api.metrics().await;
    let fast = |line: &&str| {
        line.starts_with("fly_app_http_response_time_seconds_bucket")
            && line.contains(r#"le="0.2""#)
    };
    assert!(text.lines().find(fast).is_some_and(|line| line.ends_with(" 0")), "{text}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_reset_before_the_answer_or_in_the_middle_of_it() {
    let world = World::new().await;
    world.app("shop", 1).await;
    let id = set(&world, json!({"kind": "reset", "app": "shop"})).await;
    let body = vec![b'x'; 100_000];
    let post = || world.api.request(Method::POST, "shop", "/echo").body(body.clone()).send();
    assert!(post().await.is_err(), "there is no answer at all");
    let mut client = TcpStream::connect(world.api.proxy).await.expect("connected");
    let request = b"GET / HTTP/1.1\r\nhost: shop.localhost\r\n\r\n";
    client.write_all(request).await.expect("sent");
    let end = client.read(&mut [0; 1]).await.expect_err("no orderly end");
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    // Over HTTP/2 only the stream is.
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge();
    let client = client.resolve("shop.localhost", world.api.proxy).build().expect("a client");
    let lost =
        client.get(format!("http://shop.localhost:{}/", world.api.proxy.port())).send().await;
    let lost = format!("{:?}", lost.expect_err("there is no answer"));
    assert!(lost.contains("Reset(StreamId("), "{lost}");
    remove(&world, &id).await;
    set(&world, json!({"kind": "reset", "when": "mid_body", "app": "shop"})).await;
    let mut answer = post().await.expect("an answer begins");
    assert_eq!(answer.status(), StatusCode::OK);
    let mut received = 0;
    let end = loop {
        match answer.chunk().await {
            Ok(Some(piece)) => received += piece.len(),
            other => break other,
        }
    };
    assert!(end.is_err(), "the body does not end well");
    assert_eq!(received, body.len() / 2);
    let mut client = TcpStream::connect(world.api.proxy).await.expect("connected");
    client.write_all(request).await.expect("sent");
    let end = client.read_to_end(&mut Vec::new()).await.expect_err("no orderly end");
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_machine_says_so_and_is_restarted() {
    Box::pin(kill_by_fault(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_a_killed_machine_says_so_and_is_restarted() {
    Box::pin(kill_by_fault(Runtime::Container)).await;
}

#[expect(clippy::indexing_slicing, reason = "the body of two tests")]
async fn kill_by_fault(runtime: Runtime) {
    let world = World::in_(runtime).await;
    let ids = world.app("shop", 1).await;
    set(&world, json!({"kind": "kill", "app": "shop"})).await;
    until("the kill is among the events", || async {
        let machine = world.api.machine("shop", &ids[0]).await;
        let machine = serde_json::to_value(machine).expect("JSON");
        let events = machine["events"].as_array().expect("events").clone();
        events.iter().any(|event| event["request"]["exit_event"]["exit_code"] == 137)
    })
    .await;
    world.api.ready("shop", &ids[0]).await;
    until("a kill happens once", || async { list(&world).await.is_empty() }).await;
    let text = world.api.metrics().await;
    let restarts = |line: &&str| line.starts_with("platform_local_machine_restarts_total{");
    assert!(text.lines().find(restarts).is_some_and(|line| line.ends_with(" 1")), "{text}");

    set(&world, json!({"kind": "kill", "every_secs": 1, "machine": ids[0], "count": 2})).await;
    until("it is killed again and again", || async { list(&world).await.is_empty() }).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_start_delays_the_program_or_its_readiness() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    let id = set(&world, json!({"kind": "slow_start", "ms": 1500, "app": "shop"})).await;
    let begun = now();
    let made = world.api.create("shop", world.config(&[])).await;
    world.api.wait("shop", &made.id, "started").await;
    assert!(begun.elapsed() >= Duration::from_millis(1500));
    remove(&world, &id).await;

    let fault = json!({"kind": "slow_start", "part": "readiness", "ms": 1500, "app": "shop"});
    set(&world, fault).await;
    let begun = now();
    let made = world.api.create("shop", world.config(&[])).await;
    world.api.ready("shop", &made.id).await;
    assert!(begun.elapsed() >= Duration::from_millis(1500));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_check_takes_a_machine_out_of_rotation() {
    let world = World::new().await;
    let ids = world.app("shop", 2).await;
    let id = set(&world, json!({"kind": "failing_check", "machine": ids[0]})).await;
    let health = || async {
        let machine = world.api.machine("shop", &ids[0]).await;
        (machine.checks[0].status, machine.checks[0].output.clone())
    };
    until("the check fails", || async { health().await.0 == CheckHealth::Critical }).await;
    assert!(health().await.1.contains("failed on purpose by fault"));
    for _ in 0..6 {
        let answer = world.api.request(Method::GET, "shop", "/").send().await.expect("an answer");
        assert_eq!(answer.headers()["x-served-by"], ids[1].as_str());
    }
    remove(&world, &id).await;
    until("the check passes", || async { health().await.0 == CheckHealth::Passing }).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_refuses_loses_its_answer_or_is_slow() {
    let world = World::new().await;
    let id = set(
        &world,
        json!({"kind": "api_error", "status": 429, "routes": ["POST /v1/apps/*/machines"],
               "app": "shop", "count": 1}),
    )
    .await;
    world.api.create_app("shop").await;
    let body = json!({"config": world.config(&[])});
    let path = "/v1/apps/shop/machines";
    let (status, answer) = world.api.call(Method::POST, path, body.clone()).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer["error"], "rate limit exceeded");
    until("that was all", || async { !list(&world).await.iter().any(|one| one["id"] == *id) })
        .await;

    set(&world, json!({"kind": "api_lost", "routes": [format!("POST {path}")], "count": 1})).await;
    let url = format!("http://{}{path}", world.api.api);
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let lost = client.post(url).bearer_auth(support::TOKEN).json(&body).send().await;
    assert!(lost.is_err(), "no answer arrives");
    let machines = world.api.done(Method::GET, path, Value::Null).await;
    assert_eq!(machines.as_array().map(Vec::len), Some(1), "it was performed");

    set(&world, json!({"kind": "api_slow", "ms": 400, "app": "shop"})).await;
    let begun = now();
    world.api.done(Method::GET, path, Value::Null).await;
    assert!(begun.elapsed() >= Duration::from_millis(400));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_what_is_written_and_keeps_what_is_there() {
    Box::pin(fill_a_disk(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_a_full_disk_refuses_what_is_written_and_keeps_what_is_there() {
    Box::pin(fill_a_disk(Runtime::Container)).await;
}

#[expect(clippy::indexing_slicing, reason = "the body of two tests")]
async fn fill_a_disk(runtime: Runtime) {
    let world = World::in_(runtime).await;
    let _shared = world.engine.as_ref().map(|_| world.state.share_volumes());
    world.api.create_app("shop").await;
    let mut config = world.config(&[("COUNT_FILE", "data/count")]);
    config.mounts = serde_json::from_value(json!([{"name": "data", "path": "/data"}])).expect("ok");
    let made = world.api.create("shop", config).await;
    world.api.ready("shop", &made.id).await;
    let count = || async {
        let request = world.api.request(Method::POST, "shop", "/count");
        let answer = request.send().await.expect("an answer");
        (answer.status(), answer.text().await.expect("a body"))
    };
    assert_eq!(count().await.1, "1");
    let id = set(&world, json!({"kind": "disk_full", "app": "shop"})).await;
    until("the disk is full", || async {
        let fault = list(&world).await.remove(0);
        assert_eq!(fault["trouble"], Value::Null, "this test must run as root");
        fault["struck"] == 1
    })
    .await;
    assert_eq!(count().await.0, StatusCode::INTERNAL_SERVER_ERROR);
    remove(&world, &id).await;
    until("there is room again", || async { count().await.0 == StatusCode::OK }).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_outlive_the_platform_where_they_are_allowed_and_are_gone_elsewhere() {
    let mut world = World::new().await;
    world.app("shop", 1).await;
    set(&world, json!({"kind": "error", "status": 500, "share": 0.5, "app": "shop"})).await;
    assert_eq!(statuses(&world, 3).await, [200, 500, 200]);
    world.restart_platform_with(|settings| settings.allow_faults = true).await;
    assert_eq!(list(&world).await[0]["struck"], 1);
    until("the machine serves", || async { statuses(&world, 1).await != [503] }).await;
    world.restart_platform().await;
    let (status, _) = world.api.call(Method::GET, FAULTS, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "the route is not there");
    until("the machine serves", || async { statuses(&world, 1).await != [503] }).await;
    assert_eq!(statuses(&world, 6).await, [200; 6]);
    world.restart_platform_with(|settings| settings.allow_faults = true).await;
    assert!(list(&world).await.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_makes_no_sense_is_refused_and_all_go_at_once() {
    let world = World::new().await;
    let (status, answer) =
        world.api.call(Method::POST, FAULTS, json!({"kind": "error", "status": 500, "x": 1})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["error"].as_str().is_some_and(|text| text.contains("expected `status`")));
    let (status, _) =
        world.api.call(Method::DELETE, &format!("{FAULTS}/nothing"), Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    for _ in 0..100 {
        set(&world, json!({"kind": "api_slow", "ms": 1, "app": "nobody"})).await;
    }
    let one_more = json!({"kind": "api_slow", "ms": 1});
    let (status, _) = world.api.call(Method::POST, FAULTS, one_more).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let removed = world.api.done(Method::DELETE, FAULTS, Value::Null).await;
    assert_eq!(removed["removed"], 100);
    assert_eq!(world.api.call(Method::GET, FAULTS, Value::Null).await.1["faults"], json!([]));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_memory_is_filled_is_oom_killed() {
    Box::pin(fill_memory(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_a_machine_whose_memory_is_filled_is_oom_killed() {
    Box::pin(fill_memory(Runtime::Container)).await;
}

#[expect(clippy::indexing_slicing, reason = "the body of two tests")]
async fn fill_memory(runtime: Runtime) {
    let world = World::in_(runtime).await;
    let ids = world.app("shop", 1).await;
    set(&world, json!({"kind": "memory", "app": "shop", "count": 1})).await;
    until("the kill for want of memory is among the events", || async {
        let faults = list(&world).await;
        let trouble = faults.first().map_or(&Value::Null, |fault| &fault["trouble"]);
        assert_eq!(*trouble, Value::Null, "this test must run as root");
        let machine = world.api.machine("shop", &ids[0]).await;
        let machine = serde_json::to_value(machine).expect("JSON");
        let events = machine["events"].as_array().expect("events").clone();
        events.iter().any(|event| event["request"]["exit_event"]["oom_killed"] == true)
    })
    .await;
    let exit = exits(&world.api.machine("shop", &ids[0]).await).remove(0);
    assert!(exit.exit_code == 137 && exit.restarting, "{exit:?}");
    world.api.ready("shop", &ids[0]).await;
    world.end().await;
}
