//! What clients of the API get on the routes beside machines, and with the odd forms that real
//! clients send.

mod support;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{TOKEN, World};

const M: &str = "/v1/apps/shop/machines";

#[tokio::test(flavor = "multi_thread")]
async fn the_spellings_of_real_clients_are_understood() {
    let world = World::new().await;
    let api = &world.api;
    let named = json!({"app_name": "shop", "org_slug": "personal", "enable_subdomains": false});
    let app = api.done(Method::POST, "/v1/apps?wait=true", named).await;
    assert_eq!((&app["name"], &app["organization"]["slug"]), (&json!("shop"), &json!("personal")));
    let config = serde_json::to_value(world.config(&[("VERSION", "one")])).expect("a config");
    let order = json!({"config": config, "region": "ord,iad", "name": "web-1", "lease_ttl": 30});
    let made = api.done(Method::POST, M, order).await;
    assert_eq!((&made["state"], &made["region"]), (&json!("created"), &json!("ord")));
    assert_eq!(made["events"][0]["type"], "launch");
    assert_eq!(made["version"], made["instance_id"]);
    let (id, nonce) = (made["id"].as_str().expect("an id"), made["nonce"].as_str());
    assert_eq!(nonce.map(str::len), Some(12));
    let machine = format!("{M}/{id}");
    let lease = format!("{machine}/lease");
    let (status, held) =
        api.call_as(Method::POST, &format!("{lease}?ttl=90"), Value::Null, nonce).await;
    assert_eq!((status, held["data"]["nonce"].as_str()), (StatusCode::CREATED, nonce));
    let (status, _) = api.call_as(Method::DELETE, &lease, Value::Null, nonce).await;
    assert_eq!(status, StatusCode::OK);
    api.ready("shop", id).await;
    api.post(&format!("{machine}/restart?force_stop=true&timeout=3&signal=SIGKILL")).await;
    api.ready("shop", id).await;
    api.done(Method::POST, &format!("{machine}/stop"), json!({"id": id, "timeout": 1_000_000_000}))
        .await;
    api.wait("shop", id, "stopped,failed").await;
    api.done(Method::DELETE, &format!("{machine}?kill=false"), Value::Null).await;
    let wait = format!("{machine}/wait?state=stopped&state=destroyed&timeout=60");
    api.done(Method::GET, &wait, Value::Null).await;
    // Nothing else comes of it any more.
    let (status, _) =
        api.call(Method::GET, &format!("{machine}/wait?state=started"), Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_narrowed_by_state_region_and_metadata() {
    let world = World::new().await;
    let api = &world.api;
    api.create_app("shop").await;
    let config = serde_json::to_value(world.config(&[])).expect("a config");
    for (region, role) in [("ord", "web"), ("iad", "web"), ("ord", "job")] {
        let mut config = config.clone();
        config["metadata"] = json!({"role": role});
        let order = json!({"config": config, "region": region, "skip_launch": true});
        api.done(Method::POST, M, order).await;
    }
    let count = |query: &'static str| async move {
        let listed = api.done(Method::GET, &format!("{M}?{query}"), Value::Null).await;
        listed.as_array().map(Vec::len)
    };
    assert_eq!(count("region=ord").await, Some(2));
    assert_eq!(count("region=ord&metadata.role=web").await, Some(1));
    assert_eq!(count("state=created,stopped").await, Some(3));
    assert_eq!(count("state=started").await, Some(0));
    let summary = api.done(Method::GET, &format!("{M}?summary=true"), Value::Null).await;
    assert!(summary[0]["config"].is_null() && summary[0]["id"].is_string(), "{summary}");

    let of_org = "/v1/orgs/personal/machines";
    let first = api.done(Method::GET, &format!("{of_org}?limit=2"), Value::Null).await;
    assert_eq!(first["machines"].as_array().map(Vec::len), Some(2), "{first}");
    let cursor = first["next_cursor"].as_str().expect("there is more");
    let second = api.done(Method::GET, &format!("{of_org}?cursor={cursor}"), Value::Null).await;
    assert_eq!(second["machines"].as_array().map(Vec::len), Some(1), "{second}");
    assert!(second["next_cursor"].is_null());
    let other = api.done(Method::GET, "/v1/orgs/other/machines", Value::Null).await;
    assert_eq!(other["machines"], json!([]));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_belongs_to_one_machine_and_outlives_it() {
    let mut world = World::new().await;
    world.api.create_app("shop").await;
    let path = "/v1/apps/shop/volumes";
    let order = json!({"name": "data", "size_gb": 2, "region": "ord"});
    let volume = world.api.done(Method::POST, path, order).await;
    let id = volume["id"].as_str().expect("an id").to_owned();
    let mut config = world.config(&[("COUNT_FILE", "data/count")]);
    config.mounts =
        serde_json::from_value(json!([{"volume": id, "path": "/data"}])).expect("mounts");
    let count = |world: &World| {
        let request = world.api.request(Method::POST, "shop", "/count");
        async move { request.send().await.expect("an answer").text().await.expect("a body") }
    };
    for round in ["1", "2"] {
        let made = world.api.create("shop", config.clone()).await;
        world.api.ready("shop", &made.id).await;
        assert_eq!(count(&world).await, round);
        let shown = world.api.done(Method::GET, &format!("{path}/{id}"), Value::Null).await;
        assert_eq!(shown["attached_machine_id"], json!(made.id));
        let second = json!({"config": config});
        let (status, _) = world.api.call(Method::POST, M, second).await;
        assert_eq!(status, StatusCode::PRECONDITION_FAILED, "another machine mounts it");
        let (status, _) =
            world.api.call(Method::DELETE, &format!("{path}/{id}"), Value::Null).await;
        assert_eq!(status, StatusCode::PRECONDITION_FAILED, "a machine mounts it");
        let machine = format!("{M}/{}?force=true", made.id);
        world.api.done(Method::DELETE, &machine, Value::Null).await;
        world.api.wait("shop", &made.id, "destroyed").await;
    }
    world.restart_platform().await;
    let listed = world.api.done(Method::GET, path, Value::Null).await;
    assert_eq!((&listed[0]["id"], &listed[0]["size_gb"]), (&json!(id), &json!(2)));
    let of_org = world.api.done(Method::GET, "/v1/orgs/personal/volumes", Value::Null).await;
    assert_eq!(of_org["volumes"][0]["app_name"], "shop");
    let extend = format!("{path}/{id}/extend");
    let larger = world.api.done(Method::PUT, &extend, json!({"size_gb": 5})).await;
    assert_eq!(
        (&larger["volume"]["size_gb"], &larger["needs_restart"]),
        (&json!(5), &json!(false))
    );
    let (status, _) = world.api.call(Method::PUT, &extend, json!({"size_gb": 1})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let kept = json!({"snapshot_retention": 9, "auto_backup_enabled": false});
    let changed = world.api.done(Method::PUT, &format!("{path}/{id}"), kept).await;
    assert_eq!(changed["snapshot_retention"], 9);
    world.api.done(Method::DELETE, &format!("{path}/{id}"), Value::Null).await;
    assert_eq!(world.api.done(Method::GET, path, Value::Null).await, json!([]));
    let gone = json!({"config": config});
    let (status, _) = world.api.call(Method::POST, M, gone).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "there is no such volume");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_set_one_by_one_and_addresses_are_given_once() {
    let world = World::new().await;
    let api = &world.api;
    api.create_app("shop").await;
    let secret = "/v1/apps/shop/secrets/KEY";
    let (status, set) = api.call(Method::POST, secret, json!({"value": "hidden"})).await;
    assert_eq!((status, &set["version"]), (StatusCode::CREATED, &json!(1)));
    assert!(!set.to_string().contains("hidden"), "{set}");
    let shown = api.done(Method::GET, &format!("{secret}?show_secrets=true"), Value::Null).await;
    assert_eq!(shown["value"], "hidden");
    let both = api.done(Method::POST, "/v1/apps/shop/secrets", json!({"values": {"A": "b"}})).await;
    assert_eq!((&both["version"], &both["Version"]), (&json!(2), &json!(2)));
    let removed = api.done(Method::DELETE, secret, Value::Null).await;
    assert_eq!(removed["version"], 3);

    let path = "/v1/apps/shop/ip_assignments";
    let shared = api.done(Method::POST, path, json!({"type": "shared_v4"})).await;
    let again = api.done(Method::POST, path, json!({"type": "shared_v4"})).await;
    assert_eq!(shared, again);
    let six = api.done(Method::POST, path, json!({"type": "v6"})).await;
    let listed = api.done(Method::GET, path, Value::Null).await;
    assert_eq!(listed["ips"], json!([shared, six]));
    let ip = six["ip"].as_str().expect("an address");
    api.done(Method::DELETE, &format!("{path}/{ip}"), Value::Null).await;
    for (body, status) in [(json!({"type": "v5"}), 422), (json!({"type": 4}), 400)] {
        let (found, answer) = api.call(Method::POST, path, body).await;
        assert_eq!(found.as_u16(), status);
        assert_eq!(answer["message"], answer["error"], "clients read either");
    }
    let regions = reqwest::get(format!("http://{}/v1/platform/regions", api.api)).await;
    let regions: Value = regions.expect("open to all").json().await.expect("JSON");
    assert_eq!(regions["nearest"], "local");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_token_is_good_for_one_app_until_it_expires() {
    let world = World::new().await;
    let api = &world.api;
    api.create_app("shop").await;
    api.create_app("shop2").await;
    let order = |expiry: &str| json!({"expiry": expiry});
    let made = |expiry: &'static str| async move {
        let path = "/v1/apps/shop/deploy_token";
        let token = api.done(Method::POST, path, order(expiry)).await;
        token["token"].as_str().expect("a token").to_owned()
    };
    let (token, old) = (made("720h").await, made("0s").await);
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let status = |scheme: &'static str, token: String, path: &'static str| {
        let request = client.get(format!("http://{}{path}", api.api));
        let request = request.header("authorization", format!("{scheme} {token}"));
        async move { request.send().await.expect("an answer").status().as_u16() }
    };
    assert_eq!(status("Bearer", token.clone(), "/v1/apps/shop/machines").await, 200);
    assert_eq!(status("FlyV1", format!("fm2_other,{token}"), "/v1/apps/shop").await, 200);
    assert_eq!(status("FlyV1", TOKEN.to_owned(), "/v1/apps/shop2").await, 200);
    assert_eq!(status("Bearer", token.clone(), "/v1/apps/shop2").await, 403);
    assert_eq!(status("Bearer", token.clone(), "/v1/apps").await, 403);
    assert_eq!(status("Bearer", old, "/v1/apps/shop").await, 401);
    let renewal = client.post(format!("http://{}/v1/apps/shop/deploy_token", api.api));
    let renewal = renewal.bearer_auth(&token).send().await.expect("an answer");
    assert_eq!(renewal.status(), StatusCode::FORBIDDEN, "it would never end");
    assert_eq!(status("Bearer", format!("{token}0"), "/v1/apps/shop").await, 401);
    assert_eq!(status("Basic", token.clone(), "/v1/apps/shop").await, 401);
    let current = api.done(Method::GET, "/v1/tokens/current", Value::Null).await;
    assert_eq!(current["tokens"][0]["org_slug"], "personal");
    let (status_of_bad, _) =
        api.call(Method::POST, "/v1/apps/shop/deploy_token", order("soon")).await;
    assert_eq!(status_of_bad, StatusCode::BAD_REQUEST);
    // A later app of the same name is another one.
    api.done(Method::DELETE, "/v1/apps/shop", Value::Null).await;
    api.create_app("shop").await;
    assert_eq!(status("Bearer", token, "/v1/apps/shop").await, 401);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_rate_limits_calls_that_come_too_often_are_answered_429() {
    let world = World::with(|settings| settings.rate_limits = true).await;
    let api = &world.api;
    api.create_app("shop").await;
    let path = "/v1/apps/shop/secrets";
    let mut answers = Vec::new();
    for _ in 0..12 {
        answers.push(api.call(Method::GET, path, Value::Null).await);
    }
    let (status, body) = answers.last().expect("answers");
    assert_eq!(*status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(body["error"], "rate limit exceeded");
    assert!(answers.iter().take(3).all(|(status, _)| status.is_success()));
    // Another action of the same app has its own count.
    api.done(Method::GET, "/v1/apps/shop/volumes", Value::Null).await;
    world.end().await;
}
