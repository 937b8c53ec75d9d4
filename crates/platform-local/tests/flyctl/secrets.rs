//! `secrets set`, `import`, `list` and `unset`, with the deployment that brings them to the
//! machines; and the same over GraphQL, as older clients and other people's send it.

#![expect(clippy::indexing_slicing, reason = "tests fail by panicking")]

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Fly, list, number, text, time, world};
use crate::support::World;

async fn restart_with_secrets(fly: &Fly, app: &str, min_version: i64) {
    let query = "query FlyctlConfigCurrentRelease ($appName: String!) { app(name: $appName) { \
                 currentReleaseUnprocessed { configDefinition } } }";
    fly.graphql(query, json!({"appName": app})).await;
    let query = "query LatestImage ($appName: String!) { app(name: $appName) { \
                 currentReleaseUnprocessed { id version imageRef } } }";
    let data = fly.graphql(query, json!({"appName": app})).await;
    let image = text(&data, "/app/currentReleaseUnprocessed/imageRef");
    let body = json!({"app_name": app, "build_id": 0, "definition": {"app": app},
                      "image": image, "strategy": "ROLLING"});
    let (_, reply) = fly.uiex(Method::POST, "/releases", Some(body)).await;
    let release = text(&reply, "/release/id");
    for machine in fly.managed_machines(app).await {
        let id = text(&machine, "/id");
        let leased = fly.lease(app, &id, 13).await;
        let mut config = machine["config"].clone();
        config["metadata"]["fly_release_id"] = json!(release);
        let body = json!({"id": id, "region": "local", "config": config, "skip_secrets": false,
                          "min_secrets_version": min_version});
        let path = format!("/apps/{app}/machines/{id}");
        fly.flaps(Method::POST, &path, Some(body), Some(&leased.nonce)).await;
        fly.wait_until_healthy(app, &id).await;
        fly.release_lease(app, &leased).await;
    }
    let body = json!({"status": "complete", "metadata": null});
    fly.uiex(Method::PATCH, &format!("/releases/{release}"), Some(body)).await;
}

async fn environment(world: &World) -> String {
    world.api.get("shop", "/env").await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_set_imported_listed_and_taken_back() {
    let (world, fly, image) = world("shop").await;
    let path = "/apps/shop/secrets";
    // Before the first deployment they are only kept.
    let body = json!({"values": {"DATABASE_URL": "postgres://one"}});
    let reply = fly.flaps(Method::POST, path, Some(body), None).await;
    let first = number(&reply, "/version");
    assert!(fly.managed_machines("shop").await.is_empty());
    fly.deploy("shop", &image).await;
    assert!(environment(&world).await.contains("DATABASE_URL=postgres://one"));

    // `import` sends all lines of its input at once.
    let body = json!({"values": {"DATABASE_URL": "postgres://two", "OPENAI_API_KEY": "sk-1"}});
    let reply = fly.flaps(Method::POST, path, Some(body), None).await;
    let second = number(&reply, "/version");
    assert!(second > first);
    restart_with_secrets(&fly, "shop", second).await;
    let seen = environment(&world).await;
    assert!(seen.contains("DATABASE_URL=postgres://two") && seen.contains("OPENAI_API_KEY=sk-1"));

    // `list` asks for the version that this client saw last.
    let reply = fly.get(&format!("{path}?version={second}")).await;
    let secrets = list(&reply, "/secrets");
    let names: Vec<_> = secrets.iter().map(|secret| text(secret, "/name")).collect();
    assert_eq!(names, ["DATABASE_URL", "OPENAI_API_KEY"]);
    for secret in secrets {
        assert!(!text(secret, "/digest").is_empty());
        time(secret, "/created_at");
        assert!(secret.get("value").is_none_or(Value::is_null));
    }

    let body = json!({"values": {"OPENAI_API_KEY": null}});
    let reply = fly.flaps(Method::POST, path, Some(body), None).await;
    restart_with_secrets(&fly, "shop", number(&reply, "/version")).await;
    let seen = environment(&world).await;
    assert!(seen.contains("DATABASE_URL=") && !seen.contains("OPENAI_API_KEY"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn older_clients_change_secrets_over_graphql() {
    let (world, fly, image) = world("shop").await;
    fly.deploy("shop", &image).await;
    let payload = "{ release { id version reason description user { id email name } evaluationId createdAt } }";
    let query =
        format!("mutation($input: SetSecretsInput!) {{ setSecrets(input: $input) {payload} }}");
    let secrets = json!([{"key": "TOKEN", "value": "hunter2"}]);
    let data = fly.graphql(&query, json!({"input": {"appId": "shop", "secrets": secrets}})).await;
    assert_eq!(number(&data, "/setSecrets/release/version"), 1);
    let query =
        "query ($appName: String!) { app(name: $appName) { secrets { name digest createdAt } } }";
    let data = fly.graphql(query, json!({"appName": "shop"})).await;
    assert_eq!(text(&data, "/app/secrets/0/name"), "TOKEN");
    assert!(!data.to_string().contains("hunter2"));
    let query =
        format!("mutation($input: UnsetSecretsInput!) {{ unsetSecrets(input: $input) {payload} }}");
    fly.graphql(&query, json!({"input": {"appId": "shop", "keys": ["TOKEN"]}})).await;
    let reply = fly.get("/apps/shop/secrets").await;
    assert!(list(&reply, "/secrets").is_empty());
    world.end().await;
}
