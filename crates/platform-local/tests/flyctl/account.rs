//! `auth whoami`, `auth status`, `apps list`, `orgs list`, `platform regions` and `platform vm-sizes`.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Fly, flag, list, number, text, time, world};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_the_token_is_told_who_they_are() {
    let (world, fly, _) = world("shop").await;
    let query =
        "query { viewer { ... on User { id email enablePaidHobby } ... on Macaroon { email } } }";
    let data = fly.graphql(query, Value::Null).await;
    assert!(text(&data, "/viewer/email").contains('@'));
    text(&data, "/viewer/id");
    flag(&data, "/viewer/enablePaidHobby");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_apps_says_of_each_what_state_it_is_in_and_when_it_was_deployed() {
    let (world, fly, image) = world("shop").await;
    fly.deploy("shop", &image).await;
    let body = json!({"name": "other", "org_slug": "hotdesk"});
    fly.flaps(Method::POST, "/apps?wait=true", Some(body), None).await;
    let query = "query($org: ID, $role: String, $after: String) { \
                 apps(type: \"container\", first: 200, after: $after, organizationId: $org, role: $role) { \
                 pageInfo { hasNextPage endCursor } nodes { id name deployed hostname platformVersion \
                 organization { slug name } currentRelease { createdAt status } status } } }";
    let data = fly.graphql(query, json!({"after": ""})).await;
    assert!(!flag(&data, "/apps/pageInfo/hasNextPage"), "else the client asks without end");
    text(&data, "/apps/pageInfo/endCursor");
    let apps = list(&data, "/apps/nodes");
    let by_name = |name: &str| apps.iter().find(|app| app["name"] == name).expect("it is listed");
    let shop = by_name("shop");
    assert_eq!((text(shop, "/status"), flag(shop, "/deployed")), ("deployed".to_owned(), true));
    assert_eq!(text(shop, "/currentRelease/status"), "complete");
    time(shop, "/currentRelease/createdAt");
    text(shop, "/hostname");
    assert_eq!(text(shop, "/organization/slug"), "personal");
    let other = by_name("other");
    assert_eq!((text(other, "/status"), flag(other, "/deployed")), ("pending".to_owned(), false));
    assert!(other["currentRelease"].is_null());

    // With `--org`, the organization's id comes from its name first.
    let query = "query($slug: String!) { organization(slug: $slug) { id internalNumericId slug name \
                 type billable limitedAccessTokens { nodes { id name expiresAt user { email } } } } }";
    let data = fly.graphql(query, json!({"slug": "hotdesk"})).await;
    let id = text(&data, "/organization/id");
    text(&data, "/organization/internalNumericId");
    list(&data, "/organization/limitedAccessTokens/nodes");
    let query = "query($org: ID) { apps(organizationId: $org) { nodes { name } } }";
    let data = fly.graphql(query, json!({"org": id})).await;
    assert_eq!(data["apps"]["nodes"], json!([{"name": "other"}]));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn organizations_are_listed_over_both_surfaces() {
    let (world, fly, _) = world("shop").await;
    let (status, reply) = fly.uiex(Method::GET, "/organizations?admin=false", None).await;
    assert_eq!(status, StatusCode::OK);
    let organization = &list(&reply, "/organizations")[0];
    for field in ["/id", "/slug", "/raw_slug", "/name", "/billing_status", "/remote_builder_image"]
    {
        text(organization, field);
    }
    assert!(flag(organization, "/personal") && flag(organization, "/billable"));
    number(organization, "/internal_numeric_id");
    let query = "query($admin: Boolean!) { organizations(admin: $admin) { nodes { id slug name type \
                 paidPlan billable viewerRole internalNumericId } } }";
    let data = fly.graphql(query, json!({"admin": false})).await;
    assert_eq!(text(&list(&data, "/organizations/nodes")[0], "/slug"), "personal");
    let (status, reply) = fly.uiex(Method::GET, "/organizations/nobodys", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text(&reply, "/error").contains("nobodys"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn regions_and_sizes_are_those_of_this_platform() {
    let (world, fly, _) = world("shop").await;
    let query = "query { platform { requestRegion regions { name code latitude longitude \
                 gatewayAvailable requiresPaidPlan } } }";
    let data = fly.graphql(query, Value::Null).await;
    let region = text(&data, "/platform/requestRegion");
    assert_eq!(text(&list(&data, "/platform/regions")[0], "/code"), region);
    let query = "query { platform { vmSizes { name cpuCores memoryMb } } }";
    let sizes = fly.graphql(query, Value::Null).await;
    let names: Vec<_> =
        list(&sizes, "/platform/vmSizes").iter().map(|size| text(size, "/name")).collect();
    assert!(names.contains(&"shared-cpu-1x".to_owned()), "{names:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_looked_up_in_each_of_the_clients_forms() {
    let (world, fly, image) = world("shop").await;
    fly.deploy("shop", &image).await;
    let compact = "query ($appName: String!) { appcompact:app(name: $appName) { id \
                   internalNumericId name hostname deployed status appUrl platformVersion \
                   organization { id internalNumericId slug paidPlan } postgresAppRole: role { name } } }";
    let data = fly.graphql(compact, json!({"appName": "shop"})).await;
    let app = &data["appcompact"];
    assert_eq!(text(app, "/platformVersion"), "machines", "another one is not deployed to");
    assert!(app["postgresAppRole"].is_null(), "else it is taken for a database");
    assert!(i32::try_from(number(app, "/internalNumericId")).is_ok());
    assert!(flag(app, "/deployed") && flag(app, "/organization/paidPlan"));
    for field in
        ["/id", "/name", "/hostname", "/status", "/appUrl", "/organization/internalNumericId"]
    {
        text(app, field);
    }
    let basic = "query ($appName: String!) { appbasic:app(name: $appName) { id name platformVersion \
                 organization { id internalNumericId slug rawSlug paidPlan } } }";
    let data = fly.graphql(basic, json!({"appName": "shop"})).await;
    text(&data, "/appbasic/organization/rawSlug");
    let full = "query ($appName: String!) { app(name: $appName) { id internalNumericId name hostname \
                deployed status version appUrl platformVersion currentRelease { evaluationId status \
                inProgress version } config { definition } organization { id slug paidPlan } \
                services { description protocol internalPort ports { port handlers } } \
                ipAddresses { nodes { id address type createdAt } } imageDetails { registry \
                repository tag digest version } machines { nodes { id name config state region \
                createdAt app { name } ips { nodes { family kind ip maskSize } } host { id } } } \
                postgresAppRole: role { name } limitedAccessTokens { nodes { id name expiresAt } } } }";
    let data = fly.graphql(full, json!({"appName": "shop"})).await;
    assert_eq!(number(&data, "/app/version"), 1);
    assert_eq!(text(&data, "/app/config/definition/app"), "shop");
    assert_eq!(list(&data, "/app/machines/nodes").len(), 2);
    let machine = &list(&data, "/app/machines/nodes")[0];
    text(machine, "/ips/nodes/0/ip");
    text(machine, "/config/image");
    let addresses = "query ($appName: String!) { app(name: $appName) { ipAddresses { nodes { id \
                     address type region createdAt network { name organization { slug } } \
                     serviceName } } sharedIpAddress } }";
    let data = fly.graphql(addresses, json!({"appName": "shop"})).await;
    list(&data, "/app/ipAddresses/nodes");
    text(&data, "/app/sharedIpAddress");

    // A machine that is named without its app: `machine status ID`.
    let id = text(machine, "/id");
    let query = "query ($machineId: String!) { gqlmachine:machine(machineId: $machineId) { id name \
                 app { name organization { id slug } } } }";
    let data = fly.graphql(query, json!({"machineId": id})).await;
    assert_eq!(text(&data, "/gqlmachine/app/name"), "shop");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_told_in_the_way_of_each_surface() {
    let (world, _, _) = world("shop").await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = |path: &str| format!("http://{}{path}", world.api.api);
    let graphql =
        http.post(url("/graphql")).bearer_auth("wrong").body("{\"query\":\"{viewer{id}}\"}");
    let reply = graphql.send().await.expect("a reply");
    assert_eq!(reply.status(), StatusCode::OK);
    let reply: Value = serde_json::from_slice(&reply.bytes().await.expect("a body")).expect("JSON");
    assert_eq!(text(&reply, "/errors/0/extensions/code"), "UNAUTHORIZED");
    for path in ["/api/v1/organizations", "/api/v1/apps/shop/logs", "/v1/apps/shop"] {
        let reply = http.get(url(path)).bearer_auth("wrong").send().await.expect("a reply");
        assert_eq!(reply.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_the_newer_kind_come_under_their_own_scheme() {
    let (world, _, _) = world("shop").await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("http://{}/v1/apps/shop", world.api.api);
    let token = format!("FlyV1 {}", crate::support::TOKEN);
    let reply = http.get(url).header("authorization", token).send().await.expect("a reply");
    assert_eq!(reply.status(), StatusCode::OK);
    let fly = Fly::at(&world.api);
    fly.get("/apps/shop").await;
    world.end().await;
}
