//! What a client gets from machines that run in containers: the same as from processes, whatever
//! happens to the platform meanwhile. The engine is a real Podman.

mod support;

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use machines_api::types::{CheckHealth, MachineState};
use platform_local::{Platform, Runtime, Settings};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{
    Client, TOKEN, World, config, engine::Engine, example, exits, state::StateDirectory, until,
};

/// A platform whose machines run in containers of this engine.
async fn world(engine: &Engine) -> World {
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
    let world = world(&engine).await;
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
    let updated = api.machine("shop", &id).await;
    assert_eq!(exits(&updated)[0].exit_code, 128 + 15, "it died of the stop signal");

    api.post(&format!("/v1/apps/shop/machines/{id}/stop")).await;
    api.wait("shop", &id, "stopped").await;
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
async fn the_end_of_a_container_is_told_as_that_of_a_process() {
    let engine = Engine::start().await;
    let world = world(&engine).await;
    let api = &world.api;
    api.create_app("shop").await;
    let with = |env: &[(&str, &str)], policy: Value| {
        let mut config = world.config(env);
        config.restart = serde_json::from_value(policy).expect("a policy");
        config
    };
    let hungry = with(&[("HOLD_MB", "512")], json!({"policy": "no"}));
    let hungry = api.create("shop", hungry).await.id;
    let crashing = with(&[("EXIT_CODE", "3")], json!({"policy": "on-failure", "max_retries": 1}));
    let crashing = api.create("shop", crashing).await.id;
    let mut empty = with(&[], json!({"policy": "no"}));
    empty.init = serde_json::from_value(json!({"exec": ["/missing"]})).expect("ok");
    let empty = api.create("shop", empty).await.id;
    let stubborn = with(&[("IGNORE_SIGNALS", "1")], json!({"policy": "no"}));
    let stubborn = api.create("shop", stubborn).await.id;

    api.wait("shop", &hungry, "stopped").await;
    let exit = exits(&api.machine("shop", &hungry).await).remove(0);
    assert!(exit.exit_code == 137 && exit.oom_killed && !exit.requested_stop, "{exit:?}");
    api.wait("shop", &crashing, "failed").await;
    let crashes = exits(&api.machine("shop", &crashing).await);
    assert_eq!(crashes.iter().map(|exit| exit.exit_code).collect::<Vec<_>>(), [3, 3]);
    assert!(!crashes[0].restarting && crashes[1].restarting && !crashes[0].oom_killed);
    api.wait("shop", &empty, "failed").await;
    let failed = serde_json::to_string(&api.machine("shop", &empty).await.events).expect("text");
    assert!(failed.contains("the image holds no program `/missing`"), "{failed}");
    api.ready("shop", &stubborn).await;
    let stop = format!("/v1/apps/shop/machines/{stubborn}/stop");
    api.done(Method::POST, &stop, json!({"signal": "SIGINT", "timeout": "300ms"})).await;
    api.wait("shop", &stubborn, "stopped").await;
    let exit = exits(&api.machine("shop", &stubborn).await).remove(0);
    assert!(exit.exit_code == 137 && exit.requested_stop && !exit.oom_killed, "{exit:?}");
    world.end().await;
    assert!(engine.containers().is_empty() && engine.images().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_chooses_containers_by_its_environment_and_learns_when_there_is_no_engine() {
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

/// A platform in a process of its own, whose machines run in containers.
struct Killable {
    process: Child,
    api: Client,
}

impl Killable {
    #[expect(clippy::disallowed_methods, reason = "the platform is killed, so it is a process")]
    fn start(state: &Path, engine: &Engine) -> Self {
        let mut process = Command::new(example("platform"))
            .arg(state)
            .arg(TOKEN)
            .arg(engine.socket())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let output = process.stdout.take().expect("its output");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("its addresses");
        let mut addresses = line.split_whitespace().map(|text| text.parse().expect("an address"));
        let mut next = || addresses.next().expect("two addresses");
        let api = Client::new(next(), next());
        Self { process, api }
    }

    fn kill(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("gone");
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        drop(self.process.kill());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_outlive_a_killed_platform_and_the_next_one_knows_how_they_ended() {
    let engine = Engine::start().await;
    let state = StateDirectory::new();
    let mut platform = Killable::start(state.path(), &engine);
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
    let platform = Killable::start(state.path(), &engine);
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
