//! What a client gets from machines that run in containers: the same as from processes, whatever
//! happens to the platform meanwhile. The engine is a real Podman.

mod support;

use std::path::Path;

use machines_api::types::{CheckHealth, MachineState};
use platform_local::{Platform, Runtime, Settings};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{
    Client, TOKEN, World, config, engine::Engine, exits, process::PlatformProcess,
    state::StateDirectory, until,
};

/// A platform whose machines run in containers of this engine.
async fn of_engine(engine: &Engine) -> World {
    World::with(|settings| {
        settings.runtime = Runtime::Container;
        settings.engine_socket = Some(engine.socket());
    })
    .await
}

fn log_of(state: &Path, machine: &str) -> String {
    let path = state.join("machines").join(machine).join("machine.log");
    std::fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_serves_is_updated_stopped_and_destroyed_and_leaves_nothing() {
    let engine = Engine::start().await;
    let world = of_engine(&engine).await;
    let api = &world.api;
    let id = world.app("shop", 1).await.remove(0);
    let (status, answer) = api.get("shop", "/").await;
    assert!(status == StatusCode::OK && answer.contains(" one "), "{status} {answer}");
    assert_eq!(engine.containers().len(), 1);

    let newer = api.push_image(&[("BAKED", "in")]).await;
    api.update("shop", &id, &config(&newer, &[("VERSION", "two")])).await;
    api.ready("shop", &id).await;
    let (_, answer) = api.get("shop", "/env").await;
    assert!(answer.contains("BAKED=in") && answer.contains("VERSION=two"), "{answer}");
    assert_eq!(engine.containers().len(), 1, "the container of before is gone");
    until("so is its image", || async { engine.images().len() == 1 }).await;
    let updated = api.machine("shop", &id).await;
    assert_eq!(exits(&updated)[0].exit_code, 128 + 15, "it died of the stop signal");

    api.post(&format!("/v1/apps/shop/machines/{id}/stop")).await;
    api.wait("shop", &id, "stopped").await;
    assert_eq!((engine.containers().len(), engine.images().len()), (0, 1), "it may start again");
    api.post(&format!("/v1/apps/shop/machines/{id}/start")).await;
    api.ready("shop", &id).await;
    let log = log_of(world.state.path(), &id);
    let starts: Vec<_> = log.lines().filter(|line| line.starts_with("starting")).collect();
    let expected = ["starting version one", "starting version two", "starting version two"];
    assert_eq!(starts, expected, "{log}");

    api.done(Method::DELETE, "/v1/apps/shop?force=true", Value::Null).await;
    until("nothing is left", || async {
        engine.containers().is_empty() && engine.images().is_empty()
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_chooses_containers_shares_the_engine_and_learns_when_there_is_none() {
    let state = StateDirectory::new();
    let mut settings = Settings::new(state.path(), TOKEN);
    settings.engine_socket = Some(state.path().join("nobody.sock"));
    settings.runtime = Runtime::Container;
    let refused = Platform::start(settings).await.expect_err("no engine answers").to_string();
    assert!(refused.contains("nobody.sock") && refused.contains("hint: start"), "{refused}");

    let engine = Engine::start().await;
    let world = World::with(|settings| settings.engine_socket = Some(engine.socket())).await;
    world.api.create_app("shop").await;
    let process = world.api.create("shop", world.config(&[])).await.id;
    let chosen = world.config(&[("HOLDPOINT_RUNTIME", "container")]);
    let contained = world.api.create("shop", chosen).await.id;
    world.api.ready("shop", &process).await;
    world.api.ready("shop", &contained).await;
    assert_eq!(engine.containers().len(), 1);
    assert!(world.state.programs().contains_key(&process));

    // Another platform in the same engine comes and goes.
    let other = of_engine(&engine).await;
    other.app("shop", 1).await;
    assert_eq!(engine.containers().len(), 2);
    other.end().await;
    assert_eq!(engine.programs().into_keys().collect::<Vec<_>>(), std::slice::from_ref(&contained));
    assert_eq!(engine.images().len(), 1);

    drop(engine);
    let path = format!("/v1/apps/shop/machines/{contained}/stop");
    drop(world.api.call(Method::POST, &path, Value::Null).await);
    let chosen = world.config(&[("HOLDPOINT_RUNTIME", "container")]);
    let late = world.api.create("shop", chosen).await.id;
    world.api.wait("shop", &late, "failed").await;
    let events = world.api.machine("shop", &late).await.events;
    let told = serde_json::to_string(&events).expect("text");
    assert!(told.contains("no container engine answers"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_engine_is_away_machines_serve_and_restarts_wait_for_it() {
    let mut world = World::in_(Runtime::Container).await;
    let mut engine = world.engine.take().expect("an engine");
    let api = &world.api;
    let lasting = world.app("shop", 1).await.remove(0);
    let mut crashing = world.config(&[("EXIT_CODE", "3")]);
    crashing.restart = serde_json::from_value(json!({"policy": "always"})).expect("a policy");
    let crashing = api.create("shop", crashing).await.id;
    // After the third the next start is a second away.
    until("it has ended three times", || async {
        exits(&api.machine("shop", &crashing).await).len() >= 3
    })
    .await;
    engine.leave();
    until("the machine tells why it does not start", || async {
        let events = serde_json::to_string(&api.machine("shop", &crashing).await.events);
        events.expect("text").contains("no container engine answers")
    })
    .await;
    assert_eq!(api.machine("shop", &crashing).await.state, MachineState::Restarting);
    assert_eq!(api.get("shop", "/").await.0, StatusCode::OK, "what runs is served");
    let exec = format!("/v1/apps/shop/machines/{lasting}/exec");
    let (status, answer) = api.call(Method::POST, &exec, json!({"cmd": "/app whoami"})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");

    let ended = exits(&api.machine("shop", &crashing).await).len();
    engine.come_back().await;
    until("it is started again", || async {
        exits(&api.machine("shop", &crashing).await).len() > ended
    })
    .await;
    api.post(&format!("/v1/apps/shop/machines/{lasting}/stop")).await;
    api.wait("shop", &lasting, "stopped").await;
    world.end().await;
    assert_eq!((engine.containers(), engine.images()), (Vec::new(), Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_outlive_a_killed_platform_and_the_next_one_knows_how_they_ended() {
    let engine = Engine::start().await;
    let state = StateDirectory::new();
    let socket = engine.socket().display().to_string();
    let platform = PlatformProcess::start_with(state.path(), &[&socket]);
    let api = platform.api.clone();
    let image = api.push_image(&[]).await;
    api.create_app("shop").await;
    let lasting = api.create("shop", config(&image, &[("VERSION", "one")])).await.id;
    let dying = api.create("shop", config(&image, &[("VERSION", "one")])).await.id;
    api.ready("shop", &lasting).await;
    api.ready("shop", &dying).await;
    let of = |api: &Client, id: &str| {
        api.request(Method::GET, "shop", "/").header("fly-force-instance-id", id.to_owned())
    };
    let about = of(&api, &lasting).send().await.expect("ok").text().await.expect("a body");
    let address = of(&api, &dying).send().await.expect("ok").text().await.expect("a body");
    let port: u16 = address.split(' ').nth(2).expect("a port").parse().expect("a number");
    platform.kill();

    // While nobody watches, one of them ends, in its own way.
    let exit = format!("http://127.0.0.1:{port}/exit?code=5");
    reqwest::Client::new().post(exit).send().await.expect("an answer");
    until("it is gone", || async {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err()
    })
    .await;
    let platform = PlatformProcess::start_with(state.path(), &[&socket]);
    let api = platform.api.clone();
    assert_eq!(api.machine("shop", &lasting).await.state, MachineState::Started);
    let now = of(&api, &lasting).send().await.expect("ok").text().await.expect("a body");
    assert_eq!(now, about, "it is the same program");
    until("the end is told", || async { !exits(&api.machine("shop", &dying).await).is_empty() })
        .await;
    assert_eq!(exits(&api.machine("shop", &dying).await)[0].exit_code, 5);
    until("it serves again", || async {
        let machine = api.machine("shop", &dying).await;
        machine.state == MachineState::Started
            && machine.checks.iter().all(|check| check.status == CheckHealth::Passing)
    })
    .await;
    let log = log_of(state.path(), &dying);
    assert_eq!(log, "starting version one\nstarting version one\n", "each line stands there once");

    api.post(&format!("/v1/apps/shop/machines/{lasting}/stop")).await;
    api.wait("shop", &lasting, "stopped").await;
    api.done(Method::DELETE, "/v1/apps/shop?force=true", Value::Null).await;
    until("nothing is left", || async {
        engine.containers().is_empty() && engine.images().is_empty()
    })
    .await;
}
