//! What a client of the API sees and does inside a machine: programs run beside its own, its
//! processes, its memory while it is suspended.

mod support;

use machines_api::types::MachineState;
use platform_local::Runtime;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{World, until};

const M: &str = "/v1/apps/shop/machines";

#[tokio::test(flavor = "multi_thread")]
async fn a_program_runs_in_the_machine_with_its_root_environment_and_input() {
    Box::pin(run_programs_inside(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_a_program_runs_in_the_machine_with_its_root_environment_and_input() {
    Box::pin(run_programs_inside(Runtime::Container)).await;
}

#[expect(clippy::indexing_slicing, reason = "the body of two tests")]
async fn run_programs_inside(runtime: Runtime) {
    let world = World::in_(runtime).await;
    let ids = world.app("shop", 1).await;
    let exec = format!("{M}/{}/exec", ids[0]);
    let run = |body: Value| world.api.done(Method::POST, &exec, body);

    let told = run(json!({"command": ["/app", "whoami"]})).await;
    assert_eq!(told["exit_code"], 0, "{told}");
    let words = told["stdout"].as_str().expect("output");
    assert!(words.starts_with(&format!("{} one ", ids[0])), "{words}");
    let root = match runtime {
        Runtime::Process => format!("machines/{}/roots/", ids[0]),
        Runtime::Container => "one /\n".to_owned(),
    };
    assert!(words.contains(&root), "{words}");

    // Fly's client sends one line, which is split as a shell would.
    let copied = run(json!({"cmd": "'/app' \"copy\"", "stdin": "hello"})).await;
    assert_eq!(copied["stdout"], "hello");
    let failed = run(json!({"command": ["/app", "fail"]})).await;
    assert_eq!(
        (&failed["exit_code"], &failed["stderr"]),
        (&json!(3), &json!("failed on purpose\n"))
    );
    let flood = run(json!({"command": ["/app", "flood"]})).await;
    assert_eq!(flood["stdout"].as_str().map(str::len), Some(1 << 20), "the output is bounded");

    let refused = [
        (json!({"command": []}), 400),
        (json!({"cmd": "'open"}), 400),
        (json!({"command": ["/missing"]}), 400),
        (json!({"command": ["../../../../../bin/sh"]}), 400),
        (json!({"command": ["/app", "hang"], "timeout": 1}), 408),
    ];
    for (body, status) in refused {
        let (found, answer) = world.api.call(Method::POST, &exec, body.clone()).await;
        assert_eq!(found.as_u16(), status, "{body}: {answer}");
    }
    let listed = world.api.done(Method::GET, &format!("{M}/{}/ps", ids[0]), Value::Null).await;
    let only_its_own = listed.as_array().map(Vec::len);
    assert_eq!(only_its_own, Some(1), "the program that was too slow is gone: {listed}");

    world.api.post(&format!("{M}/{}/stop", ids[0])).await;
    world.api.wait("shop", &ids[0], "stopped").await;
    let (status, _) = world.api.call(Method::POST, &exec, json!({"cmd": "/app whoami"})).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_reads_the_files_of_its_config() {
    Box::pin(read_config_files(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_a_program_reads_the_files_of_its_config() {
    Box::pin(read_config_files(Runtime::Container)).await;
}

#[expect(clippy::indexing_slicing, reason = "the body of two tests")]
async fn read_config_files(runtime: Runtime) {
    let world = World::in_(runtime).await;
    world.api.create_app("shop").await;
    let config = |files: Value| {
        let mut config = serde_json::to_value(world.config(&[])).expect("a config");
        config["files"] = files;
        json!({"config": config})
    };
    let bad = config(json!([{"guest_path": "/../up", "raw_value": "aGVsbG8="}]));
    let (status, refused) = world.api.call(Method::POST, M, bad).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
    for path in ["", "/../data", "/data:ro"] {
        let mut bad = config(json!([]));
        bad["config"]["mounts"] = json!([{"path": path}]);
        let (status, refused) = world.api.call(Method::POST, M, bad).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
    }

    let secret = json!({"value": "aGlkZGVu"});
    world.api.done(Method::POST, "/v1/apps/shop/secrets/PLAN", secret).await;
    let files = json!([
        {"guest_path": "/etc/shop/app.conf", "raw_value": "aGVsbG8="},
        {"guest_path": "/plan", "secret_name": "PLAN"},
    ]);
    let made = world.api.done(Method::POST, M, config(files)).await;
    let id = made["id"].as_str().expect("an id");
    world.api.ready("shop", id).await;
    for (path, content) in [("etc/shop/app.conf", "hello"), ("plan", "hidden")] {
        let body = json!({"command": ["/app", "read", path]});
        let told = world.api.done(Method::POST, &format!("{M}/{id}/exec"), body).await;
        assert_eq!(told["stdout"], content, "{told}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_processes_of_a_machine_are_listed_with_their_sockets() {
    Box::pin(list_processes(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_the_processes_of_a_machine_are_listed_with_their_sockets() {
    Box::pin(list_processes(Runtime::Container)).await;
}

#[expect(clippy::indexing_slicing, reason = "the body of two tests")]
async fn list_processes(runtime: Runtime) {
    let world = World::in_(runtime).await;
    let ids = world.app("shop", 2).await;
    let (_, about) = world.api.get("shop", "/").await;
    let port = about.split_whitespace().last().expect("a port").to_owned();
    let id = about.split_whitespace().next().expect("an id").to_owned();
    assert!(ids.contains(&id));
    let path = format!("{M}/{id}/ps");
    let listed = world.api.done(Method::GET, &path, Value::Null).await;
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert!(listed[0]["command"].as_str().expect("words").ends_with("/app"), "{listed}");
    assert!(listed[0]["rss"].as_u64().expect("a size") > 100_000, "{listed}");
    let socket = &listed[0]["listen_sockets"][0];
    assert_eq!(socket["proto"], "tcp", "{listed}");
    assert!(socket["address"].as_str().expect("one").ends_with(&format!(":{port}")), "{listed}");
    let sorted = format!("{path}?sort_by=rss&order=desc");
    world.api.done(Method::GET, &sorted, Value::Null).await;
    for bad in ["sort_by=colour", "order=sideways"] {
        let (status, _) = world.api.call(Method::GET, &format!("{path}?{bad}"), Value::Null).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let memory = world.api.done(Method::GET, &format!("{M}/{id}/memory"), Value::Null).await;
    assert_eq!(memory["limit_mb"], 256);
    assert!(memory["available_mb"].as_u64().expect("a size") <= 256, "{memory}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_machine_keeps_its_program_and_answers_again_when_it_is_started() {
    Box::pin(suspend_and_start(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_a_suspended_machine_keeps_its_program_and_answers_again_when_it_is_started()
{
    Box::pin(suspend_and_start(Runtime::Container)).await;
}

#[expect(clippy::indexing_slicing, reason = "the body of two tests")]
async fn suspend_and_start(runtime: Runtime) {
    let mut world = World::in_(runtime).await;
    let ids = world.app("shop", 1).await;
    let machine = format!("{M}/{}", ids[0]);
    let program = world.programs()[&ids[0]];
    world.api.post(&format!("{machine}/suspend")).await;
    world.api.wait("shop", &ids[0], "suspended").await;
    until("it is frozen", || async { world.is_frozen(&ids[0]) }).await;
    // It stays so over a restart of the platform.
    world.restart_platform().await;
    assert_eq!(world.api.machine("shop", &ids[0]).await.state, MachineState::Suspended);
    until("it is frozen", || async { world.is_frozen(&ids[0]) }).await;

    let reply = world.api.post(&format!("{machine}/start")).await;
    assert_eq!(reply["previous_state"], "suspended");
    world.api.ready("shop", &ids[0]).await;
    assert_eq!(world.api.get("shop", "/").await.0, StatusCode::OK);
    assert_eq!(world.programs()[&ids[0]], program, "it is the same program");
    let events = world.api.machine("shop", &ids[0]).await.events;
    let told: Vec<_> = events.iter().map(|it| format!("{} {}", it.event_type, it.status)).collect();
    let newest = ["start started", "start starting", "suspend suspended", "suspend suspending"];
    assert_eq!(told[..4], newest);

    // What is frozen can be stopped, and updated, all the same.
    world.api.post(&format!("{machine}/suspend")).await;
    world.api.wait("shop", &ids[0], "suspended").await;
    world.api.update("shop", &ids[0], &world.config(&[("VERSION", "two")])).await;
    world.api.ready("shop", &ids[0]).await;
    assert_ne!(world.programs()[&ids[0]], program);
    world.api.post(&format!("{machine}/suspend")).await;
    world.api.wait("shop", &ids[0], "suspended").await;
    world.api.post(&format!("{machine}/stop")).await;
    world.api.wait("shop", &ids[0], "stopped").await;
    let (status, _) =
        world.api.call(Method::POST, &format!("{machine}/suspend"), Value::Null).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED, "only what runs can be suspended");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_machine_is_suspended_and_a_request_wakes_it() {
    let world = World::that_soon_stops_the_idle().await;
    world.api.create_app("shop").await;
    let mut config = world.config(&[("VERSION", "one")]);
    config.services[0].autostop = serde_json::from_value(json!("suspend")).expect("a word");
    let id = world.api.create("shop", config).await.id;
    world.api.wait("shop", &id, "started").await;
    let program = world.programs()[&id];
    until("it is suspended", || async {
        world.api.machine("shop", &id).await.state == MachineState::Suspended
    })
    .await;
    let shown = world.api.done(Method::GET, &format!("{M}/{id}"), Value::Null).await;
    assert_eq!(shown["config"]["services"][0]["autostop"], "suspend");
    let (status, answer) = world.api.get("shop", "/").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(world.programs()[&id], program, "it was resumed, not started");
    world.end().await;
}
