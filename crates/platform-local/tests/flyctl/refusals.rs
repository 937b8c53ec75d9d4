//! What is not here, or not so: each gets an error that the client prints, at once.

use std::fmt::Write as _;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{text, world};

#[tokio::test(flavor = "multi_thread")]
async fn what_this_platform_does_not_have_is_said_with_the_reason() {
    let (world, fly, _) = world("shop").await;
    for (query, reason) in [
        (
            "mutation($input: AddWireGuardPeerInput!) { addWireGuardPeer(input: $input) { peerip } }",
            "private network",
        ),
        (
            "mutation($input: ValidateWireGuardPeersInput!) { validateWireGuardPeers(input: $input) { invalidPeerIps } }",
            "private network",
        ),
        ("query { addOns(type: redis) { nodes { id } } }", "an app of its own"),
        (
            "mutation($input: AllocateEgressIPAddressInput!) { allocateEgressIpAddress(input: $input) { v4 v6 } }",
            "loopback",
        ),
        ("mutation { createPostgresCluster(input: {}) { app { id } } }", "an app of its own"),
        ("mutation { ensureMachineRemoteBuilder(input: {}) { app { name } } }", "builds no images"),
        (
            "mutation { addCertificate(appId: \"shop\", hostname: \"a.b\") { certificate { id } } }",
            "localhost",
        ),
    ] {
        let reply = fly.graphql_reply(query, json!({"input": {}})).await;
        let message = text(&reply, "/errors/0/message");
        assert!(message.contains("not available on this platform"), "{message}");
        assert!(message.contains(reason), "{message}");
        assert_eq!(text(&reply, "/errors/0/extensions/code"), "UNPROCESSABLE");
    }
    for path in ["/cli_sessions", "/tokens/oidc", "/apps/shop/unheard_of"] {
        let (status, reply) = fly.uiex(Method::POST, path, Some(json!({}))).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(text(&reply, "/error").contains(path), "{reply}");
    }
    let (status, reply) = fly.uiex(Method::POST, "/builds/depot_builder", Some(json!({}))).await;
    assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
    assert!(text(&reply, "/error").contains("builds no images"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_that_asks_for_an_unknown_field_changes_nothing() {
    let (world, fly, _) = world("shop").await;
    let input = "input: {name: \"other\", appId: \"shop\", image: \"i\", releaseId: \"r\", \
                 status: \"s\", buildId: \"1\", secrets: [{key: \"A\", value: \"b\"}], keys: [\"A\"]}";
    for (mutation, selection, told) in [
        ("createApp", "app { colour }", "'colour' doesn't exist on type 'App'"),
        ("createApp", "app { machines { nodes { colour } } }", "on type 'Machine'"),
        ("createApp", "app { machines { nodes { events { nodes { a } } } } }", "'MachineEvent'"),
        ("createApp", "app", "name the fields of `App`"),
        ("createApp", "app { name { first } }", "no fields of its own"),
        ("createApp", "app { ... on App { colour } }", "on type 'App'"),
        ("deleteApp", "organization { colour }", "on type 'Organization'"),
        ("setSecrets", "release { colour }", "on type 'ReleaseUnprocessed'"),
        ("setSecrets", "app { secrets { colour } }", "on type 'Secret'"),
        ("unsetSecrets", "app { releases { nodes { colour } } }", "on type 'ReleaseUnprocessed'"),
        ("createRelease", "colour", "on type 'CreateReleasePayload'"),
        ("updateRelease", "release { colour }", "on type 'ReleaseUnprocessed'"),
        ("createBuild", "colour", "on type 'CreateBuildPayload'"),
        ("finishBuild", "colour", "on type 'FinishBuildPayload'"),
        ("allocateIpAddress", "ipAddress { colour }", "on type 'IPAddress'"),
        ("releaseIpAddress", "app { ipAddresses { nodes { colour } } }", "on type 'IPAddress'"),
    ] {
        let query = format!("mutation {{ {mutation}({input}) {{ {selection} }} }}");
        let reply = fly.graphql_reply(&query, Value::Null).await;
        let message = text(&reply, "/errors/0/message");
        assert!(message.contains(told), "{query}: {message}");
    }
    // Of several, none is done when the last is wrong.
    let query = format!("mutation {{ createApp({input}) {{ app {{ name }} }} colour }}");
    fly.graphql_reply(&query, Value::Null).await;

    let query = "query { apps { nodes { name secrets { name } releases { nodes { id } } } } }";
    let data = fly.graphql(query, Value::Null).await;
    let nothing = json!([{"name": "shop", "secrets": [], "releases": {"nodes": []}}]);
    assert_eq!(data["apps"]["nodes"], nothing);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_and_apps_are_told_in_the_words_of_flys_server() {
    let (world, fly, _) = world("shop").await;
    let reply = fly.graphql_reply("query { app(name: \"shop\") { id colour } }", Value::Null).await;
    assert_eq!(text(&reply, "/errors/0/message"), "Field 'colour' doesn't exist on type 'App'");
    assert_eq!(text(&reply, "/errors/0/extensions/code"), "undefinedField");
    assert_eq!(reply["errors"][0]["path"], json!(["app", "colour"]));
    assert_eq!(reply["errors"][0]["locations"][0]["line"], 1);
    assert!(reply["data"].is_null());
    for (query, message) in [
        ("query { weather }", "Field 'weather' doesn't exist on type 'Query'"),
        ("mutation { makeTea { id } }", "Field 'makeTea' doesn't exist on type 'Mutation'"),
        ("query { app(name: \"none\") { id } }", "Could not find App"),
        (
            "query { viewer { ... on User { shoeSize } } }",
            "Field 'shoeSize' doesn't exist on type 'User'",
        ),
    ] {
        let reply = fly.graphql_reply(query, Value::Null).await;
        assert_eq!(text(&reply, "/errors/0/message"), message);
    }
    let reply = fly.graphql_reply("query { app(name: \"none\") { id } }", Value::Null).await;
    assert_eq!(text(&reply, "/errors/0/extensions/code"), "NOT_FOUND");
    let query = "query ($appName: String!) { app(name: $appName) { id } }";
    let reply = fly.graphql_reply(query, json!({})).await;
    let message = text(&reply, "/errors/0/message");
    assert_eq!(message, "Variable $appName of type String! was provided invalid value");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_that_are_broken_or_without_end_cost_nothing() {
    let (world, fly, _) = world("shop").await;
    let mut wide = String::from("query { ");
    for number in 0..21_000 {
        wide += "a";
        wide += &number.to_string();
        wide += ": nearestRegion { code } ";
    }
    wide.push('}');
    let deep = format!(
        "query {{ {} id {} }}",
        "app(name: \"shop\") { organization { ".repeat(200),
        "} }".repeat(200)
    );
    let endless = "query { viewer { ...A } } fragment A on User { ...A }".to_owned();
    let mut doubling = String::from("query { viewer { ...F0 } } fragment F20 on User { id }");
    for number in 0..20 {
        let next = number + 1;
        write!(doubling, " fragment F{number} on User {{ ...F{next} ...F{next} }}").expect("text");
    }
    for query in
        ["{", "query { app(name: }", "subscription { x }", "", &wide, &deep, &endless, &doubling]
    {
        let reply = fly.graphql_reply(query, Value::Null).await;
        assert!(!text(&reply, "/errors/0/message").is_empty());
    }
    // The platform still answers.
    fly.graphql("query { viewer { ... on User { id } } }", Value::Null).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_an_app_that_is_not_there_is_refused() {
    let (world, fly, image) = world("shop").await;
    let body = json!({"app_name": "none", "definition": {}, "image": image, "strategy": "ROLLING"});
    let (status, reply) = fly.uiex(Method::POST, "/releases", Some(body)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text(&reply, "/error").contains("none"));
    for body in [json!({}), json!([]), json!({"app_name": 7})] {
        let (status, _) = fly.uiex(Method::POST, "/releases", Some(body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
    let query = "query ($appName: String!, $imageRef: String!) { app(name: $appName) { image(ref: $imageRef) { id } } }";
    let data = fly
        .graphql(query, json!({"appName": "shop", "imageRef": "registry.fly.io/absent:v9"}))
        .await;
    assert!(data["app"]["image"].is_null(), "the client says that it could not find the image");
    world.end().await;
}
