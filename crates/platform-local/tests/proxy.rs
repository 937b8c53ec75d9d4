//! What a client of the proxy gets: routing, headers, holding, replays, start and stop on
//! demand.

mod support;

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{World, pause, until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const M: &str = "/v1/apps/shop/machines";

#[tokio::test(flavor = "multi_thread")]
async fn answers_say_which_machine_and_image_they_come_from() {
    let world = World::new().await;
    let ids = world.app("shop", 1).await;
    let request = world.api.request(Method::GET, "shop", "/headers");
    let answer = request.header("x-forwarded-for", "9.9.9.9").send().await.expect("an answer");
    let header = |name: &str| {
        answer.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned()
    };
    assert_eq!(header("x-served-by"), ids[0]);
    assert_eq!(header("x-served-image"), world.image.to_string());
    let id = header("fly-request-id");
    assert_eq!(id.len(), 26);
    let seen = answer.text().await.expect("a body");
    for line in [
        "host: shop.localhost".to_owned(),
        "fly-client-ip: 127.0.0.1".to_owned(),
        "fly-region: local".to_owned(),
        format!("fly-request-id: {id}"),
        "x-forwarded-for: 9.9.9.9, 127.0.0.1".to_owned(),
        "via: 1.1 platform-local".to_owned(),
    ] {
        assert!(seen.lines().any(|found| found == line), "{line}\nin\n{seen}");
    }
    let (status, text) = world.api.get("nobody", "/").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text.contains("there is no app `nobody`"), "{text}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_streams_both_ways() {
    let world = World::new().await;
    world.app("shop", 1).await;
    // Larger than what is remembered for a replay, below the test server's own limit.
    let body = vec![b'x'; (3 << 20) / 2];
    let request = world.api.request(Method::POST, "shop", "/echo").body(body.clone());
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.bytes().await.expect("a body").len(), body.len());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_length_arrives_whole() {
    let world = World::new().await;
    world.app("shop", 1).await;
    let mut stream = TcpStream::connect(world.api.proxy).await.expect("connected");
    let request = "POST /echo HTTP/1.1\r\nhost: shop.localhost\r\nconnection: close\r\n\
                   transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("hello world"), "{answer}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_the_hard_limit_wait_for_their_turn() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    let mut config = world.config(&[]);
    config.services[0].concurrency =
        serde_json::from_value(json!({"type": "requests", "hard_limit": 1})).expect("limits");
    let made = world.api.create("shop", config).await;
    world.api.ready("shop", &made.id).await;
    let requests = (0..6).map(|_| world.api.get("shop", "/slow?ms=100"));
    for (status, text) in futures::future::join_all(requests).await {
        assert_eq!(status, StatusCode::OK, "{text}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_refuses_is_passed_over_for_one_that_answers() {
    let world = World::new().await;
    let ids = world.app("shop", 1).await;
    let mut deaf = world.config(&[("START_DELAY_MS", "3600000")]);
    deaf.services[0].checks.clear();
    let deaf = world.api.create("shop", deaf).await;
    world.api.wait("shop", &deaf.id, "started").await;
    for _ in 0..6 {
        let request = world.api.request(Method::POST, "shop", "/echo").body("some text");
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.headers()["x-served-by"], ids[0].as_str());
        assert_eq!(answer.text().await.expect("a body"), "some text");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_wait_for_a_machine_that_is_starting() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    world.api.create("shop", world.config(&[("START_DELAY_MS", "1500")])).await;
    let (status, text) = world.api.get("shop", "/").await;
    assert_eq!(status, StatusCode::OK, "{text}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sick_machine_gets_no_requests() {
    let world = World::new().await;
    let ids = world.app("shop", 1).await;
    let mut config = world.config(&[("SICK", "1")]);
    config.services[0].checks[0].grace_period = Some(machines_api::types::WireDuration::default());
    let sick = world.api.create("shop", config).await;
    until("the check has failed", || async {
        let machine = world.api.machine("shop", &sick.id).await;
        machine.checks.first().is_some_and(|check| check.output.starts_with("503"))
    })
    .await;
    for _ in 0..10 {
        let answer = world.api.request(Method::GET, "shop", "/").send().await.expect("an answer");
        assert_eq!(answer.headers()["x-served-by"], ids[0].as_str());
    }
    world.api.post(&format!("{M}/{}/cordon", ids[0])).await;
    let (status, text) = world.api.get("shop", "/").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("no machine of `shop` is started, healthy and uncordoned"), "{text}");
    world.api.post(&format!("{M}/{}/uncordon", ids[0])).await;
    assert_eq!(world.api.get("shop", "/").await.0, StatusCode::OK);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_listens_nowhere_is_told_from_one_that_is_busy() {
    let world = World::with(|settings| settings.hold_ms = 500).await;
    world.api.create_app("shop").await;
    let mut config = world.config(&[("START_DELAY_MS", "3600000")]);
    config.services[0].checks.clear();
    let made = world.api.create("shop", config).await;
    world.api.wait("shop", &made.id, "started").await;
    let (status, text) = world.api.get("shop", "/").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(text.contains("[PC01] instance refused connection"), "{text}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_hands_a_request_with_its_body_to_another() {
    let world = World::new().await;
    let ids = world.app("shop", 2).await;
    for wanted in &ids {
        for _ in 0..3 {
            let path = format!("/replay?to={wanted}");
            let request = world.api.request(Method::POST, "shop", &path).body(vec![b'x'; 100_000]);
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.headers()["x-served-by"], wanted.as_str());
            let text = answer.text().await.expect("a body");
            assert!(text.starts_with(wanted.as_str()) && text.ends_with(" 100000"), "{text}");
        }
    }
    let path = "/replay?to=nobody";
    let answer = world.api.request(Method::GET, "shop", path).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_machine_is_stopped_and_the_next_request_starts_it() {
    let world = World::that_soon_stops_the_idle().await;
    world.api.create_app("shop").await;
    let mut config = world.config(&[("VERSION", "one")]);
    config.services[0].autostop = Some(machines_api::types::Autostop::Stop);
    let made = world.api.create("shop", config.clone()).await;
    for _ in 0..2 {
        world.api.wait("shop", &made.id, "stopped").await;
        let (status, text) = world.api.get("shop", "/").await;
        assert_eq!(status, StatusCode::OK, "{text}");
    }
    world.api.wait("shop", &made.id, "stopped").await;
    let stopped = world.api.machine("shop", &made.id).await;
    let by_proxy = |kind: &str| {
        stopped.events.iter().any(|event| event.event_type == kind && event.source == "proxy")
    };
    assert!(by_proxy("stop") && by_proxy("start"));

    // Whoever holds the lease decides when the machine starts.
    let lease = format!("{M}/{}/lease", made.id);
    let taken = world.api.done(Method::POST, &lease, json!({"ttl": 60})).await;
    assert_eq!(world.api.get("shop", "/").await.0, StatusCode::SERVICE_UNAVAILABLE);
    let nonce = taken["data"]["nonce"].as_str();
    world.api.call_as(Method::DELETE, &lease, Value::Null, nonce).await;

    // With a minimum of one it is left running.
    config.services[0].min_machines_running = Some(1);
    world.api.update("shop", &made.id, &config).await;
    world.api.ready("shop", &made.id).await;
    pause(Duration::from_millis(2500)).await;
    let running = world.api.machine("shop", &made.id).await;
    assert_eq!(running.state, machines_api::types::MachineState::Started);
    world.end().await;
}
