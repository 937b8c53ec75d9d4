//! `scale count 0`, `scale count 2`, `scale memory` and `scale vm`.

use reqwest::Method;
use serde_json::json;

use crate::client::{Fly, flag, number, text, world};

const COMPACT: &str = "query ($appName: String!) { appcompact:app(name: $appName) { id name deployed \
                       status platformVersion organization { id slug } } }";

const STORED_CONFIG: &str = "query FlyctlConfigCurrentRelease ($appName: String!) { app(name: \
                             $appName) { currentReleaseUnprocessed { configDefinition } } }";

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_scaled_to_nothing_and_back() {
    let (world, fly, image) = world("shop").await;
    let release = fly.deploy("shop", &image).await;
    // The config comes from the newest release, not from a file.
    let data = fly.graphql(COMPACT, json!({"appName": "shop"})).await;
    assert_eq!(text(&data, "/appcompact/platformVersion"), "machines");
    let data = fly.graphql(STORED_CONFIG, json!({"appName": "shop"})).await;
    let stored = &data["app"]["currentReleaseUnprocessed"]["configDefinition"];
    assert_eq!(text(stored, "/app"), "shop");
    let machines = fly.managed_machines("shop").await;
    let mut leases = Vec::new();
    for machine in &machines {
        let id = text(machine, "/id");
        leases.push(fly.lease("shop", &id, 120).await);
        fly.get(&format!("/apps/shop/machines/{id}")).await;
    }
    for leased in &leases {
        let path = format!("/apps/shop/machines/{}?kill=true", leased.id);
        fly.flaps(Method::DELETE, &path, None, Some(&leased.nonce)).await;
    }
    for leased in &leases {
        fly.wait("shop", &leased.id, "destroyed").await;
        // The client lets each lease go although the machine is gone; it forgives what it hears.
        let path = format!("/apps/shop/machines/{}/lease", leased.id);
        fly.try_flaps(Method::DELETE, &path, None, Some(&leased.nonce)).await;
    }
    assert!(fly.managed_machines("shop").await.is_empty());
    let data = fly.graphql(COMPACT, json!({"appName": "shop"})).await;
    assert_eq!(text(&data, "/appcompact/status"), "suspended");
    assert!(flag(&data, "/appcompact/deployed"), "else the next deployment is taken for the first");
    let app = fly.get("/apps/shop").await;
    assert_eq!(text(&app, "/status"), "suspended");

    // Back: machines of the stored config and the newest release's image.
    let query = "query LatestImage ($appName: String!) { app(name: $appName) { \
                 currentReleaseUnprocessed { id version imageRef } } }";
    let data = fly.graphql(query, json!({"appName": "shop"})).await;
    assert_eq!(text(&data, "/app/currentReleaseUnprocessed/imageRef"), release.image);
    assert_eq!(text(&data, "/app/currentReleaseUnprocessed/id"), release.id);
    assert_eq!(number(&data, "/app/currentReleaseUnprocessed/version"), 1);
    for _ in 0..2 {
        let input = Fly::launch_input(&release);
        let made = fly.flaps(Method::POST, "/apps/shop/machines", Some(input), None).await;
        number(&made, "/config/guest/memory_mb");
        fly.wait_until_healthy("shop", &text(&made, "/id")).await;
    }
    assert_eq!(fly.managed_machines("shop").await.len(), 2);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_machine_of_a_group_gets_another_size() {
    let (world, fly, image) = world("shop").await;
    fly.deploy("shop", &image).await;
    fly.graphql(STORED_CONFIG, json!({"appName": "shop"})).await;
    for machine in fly.managed_machines("shop").await {
        let id = text(&machine, "/id");
        let path = format!("/apps/shop/machines/{id}");
        let leased = fly.lease("shop", &id, 120).await;
        let machine = fly.get(&path).await;
        let mut config = machine["config"].clone();
        config["guest"] = json!({"cpu_kind": "shared", "cpus": 2, "memory_mb": 512});
        let body = json!({"id": id, "name": text(&machine, "/name"), "config": config,
                          "region": text(&machine, "/region"), "skip_secrets": false});
        fly.flaps(Method::POST, &path, Some(body), Some(&leased.nonce)).await;
        fly.wait_until_healthy("shop", &id).await;
        fly.release_lease("shop", &leased).await;
    }
    for machine in fly.managed_machines("shop").await {
        assert_eq!(number(&machine, "/config/guest/memory_mb"), 512);
        assert_eq!(number(&machine, "/config/guest/cpus"), 2);
    }
    world.end().await;
}
