//! A fleet of the size that one computer shall carry: a thousand machines that are stopped, and
//! some that run.

mod support;

use machines_api::types::MachineState;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::World;

const STOPPED: usize = 1000;
const RUNNING: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_stopped_machines_are_listed_found_again_and_in_nobodys_way() {
    let mut world = World::new().await;
    for app in ["large", "shop"] {
        world.api.create_app(app).await;
    }
    let body = json!({"config": world.config(&[]), "skip_launch": true});
    for _ in 0..STOPPED {
        world.api.done(Method::POST, "/v1/apps/large/machines", body.clone()).await;
    }
    let path = "/v1/apps/large/machines";
    let (status, refused) = world.api.call(Method::POST, path, body).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
    let mut running = Vec::new();
    for _ in 0..RUNNING {
        running.push(world.api.create("shop", world.config(&[])).await.id);
    }
    for id in &running {
        world.api.ready("shop", id).await;
    }
    world.restart_platform().await;
    let listed = world.api.done(Method::GET, path, Value::Null).await;
    let listed = listed.as_array().expect("a list");
    assert_eq!(listed.len(), STOPPED);
    assert!(listed.iter().all(|machine| machine["state"] == "created"));
    for id in &running {
        assert_eq!(world.api.machine("shop", id).await.state, MachineState::Started);
    }
    let id = listed[STOPPED / 2]["id"].as_str().expect("an id");
    world.api.post(&format!("{path}/{id}/start")).await;
    world.api.ready("large", id).await;
    assert_eq!(world.api.get("large", "/").await.0, StatusCode::OK);
    assert_eq!(world.state.programs().len(), RUNNING + 1);
    world.end().await;
}
