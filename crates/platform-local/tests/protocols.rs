//! What a client of the proxy gets beside plain requests: HTTP/2, changed protocols, events as
//! they come, and fair treatment when others are slow or a machine breaks off.

mod support;

use std::{convert::Infallible, time::Duration};

use reqwest::{Method, StatusCode, Version};
use serde_json::json;
use support::{World, process::PlatformProcess, state::StateDirectory};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Asks a machine to change the protocol of the connection to one that sends everything back.
const UPGRADE: &str = "GET /upgrade HTTP/1.1\r\nhost: shop.localhost\r\nconnection: Upgrade\r\n\
                       upgrade: echo\r\n\r\n";

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.api.proxy).await.expect("connected")
}

/// Reads until this text has come.
async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 1024];
    while !String::from_utf8_lossy(&seen).contains(wanted) {
        let read = tokio::time::timeout(support::PATIENCE, stream.read(&mut buffer)).await;
        let count = read.expect("it comes").expect("read");
        assert!(count > 0, "the connection ended after {}", String::from_utf8_lossy(&seen));
        seen.extend(buffer.iter().take(count));
    }
    String::from_utf8_lossy(&seen).into_owned()
}

/// The number of a metric whose labels hold this value.
fn sample(metrics: &str, name: &str, value: &str) -> Option<u32> {
    let value = format!("=\"{value}\"");
    let mut lines = metrics.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    lines.find(|line| line.contains(&value))?.rsplit(' ').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_spoken_with_clients_and_with_machines_that_ask_for_it() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    let mut config = world.config(&[]);
    config.services[0].ports = serde_json::from_value(json!([
        {"port": 80, "handlers": ["http"], "http_options": {"h2_backend": true}}
    ]))
    .expect("ports");
    let made = world.api.create("shop", config).await;
    world.api.ready("shop", &made.id).await;
    world.app("plain", 1).await;
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge();
    let client = client
        .resolve("shop.localhost", world.api.proxy)
        .resolve("plain.localhost", world.api.proxy)
        .build()
        .expect("a client");
    for (app, via) in [("shop", "2 platform-local"), ("plain", "1.1 platform-local")] {
        let address = format!("http://{app}.localhost:{}/echo", world.api.proxy.port());
        let request = client.post(address).body(vec![b'x'; 100_000]);
        let answer = request.send().await.expect("an answer");
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
        assert_eq!(answer.headers()["via"], via);
        assert_eq!(answer.bytes().await.expect("a body").len(), 100_000);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_protocol_passes_both_ways_until_the_machine_stops() {
    let world = World::new().await;
    let ids = world.app("shop", 1).await;
    let mut stream = connect(&world).await;
    stream.write_all(UPGRADE.as_bytes()).await.expect("sent");
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: echo"), "{head}");
    for text in ["one", "two"] {
        stream.write_all(text.as_bytes()).await.expect("sent");
        assert_eq!(read_until(&mut stream, text).await, text);
    }
    let metrics = world.api.metrics().await;
    let concurrency = sample(&metrics, "fly_app_concurrency", &ids[0]);
    assert_eq!(concurrency, Some(1), "{metrics}");
    let stop = format!("/v1/apps/shop/machines/{}/stop", ids[0]);
    world.api.done(Method::POST, &stop, json!({"timeout": "200ms"})).await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(support::PATIENCE, stream.read_to_end(&mut rest)).await;
    ended.expect("the tunnel is cut").expect("read");
    world.api.wait("shop", &ids[0], "stopped").await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_as_they_are_sent() {
    let world = World::new().await;
    world.app("shop", 1).await;
    let mut stream = connect(&world).await;
    let ask = "GET /events HTTP/1.1\r\nhost: shop.localhost\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.expect("sent");
    read_until(&mut stream, "data: first").await;
    drop(stream);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_a_machine_may_have_read_is_not_sent_to_another() {
    let world = World::new().await;
    world.app("shop", 2).await;
    let request = world.api.request(Method::POST, "shop", "/break");
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let text = answer.text().await.expect("a body");
    assert!(text.contains("[PU02] could not complete HTTP request to instance"), "{text}");
    let metrics = world.api.metrics().await;
    let broken = sample(&metrics, "platform_local_proxy_retries_total", "broken");
    assert_eq!(broken, Some(1), "{metrics}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_a_post_safe_to_send_again() {
    let world = World::new().await;
    world.app("shop", 1).await;
    let request = world.api.request(Method::POST, "shop", "/break").header("idempotency-key", "1");
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let metrics = world.api.metrics().await;
    let broken = sample(&metrics, "platform_local_proxy_retries_total", "broken");
    assert!(broken.is_some_and(|count| count > 1), "{metrics}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_cut_while_others_are_served() {
    let world = World::with(|settings| {
        settings.head_read_ms = 300;
        settings.body_silence_ms = 300;
    })
    .await;
    world.app("shop", 1).await;
    let mut slow = Vec::new();
    for index in 0..100 {
        let mut stream = connect(&world).await;
        let beginning = if index % 2 == 0 {
            "GET / HTTP/1.1\r\nhost: shop.localhost\r\nx-one"
        } else {
            "POST /echo HTTP/1.1\r\nhost: shop.localhost\r\ncontent-length: 10\r\n\r\nhello"
        };
        stream.write_all(beginning.as_bytes()).await.expect("sent");
        slow.push(stream);
    }
    for _ in 0..10 {
        assert_eq!(world.api.get("shop", "/").await.0, StatusCode::OK);
    }
    for mut stream in slow {
        let answer = read_until(&mut stream, "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_take_all_connections() {
    let world = World::with(|settings| settings.connections_per_address = 10).await;
    world.app("shop", 1).await;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(connect(&world).await);
    }
    let mut stream = connect(&world).await;
    let answer = read_until(&mut stream, "IP address\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    drop(held);
    support::until("there is room again", || async {
        let request = world.api.request(Method::GET, "shop", "/").timeout(Duration::from_secs(5));
        request.send().await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_keeps_its_place_among_the_connections_of_an_address() {
    let world = World::with(|settings| settings.connections_per_address = 2).await;
    world.app("shop", 1).await;
    let mut tunnels = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(&world).await;
        stream.write_all(UPGRADE.as_bytes()).await.expect("sent");
        let answer = read_until(&mut stream, "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        tunnels.push(stream);
    }
    let mut stream = connect(&world).await;
    let answer = read_until(&mut stream, "IP address\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    drop(tunnels);
    support::until("there is room again", || async {
        let request = world.api.request(Method::GET, "shop", "/").timeout(Duration::from_secs(5));
        request.send().await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_in_requests_and_in_answers() {
    let world = World::new().await;
    world.app("shop", 1).await;
    let mut stream = connect(&world).await;
    let ask = "POST /trailers HTTP/1.1\r\nhost: shop.localhost\r\nte: trailers\r\n\
               trailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
               5\r\nhello\r\n0\r\nx-sum: 4711\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.expect("sent");
    let answer = read_until(&mut stream, "\r\n0\r\n").await;
    let rest = if answer.ends_with("\r\n\r\n") {
        String::new()
    } else {
        read_until(&mut stream, "\r\n\r\n").await
    };
    let answer = answer + &rest;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("4\r\nbody\r\n0\r\nx-sum: 4711\r\n\r\n"), "{answer}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_much_larger_than_what_is_kept_of_it_streams_through() {
    const PIECES: usize = 256;
    let state = StateDirectory::new();
    let platform = PlatformProcess::start(state.path());
    let api = platform.api.clone();
    let image = api.push_image(&[]).await;
    api.create_app("shop").await;
    let made = api.create("shop", support::config(&image, &[])).await;
    api.ready("shop", &made.id).await;
    let before_kb = platform.memory_peak_kb();
    let piece = bytes::Bytes::from(vec![b'x'; 1 << 20]);
    let pieces =
        futures::stream::iter((0..PIECES).map(move |_| Ok::<_, Infallible>(piece.clone())));
    let request =
        api.request(Method::POST, "shop", "/sink").body(reqwest::Body::wrap_stream(pieces));
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.text().await.expect("a body"), (PIECES << 20).to_string());
    let grown_kb = platform.memory_peak_kb() - before_kb;
    // 10 MB are kept for another try.
    assert!(grown_kb < 64 << 10, "{grown_kb} KB for a body of {PIECES} MB");
    platform.kill();
}
