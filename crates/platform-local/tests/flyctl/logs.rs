//! `logs`: the route that the client polls.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::client::{Fly, list, text, time, world};
use crate::support::until;

async fn page(fly: &Fly, query: &str) -> (Vec<Value>, String) {
    let (status, reply) =
        fly.uiex(Method::GET, &format!("/apps/shop/logs?next_token={query}"), None).await;
    assert_eq!(status, StatusCode::OK, "{reply}");
    (list(&reply, "/data").clone(), text(&reply, "/meta/next_token"))
}

fn messages(lines: &[Value]) -> Vec<String> {
    lines.iter().map(|line| text(line, "/attributes/message")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_machines_write_is_followed_line_by_line() {
    let (world, fly, image) = world("shop").await;
    fly.deploy("shop", &image).await;
    until("both machines have said that they start", || async {
        let (lines, _) = page(&fly, "").await;
        messages(&lines).iter().filter(|line| *line == "starting version v1").count() == 2
    })
    .await;
    let (lines, token) = page(&fly, "").await;
    assert!(lines.len() <= 100 && !token.is_empty());
    for line in &lines {
        text(line, "/id");
        time(line, "/attributes/timestamp");
        for field in [
            "/message",
            "/level",
            "/instance",
            "/region",
            "/meta/instance",
            "/meta/region",
            "/meta/event/provider",
            "/meta/machine_name",
        ] {
            text(line, &format!("/attributes{field}"));
        }
    }
    let mut times: Vec<_> = lines.iter().map(|line| time(line, "/attributes/timestamp")).collect();
    times.sort();
    times.dedup();
    assert_eq!(times.len(), lines.len(), "lines come in the order of their times, each at its own");

    // Going on from the token gives what is new and nothing twice.
    let second = fly.begin_release("shop", &image, "ROLLING").await;
    let id = text(&fly.managed_machines("shop").await[0], "/id");
    let leased = fly.lease("shop", &id, 13).await;
    let path = format!("/apps/shop/machines/{id}");
    fly.flaps(Method::POST, &path, Some(Fly::launch_input(&second)), Some(&leased.nonce)).await;
    let mut token = token;
    let mut seen: Vec<String> = Vec::new();
    while !seen.contains(&"starting version v2".to_owned()) {
        let (lines, next) = page(&fly, &token).await;
        seen.extend(messages(&lines));
        token = next;
        crate::support::pause(std::time::Duration::from_millis(64)).await;
    }
    assert!(!seen.contains(&"starting version v1".to_owned()), "{seen:?}");

    let (of_one, _) = page(&fly, &format!("&instance={id}")).await;
    assert!(!of_one.is_empty());
    assert!(of_one.iter().all(|line| text(line, "/attributes/instance") == id));
    let (elsewhere, _) = page(&fly, "&region=ord").await;
    assert!(elsewhere.is_empty());
    let (status, _) = fly.uiex(Method::GET, "/apps/nothing/logs?next_token=", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "which ends the client's polling");
    let (status, _) = fly.uiex(Method::GET, "/apps/shop/logs?next_token=soon", None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_stands_among_the_lines_of_its_machine() {
    let (world, fly, image) = world("shop").await;
    let release = fly.begin_release("shop", &image, "ROLLING").await;
    let mut input = Fly::launch_input(&release);
    input["config"]["env"]["EXIT_CODE"] = "3".into();
    let made = fly.flaps(Method::POST, "/apps/shop/machines", Some(input), None).await;
    let id = text(&made, "/id");
    until("the crash is told", || async {
        let (lines, _) = page(&fly, &format!("&instance={id}")).await;
        lines.iter().any(|line| {
            text(line, "/attributes/message").contains("exited with code 3")
                && text(line, "/attributes/level") == "error"
                && text(line, "/attributes/meta/event/provider") == "runner"
        })
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_of_the_platform_the_last_lines_are_still_there() {
    let (mut world, fly, image) = world("shop").await;
    fly.deploy("shop", &image).await;
    world.restart_platform().await;
    let fly = Fly::at(&world.api);
    until("the last lines are read again", || async {
        let (lines, _) = page(&fly, "").await;
        messages(&lines).contains(&"starting version v1".to_owned())
    })
    .await;
    world.end().await;
}
