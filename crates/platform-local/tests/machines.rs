//! What a client of the API gets from machines: their states, versions, events, leases, exits.

mod support;

use machines_api::types::{MachineConfig, MachineState};
use platform_local::Runtime;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Client, World, until};

const M: &str = "/v1/apps/shop/machines";

/// Destroyed machines that the platform remembers.
const REMEMBERED: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn an_update_gives_a_new_version_with_its_config_and_keeps_the_old_ones_known() {
    let world = World::new().await;
    let ids = world.app("shop", 1).await;
    let before = world.api.machine("shop", &ids[0]).await;
    let updated = world.api.update("shop", &ids[0], &world.config(&[("VERSION", "two")])).await;
    assert_ne!(updated.instance_id, before.instance_id);
    assert_eq!(updated.instance_id.len(), 26);
    world.api.ready("shop", &ids[0]).await;
    let (_, answer) = world.api.get("shop", "/").await;
    assert!(answer.contains(" two "), "{answer}");
    let path = format!("{M}/{}/versions", ids[0]);
    let versions = world.api.done(Method::GET, &path, Value::Null).await;
    assert_eq!(versions[0]["version"], updated.instance_id);
    assert_eq!(versions[1]["user_config"]["env"]["VERSION"], "one");

    let metadata = format!("{M}/{}/metadata/note", ids[0]);
    world.api.done(Method::POST, &metadata, json!({"value": "x"})).await;
    let after = world.api.machine("shop", &ids[0]).await;
    assert_eq!(after.instance_id, updated.instance_id, "metadata makes no version");
    let found = world.api.done(Method::GET, &format!("{M}?metadata.note=x"), Value::Null).await;
    assert_eq!(found.as_array().map(Vec::len), Some(1));
    let none = world.api.done(Method::GET, &format!("{M}?metadata.note=y"), Value::Null).await;
    assert_eq!(none.as_array().map(Vec::len), Some(0));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_newest_first_what_happened() {
    let world = World::new().await;
    let ids = world.app("shop", 1).await;
    world.api.update("shop", &ids[0], &world.config(&[])).await;
    world.api.ready("shop", &ids[0]).await;
    let machine = world.api.machine("shop", &ids[0]).await;
    let types: Vec<&str> = machine.events.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(types, ["start", "exit", "update", "start", "launch"]);
    let exit = machine.events[1].exit_event().expect("an exit");
    assert!(exit.requested_stop && exit.restarting);
    assert_eq!(exit.exit_code, 128 + 15, "it died of the stop signal that its config names");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ends_at_once_is_tried_again_and_then_has_failed() {
    Box::pin(fail_at_once(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_a_program_that_ends_at_once_is_tried_again_and_then_has_failed() {
    Box::pin(fail_at_once(Runtime::Container)).await;
}

async fn fail_at_once(runtime: Runtime) {
    let world = World::in_(runtime).await;
    world.api.create_app("shop").await;
    let mut config = world.config(&[("EXIT_CODE", "3")]);
    config.restart = serde_json::from_value(json!({"policy": "on-failure", "max_retries": 2}))
        .expect("a policy");
    let made = world.api.create("shop", config).await;
    world.api.wait("shop", &made.id, "failed").await;
    let machine = world.api.machine("shop", &made.id).await;
    let exits: Vec<_> = machine.events.iter().filter_map(|event| event.exit_event()).collect();
    assert_eq!(exits.len(), 3, "one start and two more tries");
    assert!(exits.iter().all(|exit| exit.exit_code == 3 && !exit.requested_stop));
    assert_eq!(exits.iter().filter(|exit| exit.restarting).count(), 2);
    let text = world.api.metrics().await;
    let told = text.lines().any(|line| {
        line.starts_with("fly_instance_exit_code{")
            && line.contains(&format!(r#"instance="{}""#, made.id))
            && line.ends_with("} 3")
    });
    assert!(told, "{text}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_is_seen_as_exit_137_and_started_again() {
    Box::pin(kill_by_signal(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_a_killed_program_is_seen_as_exit_137_and_started_again() {
    Box::pin(kill_by_signal(Runtime::Container)).await;
}

#[expect(clippy::indexing_slicing, reason = "the body of two tests")]
async fn kill_by_signal(runtime: Runtime) {
    let world = World::in_(runtime).await;
    let ids = world.app("shop", 1).await;
    let signal = format!("{M}/{}/signal", ids[0]);
    world.api.done(Method::POST, &signal, json!({"signal": 9})).await;
    until("the exit is told", || async {
        let machine = world.api.machine("shop", &ids[0]).await;
        machine.events.iter().any(|event| {
            event.exit_event().is_some_and(|exit| exit.exit_code == 137 && exit.signal == 9)
        })
    })
    .await;
    world.api.ready("shop", &ids[0]).await;
    assert_eq!(world.api.get("shop", "/").await.0, StatusCode::OK);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ignores_the_stop_signal_is_killed_after_its_time() {
    Box::pin(ignore_the_stop_signal(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_a_program_that_ignores_the_stop_signal_is_killed_after_its_time() {
    Box::pin(ignore_the_stop_signal(Runtime::Container)).await;
}

async fn ignore_the_stop_signal(runtime: Runtime) {
    let world = World::in_(runtime).await;
    world.api.create_app("shop").await;
    let made = world.api.create("shop", world.config(&[("IGNORE_SIGNALS", "1")])).await;
    world.api.ready("shop", &made.id).await;
    let stop = format!("{M}/{}/stop", made.id);
    world.api.done(Method::POST, &stop, json!({"signal": "SIGINT", "timeout": "300ms"})).await;
    world.api.wait("shop", &made.id, "stopped").await;
    let machine = world.api.machine("shop", &made.id).await;
    let exit = machine.events.iter().find_map(|event| event.exit_event()).expect("an exit");
    assert!(exit.exit_code == 137 && exit.requested_stop, "{exit:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_holder_of_the_lease_changes_a_machine() {
    let world = World::new().await;
    let ids = world.app("shop", 1).await;
    let api = &world.api;
    let machine = format!("{M}/{}", ids[0]);
    let taken = api.done(Method::POST, &format!("{machine}/lease?ttl=60"), Value::Null).await;
    let nonce = taken["data"]["nonce"].as_str().expect("a nonce").to_owned();
    for order in ["stop", "restart", "cordon", "uncordon", "start", "lease"] {
        for wrong in [None, Some("000000000000")] {
            let path = format!("{machine}/{order}");
            let (status, body) = api.call_as(Method::POST, &path, Value::Null, wrong).await;
            assert_eq!(status, StatusCode::CONFLICT, "{order}");
            let text = body["error"].as_str().expect("an error");
            let expected = format!("machine ID {} lease currently held by ", ids[0]);
            assert!(text.starts_with(&expected) && text.contains(", expires at 2"), "{text}");
        }
    }
    let cordon = format!("{machine}/cordon");
    let (status, _) = api.call_as(Method::POST, &cordon, Value::Null, Some(&nonce)).await;
    assert_eq!(status, StatusCode::OK);
    let lease = format!("{machine}/lease");
    let (status, _) = api.call_as(Method::DELETE, &lease, Value::Null, Some(&nonce)).await;
    assert_eq!(status, StatusCode::OK);
    // Whoever still believes in the lease is told that it is gone.
    let (status, body) = api.call_as(Method::POST, &cordon, Value::Null, Some(&nonce)).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    let (status, body) = api.call(Method::GET, &lease, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body["error"].as_str().expect("an error").contains("lease not found"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_too_long_says_where_the_machine_is() {
    let world = World::new().await;
    let ids = world.app("shop", 1).await;
    let path = format!("{M}/{}/wait?state=stopped&timeout=1", ids[0]);
    let (status, body) = world.api.call(Method::GET, &path, Value::Null).await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(
        body["error"],
        "deadline_exceeded: machine failed to reach desired state, stopped, currently started"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_sees_its_secrets_its_volume_and_who_it_is() {
    Box::pin(look_around(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_a_machine_sees_its_secrets_its_volume_and_who_it_is() {
    Box::pin(look_around(Runtime::Container)).await;
}

#[expect(clippy::indexing_slicing, reason = "the body of two tests")]
async fn look_around(runtime: Runtime) {
    let world = World::in_(runtime).await;
    world.api.create_app("shop").await;
    let secrets = json!({"values": {"API_KEY": "hidden"}});
    let set = world.api.done(Method::POST, "/v1/apps/shop/secrets", secrets).await;
    assert_eq!(set["version"], 1);
    assert!(!set.to_string().contains("hidden"), "{set}");
    let mut config = world.config(&[("COUNT_FILE", "data/count")]);
    config.mounts = serde_json::from_value(json!([{"name": "data", "path": "/data"}])).expect("ok");
    let made = world.api.create("shop", config.clone()).await;
    world.api.ready("shop", &made.id).await;
    let (_, environment) = world.api.get("shop", "/env").await;
    for line in [
        "API_KEY=hidden".to_owned(),
        "FLY_APP_NAME=shop".to_owned(),
        format!("FLY_MACHINE_ID={}", made.id),
        format!("FLY_ALLOC_ID={}", made.id),
        format!("FLY_MACHINE_VERSION={}", made.instance_id),
        "FLY_VM_MEMORY_MB=256".to_owned(),
        format!("FLY_LOCAL_PROXY=http://{}", world.api.proxy),
    ] {
        assert!(environment.lines().any(|found| found == line), "{line}\nin\n{environment}");
    }
    let count = || async {
        let answer = world.api.request(Method::POST, "shop", "/count").send().await;
        answer.expect("an answer").text().await.expect("a body")
    };
    assert_eq!(count().await, "1");
    world.api.update("shop", &made.id, &config).await;
    world.api.ready("shop", &made.id).await;
    assert_eq!(count().await, "2", "the volume survives an update");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_an_earlier_version_can_be_read_while_they_are_kept() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    let path = "/v1/apps/shop/secrets";
    for number in 1..=52 {
        let values = json!({"values": {"KEY": format!("value-{number}")}});
        world.api.done(Method::POST, path, values).await;
    }
    let at = |query: &str| format!("{path}?{query}");
    let old = at("version=3&show_secrets=true");
    let then = world.api.done(Method::GET, &old, Value::Null).await;
    assert_eq!((&then["version"], &then["secrets"][0]["value"]), (&json!(3), &json!("value-3")));
    let hidden = world.api.done(Method::GET, &at("version=3"), Value::Null).await;
    assert!(!hidden.to_string().contains("value-3"), "{hidden}");
    for (query, status) in [("version=2", 404), ("version=53", 404), ("min_version=53", 412)] {
        let (found, answer) = world.api.call(Method::GET, &at(query), Value::Null).await;
        assert_eq!(found.as_u16(), status, "{query}: {answer}");
        assert!(answer["error"].as_str().expect("an error").contains("at version 52"), "{answer}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_a_reason() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    let api = &world.api;
    let unknown = format!("x/echo@sha256:{}", "0".repeat(64));
    let create = |image: &str| json!({"config": {"image": image}});
    let cases: [(Method, &str, Value, u16, &str); 8] = [
        (Method::POST, M, create(&unknown), 400, "image not found"),
        (Method::POST, M, create("shop:never-pushed"), 400, "image not found"),
        (Method::POST, "/v1/apps", json!({"name": "shop"}), 422, "Name has already been taken"),
        (Method::POST, "/v1/apps", json!({"name": "Shop!"}), 422, "no app name"),
        (Method::POST, "/v1/apps", json!({"what": 1}), 400, "cannot be read"),
        (Method::GET, "/v1/apps/none", Value::Null, 404, "app not found"),
        (Method::GET, "/v1/apps/shop/machines/none", Value::Null, 404, "machine not found"),
        (Method::GET, "/v1/apps/none/machines", Value::Null, 404, "app not found"),
    ];
    for (method, path, body, status, text) in cases {
        let (found, answer) = api.call(method, path, body).await;
        assert_eq!(found.as_u16(), status, "{path}: {answer}");
        let error = answer["error"].as_str().expect("an error");
        assert!(error.contains(text), "{path}: {error}");
    }
    let large = json!({"name": "x".repeat(1 << 20)});
    let (status, _) = api.call(Method::POST, "/v1/apps", large).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let stranger = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("http://{}/v1/apps", api.api);
    let answer = stranger.get(url).bearer_auth("wrong").send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_does_not_exist_is_refused_before_anything_is_changed() {
    let world = World::new().await;
    let ids = world.app("shop", 1).await;
    let before = world.api.machine("shop", &ids[0]).await;
    let body = json!({"config": world.config(&[("HOLDPOINT_RUNTIME", "jail")])});
    for path in [M.to_owned(), format!("{M}/{}", ids[0])] {
        let (status, answer) = world.api.call(Method::POST, &path, body.clone()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {answer}");
        let error = answer["error"].as_str().expect("an error");
        assert!(error.contains("`jail` is no runtime"), "{error}");
        assert!(error.contains("`process` or `container`"), "{error}");
    }
    let after = world.api.machine("shop", &ids[0]).await;
    assert_eq!(after.instance_id, before.instance_id);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_be_leaves_the_machine_failed_and_tells_why() {
    Box::pin(start_what_is_not_there(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_a_start_that_cannot_be_leaves_the_machine_failed_and_tells_why() {
    Box::pin(start_what_is_not_there(Runtime::Container)).await;
}

#[expect(clippy::indexing_slicing, reason = "the body of two tests")]
async fn start_what_is_not_there(runtime: Runtime) {
    let world = World::in_(runtime).await;
    world.api.create_app("shop").await;
    let mut config: MachineConfig = world.config(&[]);
    config.init = serde_json::from_value(json!({"exec": ["/missing"]})).expect("ok");
    let made = world.api.create("shop", config).await;
    world.api.wait("shop", &made.id, "failed").await;
    let machine = world.api.machine("shop", &made.id).await;
    let told = serde_json::to_string(&machine.events[0]).expect("an event");
    assert!(told.contains("no program `/missing`"), "{told}");
    // A good config brings it back.
    world.api.update("shop", &made.id, &world.config(&[])).await;
    world.api.ready("shop", &made.id).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_apps_machines_stop_other_apps_and_machines_are_made() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    let mut slow = world.config(&[("IGNORE_SIGNALS", "1")]);
    slow.stop_config = serde_json::from_value(json!({"timeout": "5m"})).expect("valid");
    let made = world.api.create("shop", slow).await;
    world.api.ready("shop", &made.id).await;
    let api = world.api.clone();
    let deleted = tokio::spawn(async move {
        api.call(Method::DELETE, "/v1/apps/shop?force=true", Value::Null).await
    });
    until("the app is being deleted", async || {
        world.api.machine("shop", &made.id).await.state == MachineState::Destroying
    })
    .await;
    world.api.create_app("other").await;
    let late = world.api.create("shop", world.config(&[])).await;
    let kill = json!({"signal": "SIGKILL"});
    world.api.done(Method::POST, &format!("{M}/{}/signal", made.id), kill).await;
    let (status, answer) = deleted.await.expect("no panic");
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let (status, _) = world.api.call(Method::GET, &format!("{M}/{}", late.id), Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "it went with its app");
    assert!(world.programs().is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_machines_that_were_destroyed_the_newest_are_remembered() {
    let mut world = World::new().await;
    world.api.create_app("shop").await;
    let order = json!({"config": world.config(&[]), "skip_launch": true});
    let come_and_go = async || {
        let made = world.api.done(Method::POST, M, order.clone()).await;
        let id = made["id"].as_str().expect("an id").to_owned();
        world.api.done(Method::DELETE, &format!("{M}/{id}"), Value::Null).await;
        world.api.wait("shop", &id, "destroyed").await;
        id
    };
    let first = come_and_go().await;
    let others = futures::future::join_all((0..REMEMBERED).map(|_| come_and_go())).await;
    let last = world.api.done(Method::POST, M, order.clone()).await;
    let known = async |api: &Client, id: &str| {
        api.call(Method::GET, &format!("{M}/{id}"), Value::Null).await.0
    };
    assert_eq!(known(&world.api, &first).await, StatusCode::NOT_FOUND);
    assert_eq!(known(&world.api, &others[0]).await, StatusCode::OK);
    let every = format!("{M}?include_deleted=true");
    for is_restarted in [false, true] {
        if is_restarted {
            world.restart_platform().await;
        }
        let listed = world.api.done(Method::GET, &every, Value::Null).await;
        let ids = listed.as_array().expect("a list").iter().map(|machine| &machine["id"]);
        assert_eq!(ids.clone().count(), REMEMBERED + 1);
        assert!(ids.clone().any(|id| *id == last["id"]));
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_machine_is_destroyed_only_by_force() {
    let world = World::new().await;
    let ids = world.app("shop", 1).await;
    let machine = format!("{M}/{}", ids[0]);
    let (status, body) = world.api.call(Method::DELETE, &machine, Value::Null).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{body}");
    world.api.done(Method::DELETE, &format!("{machine}?force=true"), Value::Null).await;
    world.api.wait("shop", &ids[0], "destroyed").await;
    let gone = world.api.machine("shop", &ids[0]).await;
    assert_eq!(gone.state, MachineState::Destroyed);
    let listed = world.api.done(Method::GET, M, Value::Null).await;
    assert_eq!(listed, json!([]));
    world.end().await;
}
