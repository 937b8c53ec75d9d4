//! `deploy --strategy bluegreen`: new machines beside the old ones, then the old ones go.

use reqwest::Method;
use serde_json::json;

use crate::client::{Fly, Leased, reference, text, world};
use crate::support::load::Load;

#[tokio::test(flavor = "multi_thread")]
async fn green_machines_take_over_and_the_blue_ones_are_gone_without_a_lost_request() {
    let (world, fly, image) = world("shop").await;
    fly.deploy("shop", &image).await;
    let blue = fly.managed_machines("shop").await;
    let load = Load::begin(&world.api, "shop");
    load.more(10).await;

    let second = reference(&world.api.push_image(&[("BUILD", "2")]).await);
    let release = fly.begin_release("shop", &second, "BLUEGREEN").await;
    let mut leases = Vec::new();
    for machine in &blue {
        leases.push(fly.lease("shop", &text(machine, "/id"), 13).await);
        assert_eq!(text(machine, "/host_status"), "ok", "else it is taken for unreachable");
    }
    let query = "query ($appName: String!) { canPerformBluegreenDeployment(name: $appName) }";
    let data = fly.graphql(query, json!({"appName": "shop"})).await;
    assert_eq!(data["canPerformBluegreenDeployment"], true);

    let mut green = Vec::new();
    for number in 0..blue.len() {
        let mut input = Fly::launch_input(&release);
        input["skip_service_registration"] = json!(true);
        let metadata = &mut input["config"]["metadata"];
        metadata["fly_bluegreen_deployment_tag"] = json!("1790000000");
        metadata["fly_flyctl_bluegreen_launch_id"] = json!(format!("launch-{number}"));
        let made = fly.flaps(Method::POST, "/apps/shop/machines", Some(input), None).await;
        green.push(text(&made, "/id"));
    }
    // After an answer that got lost, the client looks a machine up by its launch id.
    let all = fly.managed_machines("shop").await;
    let launched = all.iter().filter(|machine| {
        machine.pointer("/config/metadata/fly_flyctl_bluegreen_launch_id").is_some()
    });
    assert_eq!(launched.count(), blue.len());
    for id in &green {
        fly.wait("shop", id, "started").await;
        fly.wait_until_healthy("shop", id).await;
    }
    for id in &green {
        fly.flaps(Method::POST, &format!("/apps/shop/machines/{id}/uncordon"), None, None).await;
    }
    for Leased { id, .. } in &leases {
        let path = format!("/apps/shop/machines/{id}/metadata/fly_bluegreen_deployment_tag");
        let body = json!({"value": "safe_to_destroy"});
        fly.flaps(Method::POST, &path, Some(body), None).await;
    }
    load.more(20).await;
    for Leased { id, nonce } in &leases {
        let path = format!("/apps/shop/machines/{id}");
        fly.flaps(Method::POST, &format!("{path}/cordon"), None, Some(nonce)).await;
    }
    load.more(20).await;
    for Leased { id, nonce } in &leases {
        let path = format!("/apps/shop/machines/{id}/stop");
        let body = json!({"id": id, "signal": "SIGTERM"});
        fly.flaps(Method::POST, &path, Some(body), Some(nonce)).await;
    }
    for Leased { id, nonce } in &leases {
        fly.wait("shop", id, "stopped").await;
        let path = format!("/apps/shop/machines/{id}?kill=true");
        fly.flaps(Method::DELETE, &path, None, Some(nonce)).await;
    }
    fly.note(&release, "complete").await;

    let report = load.end().await;
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    let mut left: Vec<_> =
        fly.managed_machines("shop").await.iter().map(|machine| text(machine, "/id")).collect();
    left.sort();
    green.sort();
    assert_eq!(left, green);
    world.end().await;
}
