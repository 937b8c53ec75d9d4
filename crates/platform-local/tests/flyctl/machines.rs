//! `machine list`, `status`, `restart`, `stop`, `start`, and `update --memory --cpus`.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::client::{list, number, text, time, world};

#[tokio::test(flavor = "multi_thread")]
async fn a_list_and_a_status_show_all_that_the_client_prints() {
    let (world, fly, image) = world("shop").await;
    fly.deploy("shop", &image).await;
    let all = fly.get("/apps/shop/machines").await;
    let machines = all.as_array().expect("a list");
    assert_eq!(machines.len(), 2);
    for machine in machines {
        for field in ["/id", "/name", "/state", "/region", "/private_ip", "/instance_id"] {
            assert!(!text(machine, field).is_empty(), "{field}");
        }
        text(machine, "/image_ref/repository");
        text(machine, "/image_ref/digest");
        time(machine, "/created_at");
        time(machine, "/updated_at");
    }
    let id = text(&machines[0], "/id");
    let machine = fly.get(&format!("/apps/shop/machines/{id}")).await;
    assert_eq!(text(&machine, "/config/metadata/fly_process_group"), "app");
    assert_eq!(text(&machine, "/config/guest/cpu_kind"), "shared");
    assert_eq!(
        (number(&machine, "/config/guest/cpus"), number(&machine, "/config/guest/memory_mb")),
        (1, 256)
    );
    for check in list(&machine, "/checks") {
        assert!(text(check, "/name").starts_with("servicecheck-"));
        text(check, "/status");
        text(check, "/output");
        time(check, "/updated_at");
    }
    for event in list(&machine, "/events") {
        for field in ["/id", "/type", "/status", "/source"] {
            text(event, field);
        }
        number(event, "/timestamp");
    }
    let (status, reply) =
        fly.try_flaps(Method::GET, "/apps/shop/machines/0123456789abcd", None, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text(&reply, "/error").contains("machine not found"), "the client rewords that");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_restarted_stopped_and_started() {
    let (world, fly, image) = world("shop").await;
    fly.deploy("shop", &image).await;
    let id = text(&fly.managed_machines("shop").await[0], "/id");
    let path = format!("/apps/shop/machines/{id}");

    // restart: under a lease of two minutes, after which the machine is read again
    let leased = fly.lease("shop", &id, 120).await;
    fly.get(&path).await;
    let restart = format!("{path}/restart?force_stop=false");
    fly.flaps(Method::POST, &restart, None, Some(&leased.nonce)).await;
    fly.wait_until_healthy("shop", &id).await;
    fly.release_lease("shop", &leased).await;

    fly.get(&path).await;
    let body = json!({"id": id, "signal": "", "timeout": "0s"});
    let (status, reply) =
        fly.try_flaps(Method::POST, &format!("{path}/stop"), Some(body), None).await;
    assert!(status.is_success(), "{reply}");
    fly.wait("shop", &id, "stopped").await;
    fly.get(&path).await;
    let started = fly.flaps(Method::POST, &format!("{path}/start"), None, None).await;
    text(&started, "/status");
    assert_eq!(text(&started, "/previous_state"), "stopped");
    fly.wait_until_healthy("shop", &id).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_cpus_of_a_machine_are_changed() {
    let (world, fly, image) = world("shop").await;
    let release = fly.deploy("shop", &image).await;
    let id = text(&fly.managed_machines("shop").await[0], "/id");
    let path = format!("/apps/shop/machines/{id}");
    let found = fly.get(&path).await;
    let leased = fly.lease("shop", &id, 120).await;
    let machine = fly.get(&path).await;
    assert_eq!(text(&found, "/instance_id"), text(&machine, "/instance_id"));
    // The client resolves the machine's own image anew.
    let repository = text(&machine, "/image_ref/repository");
    let digest = text(&machine, "/image_ref/digest");
    let image = format!("{}/{repository}@{digest}", text(&machine, "/image_ref/registry"));
    fly.resolve_image("shop", &image).await;
    let mut config = machine["config"].clone();
    config["guest"]["memory_mb"] = json!(1024);
    config["guest"]["cpus"] = json!(2);
    let body = json!({
        "id": id, "name": text(&machine, "/name"), "region": text(&machine, "/region"),
        "config": config, "skip_launch": false, "skip_secrets": false,
    });
    let updated = fly.flaps(Method::POST, &path, Some(body), Some(&leased.nonce)).await;
    assert_ne!(text(&updated, "/instance_id"), text(&machine, "/instance_id"));
    fly.wait_until_healthy("shop", &id).await;
    fly.release_lease("shop", &leased).await;
    let machine = fly.get(&path).await;
    assert_eq!(number(&machine, "/config/guest/memory_mb"), 1024);
    assert_eq!(number(&machine, "/config/guest/cpus"), 2);
    let noted = text(&machine, "/config/metadata/fly_release_id");
    assert_eq!(noted, release.id, "who changes the size leaves the release as it was");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_somebody_else_is_told_in_the_words_that_the_client_looks_for() {
    let (world, fly, image) = world("shop").await;
    fly.deploy("shop", &image).await;
    let id = text(&fly.managed_machines("shop").await[0], "/id");
    let lease = format!("/apps/shop/machines/{id}/lease");
    let (status, none) = fly.try_flaps(Method::GET, &lease, None, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text(&none, "/error").contains("lease not found"));
    let leased = fly.lease("shop", &id, 120).await;
    let (status, held) = fly.try_flaps(Method::POST, &format!("{lease}?ttl=13"), None, None).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(text(&held, "/error").contains("lease currently held by"));
    // `machine leases clear`
    let found = fly.get(&lease).await;
    assert_eq!(text(&found, "/data/nonce"), leased.nonce);
    fly.release_lease("shop", &leased).await;
    world.end().await;
}
