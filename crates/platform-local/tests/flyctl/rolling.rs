//! `deploy -c … --image …` (rolling), `status`, `releases`, and the way back: `deploy --image
//! <previous>`. Then the same after the platform was killed.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Fly, flag, list, number, reference, text, time, world};
use crate::support::{World, until};

const STATUS: &str = "query ($appName: String!) { app(name:$appName) { \
                      currentRelease:currentReleaseUnprocessed { version } } }";

const RELEASES: &str = "query($appName: String!, $limit: Int!) { app(name: $appName) { releases: \
                        releasesUnprocessed(first: $limit) { nodes { id version description reason \
                        status imageRef stable user { id email name } createdAt } } } }";

const LATEST_IMAGE: &str = "query LatestImage ($appName: String!) { app(name: $appName) { \
                            currentReleaseUnprocessed { id version imageRef } } }";

const STORED_CONFIG: &str = "query FlyctlConfigCurrentRelease ($appName: String!) { app(name: \
                             $appName) { currentReleaseUnprocessed { configDefinition } } }";

async fn versions_served(world: &World) -> Vec<String> {
    let mut seen = Vec::new();
    for _ in 0..8 {
        let (status, body) = world.api.get("shop", "/").await;
        assert_eq!(status, StatusCode::OK, "{body}");
        seen.push(body.split(' ').nth(1).expect("a version").to_owned());
    }
    seen.sort();
    seen.dedup();
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_deployed_updated_in_place_and_put_back_by_its_image() {
    let (world, fly, first) = world("shop").await;
    let one = fly.deploy("shop", &first).await;
    let machines = fly.managed_machines("shop").await;
    assert_eq!(machines.len(), 2);
    let ids = |machines: &[Value]| -> Vec<String> {
        machines.iter().map(|machine| text(machine, "/id")).collect()
    };
    let before = ids(&machines);
    assert_eq!(versions_served(&world).await, ["v1"]);

    let second = reference(&world.api.push_image(&[("BUILD", "2")]).await);
    fly.deploy("shop", &second).await;
    assert_eq!(versions_served(&world).await, ["v2"]);

    // What somebody does who wants to go back: `releases --image`, then `deploy --image`.
    let data = fly.graphql(RELEASES, json!({"appName": "shop", "limit": 25})).await;
    let releases = list(&data, "/app/releases/nodes");
    assert_eq!(releases.len(), 2);
    let previous = &releases[1];
    assert_eq!(number(previous, "/version"), 1);
    let three = fly.deploy("shop", &text(previous, "/imageRef")).await;
    assert_eq!(three.version, 3, "going back is a release of its own");
    assert_eq!(three.image, one.image);
    assert_eq!(versions_served(&world).await, ["v3"]);

    let machines = fly.managed_machines("shop").await;
    assert_eq!(ids(&machines), before, "machines are updated in place");
    for machine in &machines {
        assert_eq!(text(machine, "/image_ref/digest"), world.image.to_string());
        assert_eq!(text(machine, "/config/metadata/fly_release_version"), "3");
        assert_eq!(text(machine, "/config/metadata/fly_release_id"), three.id);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_releases_show_what_was_deployed_by_whom_and_when() {
    let (world, fly, image) = world("shop").await;
    let release = fly.deploy("shop", &image).await;
    // `status` asks for each machine whether a newer image of Fly's own is there.
    let managed = fly.managed_machines("shop").await;
    for machine in &managed {
        text(machine, "/image_ref/repository");
        text(machine, "/updated_at");
        assert!(machine["image_ref"]["tag"].is_string());
        for check in list(machine, "/checks") {
            text(check, "/name");
        }
        let query = "query($image: String!, $flyVersion: String) { latestImageDetails(image: \
                     $image, flyVersion: $flyVersion) { registry repository tag version digest } }";
        let reply = fly.graphql_reply(query, json!({"image": "echo:latest"})).await;
        let message = text(&reply, "/errors/0/message");
        assert!(message.contains("Unknown repository"), "else `status` ends here: {message}");
    }
    let data = fly.graphql(STATUS, json!({"appName": "shop"})).await;
    assert_eq!(number(&data, "/app/currentRelease/version"), 1);

    let data = fly.graphql(RELEASES, json!({"appName": "shop", "limit": 25})).await;
    let listed = &list(&data, "/app/releases/nodes")[0];
    for field in ["/id", "/description", "/reason", "/imageRef", "/user/id", "/user/name"] {
        text(listed, field);
    }
    assert_eq!(text(listed, "/status"), "complete");
    assert!(flag(listed, "/stable") && text(listed, "/user/email").contains('@'));
    time(listed, "/createdAt");

    let (status, reply) = fly.uiex(Method::GET, "/apps/shop/releases?limit=25", None).await;
    assert_eq!(status, StatusCode::OK);
    let listed = &list(&reply, "/releases")[0];
    assert_eq!(text(listed, "/id"), release.id);
    assert_eq!(text(listed, "/strategy"), "ROLLING");
    assert_eq!(text(listed, "/image_ref"), release.image);
    assert!(flag(listed, "/stable") && !flag(listed, "/in_progress"));
    text(listed, "/user");
    let created_at = time(listed, "/created_at");
    let (_, all) = fly.uiex(Method::GET, "/releases/all_current", None).await;
    assert_eq!(time(&all, "/shop"), created_at);

    // A restart without a new image, and `config save`, ask the newest release.
    let data = fly.graphql(LATEST_IMAGE, json!({"appName": "shop"})).await;
    assert_eq!(text(&data, "/app/currentReleaseUnprocessed/imageRef"), release.image);
    let data = fly.graphql(STORED_CONFIG, json!({"appName": "shop"})).await;
    let stored = &data["app"]["currentReleaseUnprocessed"]["configDefinition"];
    assert_eq!(stored["http_service"]["internal_port"], 8080);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_release_every_question_has_an_answer() {
    let (world, fly, _) = world("shop").await;
    let (status, _) = fly.uiex(Method::GET, "/apps/shop/releases/current", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "which the client takes for none yet");
    let (_, reply) = fly.uiex(Method::GET, "/apps/shop/releases", None).await;
    assert!(list(&reply, "/releases").is_empty());
    for query in [STATUS, LATEST_IMAGE, STORED_CONFIG] {
        let data = fly.graphql(query, json!({"appName": "shop"})).await;
        let release = data["app"].as_object().expect("an app").values().next();
        assert_eq!(release, Some(&Value::Null), "{query}");
    }
    let (_, all) = fly.uiex(Method::GET, "/releases/all_current", None).await;
    assert_eq!(all, json!({}));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_release_is_told_and_the_next_one_gets_the_next_number() {
    let (world, fly, image) = world("shop").await;
    let failed = fly.begin_release("shop", &image, "rolling").await;
    fly.note(&failed, "failed").await;
    let (_, current) = fly.uiex(Method::GET, "/apps/shop/releases/current", None).await;
    assert_eq!((text(&current, "/status"), flag(&current, "/stable")), ("failed".into(), false));
    let next = fly.begin_release("shop", &image, "ROLLING").await;
    assert_eq!(next.version, failed.version + 1);
    fly.note(&next, "interrupted").await;
    let path = format!("/releases/{}", next.id);
    let (status, reply) = fly.uiex(Method::PATCH, &path, Some(json!({"status": "lost"}))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text(&reply, "/error").contains("lost"));
    let body = Some(json!({"status": "failed", "metadata": null}));
    let (status, _) = fly.uiex(Method::PATCH, "/releases/nothing", body).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_are_there_after_a_restart_and_go_with_their_app() {
    let (mut world, fly, image) = world("shop").await;
    let release = fly.deploy("shop", &image).await;
    world.restart_platform().await;
    let fly = Fly::at(&world.api);
    let (_, current) = fly.uiex(Method::GET, "/apps/shop/releases/current", None).await;
    assert_eq!(text(&current, "/id"), release.id);
    assert_eq!(text(&current, "/status"), "complete");
    until("the machines are found again", || async {
        fly.managed_machines("shop").await.len() == 2
    })
    .await;
    // Another app of the same name starts at 1.
    fly.flaps(Method::DELETE, "/apps/shop?force=true", None, None).await;
    world.api.create_app("shop").await;
    let next = fly.begin_release("shop", &image, "ROLLING").await;
    assert_eq!(next.version, 1);
    world.end().await;
}
