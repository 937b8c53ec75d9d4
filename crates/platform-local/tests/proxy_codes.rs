//! What the log of an app and a client are told when the proxy cannot serve: Fly's codes.

#![expect(clippy::indexing_slicing, reason = "tests fail by panicking")]

mod support;

use machines_api::types::{Autostop, MachineConfig};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{LogLine, World, until};

const M: &str = "/v1/apps/shop/machines";

/// A config of a program that listens only after a long time, with or without a health check.
fn deaf(world: &World, is_checked: bool) -> MachineConfig {
    let mut config = world.config(&[("START_DELAY_MS", "3600000")]);
    if !is_checked {
        config.services[0].checks.clear();
    }
    config
}

/// A machine that was started once and is stopped.
async fn stopped(world: &World, config: MachineConfig) -> String {
    let id = world.api.create("shop", config).await.id;
    world.api.wait("shop", &id, "started").await;
    world.api.post(&format!("{M}/{id}/stop")).await;
    world.api.wait("shop", &id, "stopped").await;
    id
}

fn limit(config: &mut MachineConfig, limits: Value) {
    config.services[0].concurrency = serde_json::from_value(limits).expect("limits");
}

/// What the proxy has written with this code into the app's log.
async fn told(world: &World, code: &str) -> Vec<LogLine> {
    let mut lines = world.api.log_lines("shop").await;
    lines.retain(|line| line.provider == "proxy" && line.message.contains(&format!("[{code}]")));
    lines
}

/// The one line with this code, which also the client was told.
async fn told_once(world: &World, code: &str, answer: &str) -> LogLine {
    let lines = told(world, code).await;
    assert_eq!(lines.len(), 1, "{code}: {lines:?}");
    let line = &lines[0];
    assert_eq!(line.level, "error");
    assert!(answer.starts_with(&line.message), "{answer}\n{line:?}");
    line.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_machine_that_may_answer_the_client_is_told_at_once() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    let (status, text) = world.api.get("shop", "/").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let line = told_once(&world, "PR01", &text).await;
    assert!(line.message.starts_with("[PR01] no known healthy instances found for route"));
    assert!(line.message.ends_with("`shop` has no machine"), "{line:?}");
    assert_eq!(line.machine, "");

    let missing = world.api.request(Method::GET, "shop", "/").header("fly-force-instance-id", "x");
    let answer = missing.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    told_once(&world, "PR02", &answer.text().await.expect("a body")).await;

    let mut config = world.config(&[("IGNORE_SIGNALS", "1")]);
    config.services[0].autostart = Some(false);
    let id = world.api.create("shop", config).await.id;
    world.api.ready("shop", &id).await;
    world.api.post(&format!("{M}/{id}/stop")).await;
    let (status, text) = world.api.get("shop", "/").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("[PM08] machine is in a non-startable state: stopping"), "{text}");
    assert_eq!(told_once(&world, "PM08", &text).await.machine, id);
    let kill = json!({"signal": "SIGKILL"});
    world.api.done(Method::POST, &format!("{M}/{id}/signal"), kill).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_refuses_connections_is_named_with_its_port() {
    let world = World::with(|settings| settings.hold_ms = 300).await;
    world.api.create_app("shop").await;
    let id = world.api.create("shop", deaf(&world, false)).await.id;
    world.api.wait("shop", &id, "started").await;
    let (status, text) = world.api.get("shop", "/").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(text.starts_with("[PR03] could not find a good candidate within "), "{text}");
    let attempts = text.split(' ').nth(8).and_then(|word| word.parse().ok());
    assert!(attempts.is_some_and(|attempts: u32| (2..=90).contains(&attempts)), "{text}");
    assert!(text.contains("last error: [PC01] instance refused connection"), "{text}");
    assert!(text.contains("is your app listening on 0.0.0.0:") && text.contains("hint:"), "{text}");
    assert_eq!(told_once(&world, "PC01", &text).await.machine, id);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_started_in_vain_is_told_by_what_it_lacked() {
    let world = World::with(|settings| settings.hold_ms = 300).await;
    world.api.create_app("shop").await;
    let deaf_one = stopped(&world, deaf(&world, false)).await;
    let (status, text) = world.api.get("shop", "/").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(text.contains("[PM05] failed to connect to machine: gave up after "), "{text}");
    assert_eq!(told_once(&world, "PM05", &text).await.machine, deaf_one);
    let started = world.api.log_lines("shop").await;
    assert!(
        started.iter().any(|line| line.provider == "proxy" && line.message == "Starting machine")
    );
    world.api.done(Method::DELETE, &format!("{M}/{deaf_one}?force=true"), Value::Null).await;

    let unwell = stopped(&world, deaf(&world, true)).await;
    let (status, text) = world.api.get("shop", "/").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("[PM03] could not wake up machine due to a timeout"), "{text}");
    assert_eq!(told_once(&world, "PM03", &text).await.machine, unwell);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_somebody_forbids_or_cancels_is_told_with_the_reason() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    let id = stopped(&world, deaf(&world, true)).await;
    let lease = format!("{M}/{id}/lease");
    let taken = world.api.done(Method::POST, &lease, json!({"ttl": 60})).await;
    let (status, text) = world.api.get("shop", "/").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("[PM01] machines API returned an error: \"machine ID "), "{text}");
    assert!(text.contains("lease currently held by"), "{text}");
    assert_eq!(told_once(&world, "PM01", &text).await.machine, id);
    let nonce = taken["data"]["nonce"].as_str();
    world.api.call_as(Method::DELETE, &lease, Value::Null, nonce).await;

    let (waiting, ()) = tokio::join!(world.api.get("shop", "/"), async {
        world.api.wait("shop", &id, "started").await;
        world.api.done(Method::DELETE, &format!("{M}/{id}?force=true"), Value::Null).await;
    });
    assert_eq!(waiting.0, StatusCode::SERVICE_UNAVAILABLE);
    assert!(waiting.1.contains("[PM10] machine start was canceled"), "{}", waiting.1);
    assert_eq!(told_once(&world, "PM10", &waiting.1).await.machine, id);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_at_its_hard_limit_is_told_by_what_it_counts() {
    let world = World::with(|settings| settings.hold_ms = 200).await;
    world.api.create_app("shop").await;
    for (kind, code) in [("requests", "PL02"), ("connections", "PL01")] {
        let mut config = world.config(&[]);
        limit(&mut config, json!({"type": kind, "hard_limit": 1}));
        let id = world.api.create("shop", config).await.id;
        world.api.ready("shop", &id).await;
        let held = world.api.request(Method::GET, "shop", "/events").send().await.expect("begun");
        assert_eq!(held.status(), StatusCode::OK);
        let (status, text) = world.api.get("shop", "/").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains(&format!("hard limit of 1 concurrent {kind}")), "{text}");
        assert_eq!(told_once(&world, code, &text).await.machine, id);
        drop(held);
        world.api.done(Method::DELETE, &format!("{M}/{id}?force=true"), Value::Null).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_was_stopped_a_moment_ago_rests_while_others_serve() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    let mut config = world.config(&[]);
    config.services[0].autostop = Some(Autostop::Stop);
    limit(&mut config, json!({"type": "requests", "soft_limit": 1}));
    let resting = stopped(&world, config.clone()).await;
    let busy = world.api.create("shop", config).await.id;
    world.api.ready("shop", &busy).await;
    let first = world.api.request(Method::GET, "shop", "/events").send().await.expect("begun");
    let second = world.api.request(Method::GET, "shop", "/events").send().await.expect("begun");
    for answer in [&first, &second] {
        assert_eq!(answer.headers()["x-served-by"], busy.as_str());
    }
    until("the log tells why", || async { !told(&world, "PM11").await.is_empty() }).await;
    assert_eq!(told(&world, "PM11").await[0].machine, resting);
    let state = world.api.machine("shop", &resting).await.state;
    assert_eq!(state, machines_api::types::MachineState::Stopped);

    // It is the only one that is left: then it is started all the same.
    world.api.post(&format!("{M}/{busy}/cordon")).await;
    let answer = world.api.request(Method::GET, "shop", "/").send().await.expect("an answer");
    assert_eq!(answer.headers()["x-served-by"], resting.as_str());
    drop((first, second));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_and_replays_without_end_are_told() {
    let world = World::new().await;
    let id = world.app("shop", 1).await.remove(0);
    let replayed = "/answer?fly-replay=state%3Dagain";
    let (status, text) = world.api.get("shop", replayed).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(text.contains("more than 10 times"), "{text}");
    assert_eq!(told_once(&world, "PA02", &text).await.machine, id);

    let large = vec![b'x'; (1 << 20) + 1];
    let request = world.api.request(Method::POST, "shop", replayed).body(large);
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let text = answer.text().await.expect("a body");
    assert!(text.contains("larger than the 1 MB that are replayed"), "{text}");
    told_once(&world, "PA01", &text).await;

    let broken = world.api.request(Method::POST, "shop", "/break").send().await.expect("an answer");
    assert_eq!(broken.status(), StatusCode::BAD_GATEWAY);
    told_once(&world, "PU02", &broken.text().await.expect("a body")).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_failures_is_told_by_a_few_lines_and_a_number() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    for _ in 0..100 {
        assert_eq!(world.api.get("shop", "/").await.0, StatusCode::SERVICE_UNAVAILABLE);
    }
    let mut lines = Vec::new();
    until("the rest was counted", || async {
        told(&world, "PR01").await.iter().any(|line| line.message.contains("which were left out"))
    })
    .await;
    lines.extend(told(&world, "PR01").await);
    assert!(lines.len() < 30, "{}", lines.len());
    let number = |line: &LogLine| {
        let number = line.message.strip_prefix("[PR01] and ")?.split(' ').next()?;
        number.parse::<usize>().ok()
    };
    let (counts, written): (Vec<_>, Vec<_>) = lines.iter().partition(|line| number(line).is_some());
    let left_out: usize = counts.into_iter().filter_map(number).sum();
    assert!(written.len() + left_out <= 100 && left_out > 0, "{lines:?}");
    world.end().await;
}
