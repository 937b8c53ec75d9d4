//! What a machine gets when it has a request answered by another one: `fly-replay` in both forms,
//! its ways to fail, and decisions that are kept.

#![expect(clippy::indexing_slicing, reason = "tests fail by panicking")]

mod support;

use machines_api::types::CreateMachine;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use support::{World, until};

const REPLAY_JSON: &str = "application/vnd.fly.replay+json";

/// Asks for what the machine `from` has replayed by these headers of its answer; others say what
/// came to them.
fn asking(from: &str, headers: &[(&str, &str)]) -> String {
    let pairs = headers.iter().map(|(name, value)| (*name, *value));
    let query: Vec<String> =
        std::iter::once(("as", from)).chain(pairs).map(|(name, value)| pair(name, value)).collect();
    format!("/answer?{}", query.join("&"))
}

fn pair(name: &str, value: &str) -> String {
    let escaped = |c: char| {
        if c.is_ascii_alphanumeric() { c.to_string() } else { format!("%{:02X}", u32::from(c)) }
    };
    format!("{name}={}", value.chars().map(escaped).collect::<String>())
}

/// Sends it to this machine first.
async fn ask(world: &World, from: &str, headers: &[(&str, &str)]) -> Response {
    let request = world.api.request(Method::GET, "shop", &asking(from, headers));
    request.header("fly-prefer-instance-id", from).send().await.expect("an answer")
}

async fn ask_json(world: &World, from: &str, order: &Value) -> Response {
    let order = order.to_string();
    ask(world, from, &[("content-type", REPLAY_JSON), ("body", &order)]).await
}

fn served_by(answer: &Response) -> String {
    answer.headers().get("x-served-by").and_then(|it| it.to_str().ok()).unwrap_or("-").to_owned()
}

/// The value of a header that came to the machine that answered.
fn seen<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// A machine of the app in this region.
async fn in_region(world: &World, region: &str) -> String {
    let config = world.config(&[]);
    let body =
        CreateMachine { config, region: Some(region.to_owned()), ..CreateMachine::default() };
    let body = serde_json::to_value(body).expect("a body");
    let made = world.api.done(Method::POST, "/v1/apps/shop/machines", body).await;
    let id = made["id"].as_str().expect("an id").to_owned();
    world.api.ready("shop", &id).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_is_chosen_by_replays_and_by_clients() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    let (ord, ams) = (in_region(&world, "ord").await, in_region(&world, "ams").await);
    for (order, target) in [
        ("region=ams", &ams),
        ("region=\"fra,eu,us\"", &ams),
        ("region=\"fra,any\";elsewhere=true", &ams),
        ("region=us", &ord),
    ] {
        let answer = ask(&world, &ord, &[("fly-replay", order)]).await;
        if target == &ams {
            assert_eq!(&served_by(&answer), target, "{order}");
            let text = answer.text().await.expect("a body");
            let source = seen(&text, "fly-replay-src").expect("a source");
            assert!(source.starts_with(&format!("instance={ord};region=ord;t=")), "{source}");
        } else {
            // It is sent to whoever asked, again and again.
            assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        }
    }
    for (header, value, target) in [
        ("fly-prefer-region", "ams", &ams),
        ("fly-prefer-region", "syd,us", &ord),
        ("fly-force-region", "eu", &ams),
        ("fly-force-region", "syd,ord", &ord),
    ] {
        let request = world.api.request(Method::GET, "shop", "/").header(header, value);
        assert_eq!(&served_by(&request.send().await.expect("an answer")), target, "{value}");
    }
    let nowhere = world.api.request(Method::GET, "shop", "/").header("fly-prefer-region", "syd");
    assert_eq!(nowhere.send().await.expect("an answer").status(), StatusCode::OK);
    let nowhere = world.api.request(Method::GET, "shop", "/").header("fly-force-region", "syd");
    let answer = nowhere.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let text = answer.text().await.expect("a body");
    assert!(text.contains("`shop` has no machine in the region `syd`"), "{text}");
    let answer = ask(&world, &ord, &[("fly-replay", "region=syd")]).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_cannot_be_preferred_is_named_to_the_one_that_answers() {
    let world = World::new().await;
    let ids = world.app("shop", 1).await;
    let request = world.api.request(Method::GET, "shop", "/headers");
    let answer = request.header("fly-prefer-instance-id", "gone").send().await.expect("an answer");
    let text = answer.text().await.expect("a body");
    assert_eq!(seen(&text, "fly-preferred-instance-unavailable"), Some("gone"), "{text}");
    let (_, text) = world.api.get("shop", "/headers").await;
    assert_eq!(seen(&text, "fly-preferred-instance-unavailable"), None);
    let other = world.api.create("shop", world.config(&[])).await.id;
    world.api.ready("shop", &other).await;
    let order = "prefer_instance=gone;elsewhere=true";
    let answer = ask(&world, &ids[0], &[("fly-replay", order)]).await;
    assert_eq!(served_by(&answer), other);
    let text = answer.text().await.expect("a body");
    assert_eq!(seen(&text, "fly-preferred-instance-unavailable"), Some("gone"), "{text}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_in_json_changes_path_and_headers_on_the_way_to_another_app() {
    let world = World::new().await;
    let from = world.app("shop", 1).await.remove(0);
    let to = world.app("worker", 1).await.remove(0);
    let order = json!({"app": "worker", "state": "marked", "transform": {
        "path": "/answer?as=nobody&x=1",
        "delete_headers": ["cookie", "x-gone"],
        "set_headers": [{"name": "authorization", "value": "Bearer t"}]}});
    let path = asking(&from, &[("content-type", REPLAY_JSON), ("body", &order.to_string())]);
    let request = world.api.request(Method::POST, "shop", &path).body(vec![b'x'; 100_000]);
    let request = request.header("cookie", "a=b").header("x-gone", "1").header("x-kept", "1");
    let answer = request.send().await.expect("an answer");
    assert_eq!(served_by(&answer), to);
    let text = answer.text().await.expect("a body");
    assert_eq!(seen(&text, "authorization"), Some("Bearer t"), "{text}");
    assert_eq!((seen(&text, "x-kept"), seen(&text, "x-gone")), (Some("1"), None));
    assert_eq!(seen(&text, "cookie"), None);
    assert_eq!(seen(&text, "fly-replay-cache-status"), Some("miss"));
    assert!(
        seen(&text, "fly-replay-src").is_some_and(|it| it.ends_with(";state=marked")),
        "{text}"
    );
    assert!(text.ends_with("100000 bytes"), "{text}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_cannot_be_meant_is_refused_with_the_reason() {
    let world = World::new().await;
    let from = world.app("shop", 1).await.remove(0);
    let other = json!({"app_name": "foreign", "org_slug": "elsewhere"});
    world.api.done(Method::POST, "/v1/apps", other).await;
    let large = json!({"app": "shop", "state": "x".repeat(50), "region": ",".repeat(10_000)});
    for (order, words) in [
        ("nonsense", "[PA03] could not parse"),
        ("instance=x;timeout=soon", "`soon` is no time"),
        ("app=absent", "[PA04] app `shop` used `fly-replay` to target app `absent`"),
        ("app=foreign", "[PA05]"),
        ("instance=absent", "[PR02]"),
    ] {
        let answer = ask(&world, &from, &[("fly-replay", order)]).await;
        assert!(answer.status().is_server_error(), "{order}");
        let text = answer.text().await.expect("a body");
        assert!(text.contains(words), "{order}: {text}");
    }
    // The app that asked reads of it, and nobody else does.
    until("the log has both lines", || async {
        let lines = world.api.log_lines("shop").await;
        ["[PA04]", "[PA05]"].iter().all(|code| lines.iter().any(|line| line.message.contains(code)))
    })
    .await;
    assert_eq!(world.api.log_lines("foreign").await.len(), 0);
    for (order, words) in [(json!([]), "[PA03]"), (json!({"app": 7}), "[PA03]")] {
        let answer = ask_json(&world, &from, &order).await;
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        let text = answer.text().await.expect("a body");
        assert!(text.contains(words), "{text}");
    }
    // It is followed to the machine itself, which asks again.
    let answer = ask_json(&world, &from, &large).await;
    assert!(answer.text().await.expect("a body").contains("[PA02]"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_fails_comes_back_to_whoever_wants_that() {
    let world = World::new().await;
    let from = world.app("shop", 1).await.remove(0);
    world.api.create_app("worker").await;
    let mut deaf = world.config(&[("START_DELAY_MS", "3600000")]);
    deaf.services[0].checks.clear();
    let deaf = world.api.create("worker", deaf).await.id;
    world.api.wait("worker", &deaf, "started").await;
    let absent = json!({"app": "worker", "instance": "absent", "fallback": "prefer_self",
                        "transform": {"path": "/elsewhere", "delete_headers": ["x-mine"]}});
    for (order, reason) in [
        (json!({"app": "worker", "timeout": "200ms", "fallback": "force_self"}), "timeout"),
        (json!({"app": "absent", "fallback": "force_self"}), "no_candidate"),
        (absent, "no_candidate"),
    ] {
        // The machine says what it sees as soon as the request has come back.
        let path = asking(&from, &[("content-type", REPLAY_JSON), ("body", &order.to_string())]);
        let request = world.api.request(Method::GET, "shop", &format!("{path}&until=failed"));
        let answer = request.header("x-mine", "1").send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{order}");
        assert_eq!(served_by(&answer), from);
        let text = answer.text().await.expect("a body");
        assert_eq!(seen(&text, "x-mine"), Some("1"), "it is the original request: {text}");
        let failed = seen(&text, "fly-replay-failed").expect("the reason");
        let app = order["app"].as_str().expect("an app");
        assert!(failed.contains(&format!("app={app}")), "{failed}");
        let source = format!("replay_source={from};reason={reason};elapsed_ms=");
        assert!(failed.contains(&source), "{failed}");
    }
    // Without a fallback it only fails sooner; a fallback that asks for another replay is the end.
    let answer = ask(&world, &from, &[("fly-replay", "app=worker;timeout=200ms")]).await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let order = "app=worker;timeout=200ms;fallback=force_self";
    let answer = ask(&world, &from, &[("fly-replay", order)]).await;
    let text = answer.text().await.expect("a body");
    assert!(text.contains("[PA02]") && text.contains("by the fallback"), "{text}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_for_a_path_is_kept_till_it_is_withdrawn_or_its_target_is_gone() {
    let world = World::new().await;
    let from = world.app("shop", 1).await.remove(0);
    let first = world.app("worker", 1).await.remove(0);
    let (cache, ttl) = ("fly-replay-cache", "fly-replay-cache-ttl-secs");
    let kept = [
        ("fly-replay", "app=worker"),
        (cache, "/answer/*"),
        (ttl, "60"),
        ("fly-replay-cache-allow-bypass", "yes"),
    ];
    let path = asking(&from, &kept);
    let status = |text: &str| seen(text, "fly-replay-cache-status").map(str::to_owned);
    for expected in ["miss", "hit", "hit"] {
        let (_, text) = world.api.get("shop", &path).await;
        assert!(text.starts_with(&first), "{text}");
        assert_eq!(status(&text).as_deref(), Some(expected));
        assert_eq!(seen(&text, "fly-replay-src").is_some(), expected == "miss");
    }
    let skipping = world.api.request(Method::GET, "shop", &path);
    let skipped = skipping.header("fly-replay-cache-control", "skip").send().await;
    let text = skipped.expect("an answer").text().await.expect("a body");
    assert_eq!(status(&text).as_deref(), Some("bypass"));
    let (_, text) = world.api.get("shop", "/headers").await;
    assert_eq!(status(&text), None, "another path");

    // The target withdraws it.
    let back = asking(&first, &[("fly-replay", "app=shop"), (cache, "invalidate")]);
    let (_, text) = world.api.get("shop", &back).await;
    assert!(text.starts_with(&from), "{text}");
    assert_eq!(status(&world.api.get("shop", &path).await.1).as_deref(), Some("miss"));
    assert_eq!(status(&world.api.get("shop", &path).await.1).as_deref(), Some("hit"));

    // The target is gone: the app is asked again, and sends it to the same app, which has nobody.
    world.api.post(&format!("/v1/apps/worker/machines/{first}/cordon")).await;
    let (code, text) = world.api.get("shop", &path).await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("no machine of `worker`"), "{text}");
    let (code, _) = world.api.get("shop", &asking("nobody", &[])).await;
    assert_eq!(code, StatusCode::OK, "the decision that led nowhere is forgotten");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_stay_with_their_machine_as_the_service_is_set() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    let mut config = world.config(&[]);
    let rule = json!({"path_prefix": "/", "ttl_seconds": 60, "type": "cookie", "name": "session"});
    let options = json!({"replay_cache": [rule]});
    config.services[0].ports[0].rest.insert("http_options".to_owned(), options);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let id = world.api.create("shop", config.clone()).await.id;
        world.api.ready("shop", &id).await;
        ids.push(id);
    }
    let get = |path: String, session: &'static str| {
        let request = world.api.request(Method::GET, "shop", &path).header("cookie", session);
        async { request.send().await.expect("an answer").text().await.expect("a body") }
    };
    // Whoever gets it first sends it to the other one.
    until("a session is kept", || async {
        let order = format!("instance={}", ids[1]);
        let text = get(asking(&ids[0], &[("fly-replay", &order)]), "session=one").await;
        seen(&text, "fly-replay-cache-status") == Some("hit")
    })
    .await;
    for _ in 0..4 {
        let text = get("/headers".to_owned(), "session=one").await;
        assert_eq!(seen(&text, "fly-replay-cache-status"), Some("hit"));
        let text = get("/headers".to_owned(), "session=two").await;
        assert_eq!(seen(&text, "fly-replay-cache-status"), None);
    }
    // Its machine goes: the session is served by the other one.
    world.api.post(&format!("/v1/apps/shop/machines/{}/cordon", ids[1])).await;
    let text = get("/headers".to_owned(), "session=one").await;
    assert_eq!(seen(&text, "fly-replay-cache-status"), None);
    world.end().await;
}
