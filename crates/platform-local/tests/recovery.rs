//! What is left when the platform is killed, and what of it the next one takes up again.

mod support;

use machines_api::types::MachineState;
use platform_local::Runtime;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{
    World, config,
    engine::Engine,
    load::Load,
    process::PlatformProcess,
    state::{StateDirectory, control_groups, kill},
    until,
};

#[tokio::test(flavor = "multi_thread")]
async fn machines_outlive_a_killed_platform_and_the_next_one_takes_them_over() {
    let state = StateDirectory::new();
    let platform = PlatformProcess::start(state.path());
    let api = platform.api.clone();
    let image = api.push_image(&[]).await;
    api.create_app("shop").await;
    let lasting = api.create("shop", config(&image, &[("VERSION", "one")])).await;
    let dying = api.create("shop", config(&image, &[("VERSION", "one")])).await;
    api.ready("shop", &lasting.id).await;
    api.ready("shop", &dying.id).await;
    let port_of = |text: String| text.split(' ').nth(2).map(str::to_owned).expect("a port");
    let request = api.request(Method::GET, "shop", "/");
    let answer = request.header("fly-force-instance-id", &lasting.id).send().await.expect("ok");
    let port = port_of(answer.text().await.expect("a body"));
    let lease = format!("/v1/apps/shop/machines/{}/lease", lasting.id);
    let taken = api.done(Method::POST, &lease, json!({"ttl": 600})).await;
    let secrets = json!({"values": {"KEY": "value"}});
    api.done(Method::POST, "/v1/apps/shop/secrets", secrets).await;
    let release = json!({"app_name": "shop", "image": "echo:v1", "strategy": "ROLLING"});
    let noted = api.done(Method::POST, "/api/v1/releases", release).await;
    let programs = state.programs();
    platform.kill();

    // While nobody watches, one of them dies.
    kill(*programs.get(&dying.id).expect("its id"));
    let platform = PlatformProcess::start(state.path());
    let api = platform.api.clone();
    assert_eq!(api.machine("shop", &lasting.id).await.state, MachineState::Started);
    let request = api.request(Method::GET, "shop", "/");
    let answer = request.header("fly-force-instance-id", &lasting.id).send().await.expect("ok");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(port_of(answer.text().await.expect("a body")), port, "it is the same process");
    let kept = api.done(Method::GET, &lease, Value::Null).await;
    assert_eq!(kept["data"]["nonce"], taken["data"]["nonce"], "the lease is kept");
    let secrets = api.done(Method::GET, "/v1/apps/shop/secrets", Value::Null).await;
    assert_eq!(secrets["secrets"][0]["name"], "KEY");
    let current = api.done(Method::GET, "/api/v1/apps/shop/releases/current", Value::Null).await;
    assert_eq!(current["id"], noted["release"]["id"], "a release that was noted is kept");

    api.ready("shop", &dying.id).await;
    let revived = api.machine("shop", &dying.id).await;
    let exit = revived.events.iter().find_map(|event| event.exit_event()).expect("its exit");
    assert!(exit.restarting && !exit.requested_stop, "{exit:?}");

    // The program that was taken over can be stopped and its end is seen.
    let nonce = taken["data"]["nonce"].as_str();
    let stop = format!("/v1/apps/shop/machines/{}/stop", lasting.id);
    let (status, _) = api.call_as(Method::POST, &stop, Value::Null, nonce).await;
    assert_eq!(status, StatusCode::OK);
    api.wait("shop", &lasting.id, "stopped").await;
    api.done(Method::DELETE, "/v1/apps/shop?force=true", Value::Null).await;
    platform.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_carried_out_wherever_the_platform_is_killed() {
    Box::pin(kill_the_platform_while_it_updates(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_what_was_accepted_is_carried_out_wherever_the_platform_is_killed() {
    Box::pin(kill_the_platform_while_it_updates(Runtime::Container)).await;
}

async fn kill_the_platform_while_it_updates(runtime: Runtime) {
    let engine = match runtime {
        Runtime::Process => None,
        Runtime::Container => Some(Engine::start().await),
    };
    let socket = engine.as_ref().map(|engine| engine.socket().display().to_string());
    let arguments: Vec<&str> = socket.as_deref().into_iter().collect();
    // A container takes longer to start, and the moments are as many.
    let (rounds, calls) = if engine.is_some() { (4, 12) } else { (12, 4) };
    let programs = |state: &StateDirectory| match &engine {
        Some(engine) => engine.containers().len(),
        None => state.programs().len(),
    };
    let state = StateDirectory::new();
    let mut platform = PlatformProcess::start_with(state.path(), &arguments);
    let image = platform.api.push_image(&[]).await;
    platform.api.create_app("shop").await;
    let first = config(&image, &[("VERSION", "0")]);
    let id = platform.api.create("shop", first).await.id;
    platform.api.ready("shop", &id).await;
    for round in 1..=rounds {
        let version = round.to_string();
        let wanted = config(&image, &[("VERSION", &version)]);
        let accepted = platform.api.update("shop", &id, &wanted).await;
        // Killed at once, or at some later moment of draining, stopping, unpacking, starting.
        for _ in 0..round * calls {
            platform.api.machine("shop", &id).await;
        }
        platform.kill();
        platform = PlatformProcess::start_with(state.path(), &arguments);
        platform.api.ready("shop", &id).await;
        let machine = platform.api.machine("shop", &id).await;
        assert_eq!(machine.instance_id, accepted.instance_id);
        let (status, text) = platform.api.get("shop", "/").await;
        assert_eq!(status, StatusCode::OK, "{text}");
        assert!(text.contains(&format!(" {version} ")), "{text}");
    }
    assert_eq!(programs(&state), 1, "no program is left behind");
    platform.api.done(Method::DELETE, "/v1/apps/shop?force=true", Value::Null).await;
    assert_eq!(programs(&state), 0);
    platform.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_is_restarted_in_order_finds_its_machines_serving() {
    let mut world = World::new().await;
    let ids = world.app("shop", 2).await;
    let before = world.api.proxy;
    world.restart_platform().await;
    assert_eq!(world.api.proxy, before, "machines know the address of the proxy");
    let load = Load::begin(&world.api, "shop");
    load.more(20).await;
    let report = load.end().await;
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    for id in &ids {
        let machine = world.api.machine("shop", id).await;
        let starts = machine.events.iter().filter(|event| event.event_type == "start").count();
        assert_eq!(starts, 1, "it was never stopped");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_for_want_of_memory_is_told_although_no_platform_was_there() {
    let state = StateDirectory::new();
    let platform = PlatformProcess::start(state.path());
    let api = platform.api.clone();
    let image = api.push_image(&[]).await;
    api.create_app("shop").await;
    let mut small = config(&image, &[]);
    small.guest = serde_json::from_value(json!({"cpus": 1, "memory_mb": 64})).expect("a guest");
    let id = api.create("shop", small).await.id;
    api.ready("shop", &id).await;
    let (_, answer) = api.get("shop", "/").await;
    let port = answer.split(' ').nth(2).map(str::to_owned).expect("a port");
    let pid = *state.programs().get(&id).expect("its id");
    let is_in_group = !control_groups(pid).is_empty();
    platform.kill();

    let url = format!("http://127.0.0.1:{port}/hold?mb=200");
    let stranger = reqwest::Client::builder().no_proxy().build().expect("a client");
    stranger.post(url).send().await.expect("an answer");
    if is_in_group {
        until("the kernel kills it", || async { !state.programs().contains_key(&id) }).await;
    }
    // Where there are no control groups, the next platform sees that it exceeds its memory.
    let platform = PlatformProcess::start(state.path());
    let api = platform.api.clone();
    until("the kill is told", || async {
        let machine = api.machine("shop", &id).await;
        let exit = machine.events.iter().find_map(|event| event.exit_event()).cloned();
        exit.is_some_and(|exit| exit.oom_killed && exit.exit_code == 137 && exit.restarting)
    })
    .await;
    api.ready("shop", &id).await;
    api.done(Method::DELETE, "/v1/apps/shop?force=true", Value::Null).await;
    platform.kill();
}
