//! What a client gets that reaches an app by TLS: certificates of the platform's own authority,
//! HTTP/1.1 and HTTP/2, and the same limits as on the plain port.

mod support;

use reqwest::{ClientBuilder, Method, StatusCode, Version};
use serde_json::{Value, json};
use support::{
    World,
    process::PlatformProcess,
    state::StateDirectory,
    tls::{client, client_of, tls_address, url, world},
    until,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The handshakes that failed, of all apps and of none.
async fn handshake_errors(world: &World) -> u32 {
    let metrics = world.api.metrics().await;
    let lines = metrics.lines().filter(|line| line.starts_with("fly_edge_tls_handshake_errors{"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).sum()
}

/// All that comes until the other side closes the connection, in whatever manner.
async fn rest_of(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(support::PATIENCE, stream.read_to_end(&mut rest)).await;
    drop(read.expect("the connection is closed"));
    rest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_trusts_the_platforms_authority_is_served_in_the_protocol_that_it_asks_for() {
    let world = world().await;
    world.app("shop", 1).await;
    let tls = tls_address(&world);
    let one = client_of(&world).http1_only().build().expect("a client");
    let two = client_of(&world).build().expect("a client");
    for (client, version) in [(one, Version::HTTP_11), (two, Version::HTTP_2)] {
        let request = client.get(url(tls, "/headers")).header("x-forwarded-proto", "http");
        let answer = request.send().await.expect("an answer");
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, version));
        let seen = answer.text().await.expect("a body");
        for line in [
            "x-forwarded-proto: https".to_owned(),
            "x-forwarded-ssl: on".to_owned(),
            format!("x-forwarded-port: {}", tls.port()),
            format!("fly-forwarded-port: {}", tls.port()),
            format!("host: shop.localhost:{}", tls.port()),
        ] {
            assert!(seen.lines().any(|found| found == line), "{line}\nin\n{seen}");
        }
        let request = client.post(url(tls, "/echo")).body(vec![b'x'; 300_000]);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.bytes().await.expect("a body").len(), 300_000);
    }
    // Whoever connects to an address names the app in the request.
    let client = client_of(&world).http1_only().build().expect("a client");
    let request = client.get(format!("https://{tls}/")).header("host", "shop.localhost");
    assert_eq!(request.send().await.expect("an answer").status(), StatusCode::OK);
    let metrics = world.api.metrics().await;
    let shop = "fly_edge_tls_handshake_time_seconds_count{app=\"shop\"";
    assert!(metrics.lines().any(|line| line.starts_with(shop)), "{metrics}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_trust_the_authority_or_asks_for_another_name_gets_no_connection() {
    let world = world().await;
    world.app("shop", 1).await;
    let tls = tls_address(&world);
    let stranger = ClientBuilder::new().no_proxy().resolve("shop.localhost", tls);
    let stranger = stranger.build().expect("a client");
    let refused = stranger.get(url(tls, "/")).send().await.expect_err("not trusted");
    assert!(refused.is_connect(), "{refused:?}");
    let client = client_of(&world).build().expect("a client");
    let other = format!("https://shop.example:{}/", tls.port());
    let refused = client.get(other).send().await.expect_err("no certificate");
    assert!(refused.is_connect(), "{refused:?}");
    until("both are counted", || async { handshake_errors(&world).await == 2 }).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_protocol_passes_through_tls_both_ways() {
    let world = world().await;
    world.app("shop", 1).await;
    let client = client_of(&world).http1_only().build().expect("a client");
    let request = client.get(url(tls_address(&world), "/upgrade"));
    let request = request.header("connection", "Upgrade").header("upgrade", "echo");
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut tunnel = answer.upgrade().await.expect("a tunnel");
    for text in [b"one", b"two"] {
        tunnel.write_all(text).await.expect("sent");
        tunnel.flush().await.expect("sent");
        let mut echo = [0; 3];
        let read = tokio::time::timeout(support::PATIENCE, tunnel.read_exact(&mut echo)).await;
        read.expect("it comes").expect("read");
        assert_eq!(&echo, text);
    }
    drop(tunnel);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_is_the_same_after_the_platform_was_killed() {
    let state = StateDirectory::new();
    let ca_file = state.path().join("tls/ca.pem");
    let platform = PlatformProcess::start_with(state.path(), &["--tls"]);
    let first = platform.tls.expect("a TLS port");
    let client = client(first, &ca_file).build().expect("a client");
    platform.kill();
    let platform = PlatformProcess::start_with(state.path(), &["--tls"]);
    assert_eq!(platform.tls, Some(first), "the port is that of before");
    let answer = client.get(url(first, "/")).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let text = answer.text().await.expect("a body");
    assert!(text.contains("there is no app `shop`"), "{text}");
    platform.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_say_nothing_or_rubbish_are_cut_and_counted_while_others_are_served() {
    let world = World::with(|settings| {
        settings.tls_listen = Some(settings.proxy_listen);
        settings.head_read_ms = 300;
    })
    .await;
    world.app("shop", 1).await;
    let tls = tls_address(&world);
    // A record of a handshake that never comes whole; no record at all.
    let beginnings: [&[u8]; 3] = [b"", b"\x16\x03\x01\x40\x00\x01", &[0xff; 2000]];
    let mut bad = Vec::new();
    for index in 0..60 {
        let mut stream = TcpStream::connect(tls).await.expect("connected");
        let beginning = beginnings.iter().cycle().nth(index).expect("one of them");
        stream.write_all(beginning).await.expect("sent");
        bad.push(stream);
    }
    let client = client_of(&world).build().expect("a client");
    let answer = client.get(url(tls, "/")).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    for mut stream in bad {
        rest_of(&mut stream).await;
    }
    until("all are counted", || async { handshake_errors(&world).await == 60 }).await;

    let mut plain = TcpStream::connect(tls).await.expect("connected");
    plain.write_all(b"GET / HTTP/1.1\r\nhost: shop.localhost\r\n\r\n").await.expect("sent");
    let answer = rest_of(&mut plain).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_handshakes_cost_the_platform_little_memory() {
    let state = StateDirectory::new();
    let platform = PlatformProcess::start_with(state.path(), &["--tls"]);
    let tls = platform.tls.expect("a TLS port");
    let before_kb = platform.memory_peak_kb();
    // A greeting of 16 MB in pieces of 16 KB.
    let mut piece = vec![0x16, 3, 1, 0x40, 0];
    piece.extend([1, 0xff, 0xff, 0xff]);
    piece.resize(5 + 0x4000, 0);
    let greet = || async {
        let mut stream = TcpStream::connect(tls).await.expect("connected");
        for _ in 0..64 {
            if stream.write_all(&piece).await.is_err() {
                break;
            }
        }
        rest_of(&mut stream).await;
    };
    futures::future::join_all((0..100).map(|_| greet())).await;
    let grown_kb = platform.memory_peak_kb() - before_kb;
    assert!(grown_kb < 40_000, "100 MB were sent, and {grown_kb} KB were kept");
    platform.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_as_many_connections_on_both_ports_together() {
    let world = World::with(|settings| {
        settings.tls_listen = Some(settings.proxy_listen);
        settings.connections_per_address = 10;
    })
    .await;
    world.app("shop", 1).await;
    let tls = tls_address(&world);
    let mut held = Vec::new();
    for address in [tls, world.api.proxy].into_iter().cycle().take(10) {
        held.push(TcpStream::connect(address).await.expect("connected"));
    }
    until("they are accepted", || async {
        let mut one_more = TcpStream::connect(tls).await.expect("connected");
        let mut byte = [0];
        let wait = std::time::Duration::from_millis(200);
        tokio::time::timeout(wait, one_more.read(&mut byte)).await.is_ok()
    })
    .await;
    drop(held);
    let client = client_of(&world).build().expect("a client");
    until("there is room again", || async {
        let answer = client.request(Method::GET, url(tls, "/")).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    })
    .await;
    world.end().await;
}

/// A world where `shop` wants to be reached by https only.
async fn world_of_a_secure_shop(world: World) -> (World, String) {
    world.api.create_app("shop").await;
    let mut config = world.config(&[]);
    let service = config.services.first_mut().expect("a service");
    service.ports = serde_json::from_value(json!([
        {"port": 80, "handlers": ["http"], "force_https": true},
        {"port": 443, "handlers": ["tls", "http"]}
    ]))
    .expect("ports");
    let made = world.api.create("shop", config).await;
    world.api.ready("shop", &made.id).await;
    (world, made.id)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_forces_https_sends_everybody_there_whatever_they_ask_for() {
    let (world, id) = world_of_a_secure_shop(world().await).await;
    let tls = tls_address(&world);
    let plain = ClientBuilder::new().no_proxy().redirect(reqwest::redirect::Policy::none());
    let plain = plain.build().expect("a client");
    let stop = format!("/v1/apps/shop/machines/{id}/stop");
    let private = world.platform.as_ref().expect("a platform").private_address();
    for is_running in [true, false] {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE] {
            let request = plain.request(method, format!("http://{}/echo?x=%20y", world.api.proxy));
            let request = request.header("host", "Shop.localhost:80").header("upgrade", "echo");
            let request = request.header("connection", "upgrade").body("something");
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::MOVED_PERMANENTLY);
            let location = format!("https://Shop.localhost:{}/echo?x=%20y", tls.port());
            assert_eq!(answer.headers()["location"], location);
        }
        if is_running {
            // The platform's own computer needs no TLS, and neither do machines.
            let request =
                plain.get(format!("http://{private}/env")).header("host", "shop.localhost");
            let seen = request.send().await.expect("an answer").text().await.expect("a body");
            let told = format!("FLY_LOCAL_PROXY=http://{private}");
            assert!(seen.lines().any(|line| line == told), "{told} in {seen}");
            world.api.done(Method::POST, &stop, Value::Null).await;
            world.api.wait("shop", &id, "stopped").await;
        }
    }
    let machine = world.api.machine("shop", &id).await;
    assert_eq!(machine.state, machines_api::types::MachineState::Stopped, "no redirect wakes it");
    let client = client_of(&world).build().expect("a client");
    let answer = client.post(url(tls, "/echo")).body("something").send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("a body"), "something");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_tls_port_an_app_that_forces_https_is_served_and_its_log_says_why() {
    let (world, id) = world_of_a_secure_shop(World::new().await).await;
    world.api.create("shop", world.api.machine("shop", &id).await.config.expect("one")).await;
    assert_eq!(world.api.get("shop", "/").await.0, StatusCode::OK);
    let told = world.api.log_lines("shop").await;
    let told: Vec<_> =
        told.iter().filter(|line| line.message.starts_with("`force_https`")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].message.contains("no TLS port"), "{told:?}");
    world.end().await;
}
