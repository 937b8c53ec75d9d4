//! How many machines of an app are left running, and what is said about those that are stopped.

mod support;

use machines_api::types::{Autostop, CreateMachine, MachineState};
use reqwest::{Method, StatusCode};
use support::{World, load::Load, until};

#[tokio::test(flavor = "multi_thread")]
async fn of_machines_that_little_is_asked_of_one_is_left_in_each_region_and_no_request_is_lost() {
    let world = World::that_soon_stops_the_idle().await;
    world.api.create_app("shop").await;
    let mut config = world.config(&[]);
    config.services[0].autostop = Some(Autostop::Stop);
    // A stream without an end is cut after that.
    let timeout = Some(machines_api::types::WireDuration::from_secs(2));
    config.stop_config.get_or_insert_default().timeout = timeout;
    let mut ids = Vec::new();
    for region in ["ord", "ord", "ams"] {
        let (config, region) = (config.clone(), Some(region.to_owned()));
        let body = CreateMachine { config, region, ..CreateMachine::default() };
        let body = serde_json::to_value(body).expect("a body");
        let made = world.api.done(Method::POST, "/v1/apps/shop/machines", body).await;
        ids.push(made["id"].as_str().expect("an id").to_owned());
    }
    for id in &ids {
        world.api.ready("shop", id).await;
    }
    // Each is in use all the time: what is idle would be stopped for that.
    let mut streams = Vec::new();
    for id in &ids {
        let request = world.api.request(Method::GET, "shop", "/events");
        let begun = request.header("fly-force-instance-id", id).send().await.expect("begun");
        assert_eq!(begun.status(), StatusCode::OK);
        streams.push(begun);
    }
    let load = Load::begin(&world.api, "shop");
    let stopped = || async {
        let mut stopped = Vec::new();
        for id in &ids {
            if world.api.machine("shop", id).await.state == MachineState::Stopped {
                stopped.push(id.clone());
            }
        }
        stopped
    };
    until("one is stopped", || async { !stopped().await.is_empty() }).await;
    // More than another second: now there are as many as there shall be.
    load.more(75).await;
    let stopped = stopped().await;
    assert_eq!(stopped.len(), 1, "{stopped:?}");
    assert!(ids[..2].contains(&stopped[0]), "the one in its region is left");
    let report = load.end().await;
    assert_eq!(report.failures, Vec::<String>::new());
    let lines = world.api.log_lines("shop").await;
    let line = lines.iter().find(|line| line.message.contains("has excess capacity"));
    let line = line.expect("the log tells of it");
    assert_eq!((line.provider.as_str(), &line.machine), ("proxy", &stopped[0]));
    assert!(line.message.ends_with("1 out of 2 machines left running (region=ord)"), "{line:?}");
    drop(streams);
    world.end().await;
}
