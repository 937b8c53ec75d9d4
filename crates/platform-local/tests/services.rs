//! Which of a machine's services a client of the proxy reaches, and what an app is told about the
//! others.

mod support;

use machines_api::types::MachineConfig;
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{
    World,
    tls::{client_of, tls_address, url, world},
};

/// A config with these services.
fn config(world: &World, services: Value) -> MachineConfig {
    let services = serde_json::from_value(services).expect("services");
    MachineConfig { services, ..world.config(&[]) }
}

/// An app `shop` with one machine that has these services, ready.
async fn shop(world: &World, services: Value) -> String {
    world.api.create_app("shop").await;
    let made = world.api.create("shop", config(world, services)).await;
    world.api.ready("shop", &made.id).await;
    made.id
}

/// What a client gets that comes by TLS.
async fn get_by_tls(world: &World, path: &str) -> (StatusCode, String) {
    let client = client_of(world).build().expect("a client");
    let answer = client.get(url(tls_address(world), path)).send().await.expect("an answer");
    (answer.status(), answer.text().await.expect("a body"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_port_leads_to_the_service_that_names_it() {
    let mut world = world().await;
    let id = shop(&world, json!([
        {"protocol": "tcp", "internal_port": 8080, "ports": [{"port": 80, "handlers": ["http"]}]},
        {"protocol": "tcp", "internal_port": 9090,
         "ports": [{"port": 443, "handlers": ["tls", "http"]}],
         "checks": [{"type": "http", "path": "/health", "interval": "1s", "timeout": "5s",
                     "grace_period": "30s"}]}
    ]))
    .await;
    for _ in 0..2 {
        let (status, text) = world.api.get("shop", "/service").await;
        assert_eq!((status, &*text), (StatusCode::OK, "PORT"));
        let (status, text) = get_by_tls(&world, "/service").await;
        assert_eq!((status, &*text), (StatusCode::OK, "PORT_9090"));
        // The next platform finds the program on the same ports.
        world.restart_platform_with(|one| one.tls_listen = Some(one.proxy_listen)).await;
        world.api.ready("shop", &id).await;
    }
    let (_, seen) = world.api.get("shop", "/env").await;
    let value = |name: &str| seen.lines().find_map(|line| line.strip_prefix(name));
    assert_eq!(value("PORT="), value("PORT_8080="));
    assert!(value("PORT_9090=").is_some_and(|port| Some(port) != value("PORT=")), "{seen}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_no_service_names_is_told_at_once() {
    let world = world().await;
    let service = json!({"protocol": "tcp", "internal_port": 8080,
                         "ports": [{"port": 80, "handlers": ["http"]}]});
    shop(&world, json!([service])).await;
    let (status, text) = get_by_tls(&world, "/").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("[PR01]") && text.contains("no service on port 443"), "{text}");
    assert!(text.contains("hint: give a service a port 443"), "{text}");
    assert_eq!(world.api.get("shop", "/").await.0, StatusCode::OK);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_an_app_tells_what_of_its_services_is_not_served() {
    let world = World::new().await;
    shop(
        &world,
        json!([
            {"protocol": "tcp", "internal_port": 8080, "ports": [
                {"port": 80, "handlers": ["http"], "http_options": {"compress": true}},
                {"port": 8443, "handlers": ["tls", "http"]}]},
            {"protocol": "udp", "internal_port": 53, "ports": [{"port": 53}]}
        ]),
    )
    .await;
    let told = world.api.log_lines("shop").await;
    for part in ["`http_options.compress`", "does not serve port 8443", "passes no UDP on"] {
        assert!(told.iter().any(|line| line.message.contains(part)), "{part} in {told:?}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_carry_the_headers_that_their_port_wants_and_not_those_that_it_forbids() {
    let world = world().await;
    let with = |headers: Value| json!({"response": {"headers": headers}});
    shop(
        &world,
        json!([{"protocol": "tcp", "internal_port": 8080, "ports": [
            {"port": 80, "handlers": ["http"]},
            {"port": 443, "handlers": ["tls", "http"],
             "http_options": with(json!({"x-frame-options": "DENY", "content-type": false}))}
        ]}]),
    )
    .await;
    let client = client_of(&world).build().expect("a client");
    let answer = client.get(url(tls_address(&world), "/")).send().await.expect("an answer");
    assert_eq!(answer.headers()["x-frame-options"], "DENY");
    assert!(!answer.headers().contains_key("content-type"));
    let request = world.api.request(reqwest::Method::GET, "shop", "/");
    let answer = request.send().await.expect("an answer");
    assert!(!answer.headers().contains_key("x-frame-options"));
    assert!(answer.headers().contains_key("content-type"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_counts_connections_gets_one_for_each_request() {
    let world = World::new().await;
    for (app, kind) in [("kept", "requests"), ("each", "connections")] {
        let service = json!({"protocol": "tcp", "internal_port": 8080,
                             "ports": [{"port": 80, "handlers": ["http"]}],
                             "concurrency": {"type": kind, "soft_limit": 20}});
        world.api.create_app(app).await;
        let made = world.api.create(app, config(&world, json!([service]))).await;
        world.api.ready(app, &made.id).await;
        let url = format!("http://{}/", world.api.proxy);
        // One worker of the proxy answers whatever comes by one connection.
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        for _ in 0..5 {
            let request = client.get(&url).header("host", format!("{app}.localhost"));
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK);
            answer.bytes().await.expect("a body");
        }
    }
    let metrics = world.api.metrics().await;
    let connects = |app: &str| {
        let start = format!("fly_app_connect_time_seconds_count{{app=\"{app}\"");
        let line = metrics.lines().find(|line| line.starts_with(&start)).expect("a line");
        line.rsplit(' ').next().and_then(|count| count.parse::<u32>().ok()).expect("a number")
    };
    assert_eq!(connects("each"), 5, "{metrics}");
    assert!(connects("kept") < 5, "{metrics}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_at_its_soft_limit_comes_after_those_that_are_below_theirs() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    let mut ids = Vec::new();
    for soft_limit in [1, 20] {
        let service = json!({"protocol": "tcp", "internal_port": 8080,
                             "ports": [{"port": 80, "handlers": ["http"]}],
                             "concurrency": {"type": "requests", "soft_limit": soft_limit}});
        let made = world.api.create("shop", config(&world, json!([service]))).await;
        world.api.ready("shop", &made.id).await;
        ids.push(made.id);
    }
    // Each answer has begun, and none ends.
    let mut answers = Vec::new();
    for _ in 0..8 {
        let request = world.api.request(reqwest::Method::GET, "shop", "/events");
        answers.push(request.send().await.expect("an answer"));
    }
    let on =
        |id: &str| answers.iter().filter(|answer| answer.headers()["x-served-by"] == id).count();
    let counts: Vec<_> = ids.iter().map(|id| on(id)).collect();
    assert_eq!(counts, [1, 7]);
    drop(answers);
    world.end().await;
}
