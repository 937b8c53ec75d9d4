//! Cases about apps, their secrets, and answers to what is wrong from the start.

use std::collections::BTreeMap;

use super::{ORG_SLUG, Suite, expect, refusal, told};
use crate::client::Client;
use crate::types::ErrorBody;

pub(super) async fn created(suite: &Suite) -> Result<(), String> {
    told(suite.client.create_app(&suite.app, ORG_SLUG).await)?;
    let app = told(suite.client.get_app(&suite.app).await)?;
    expect(app.name == suite.app, "the app has the name it was given", &app)?;
    let again = suite.client.create_app(&suite.app, ORG_SLUG).await;
    let error = refusal(again, 422, "creating the app a second time")?;
    expect(error.is_name_taken(), "the message says that the name is taken", &error)
}

pub(super) async fn unknown_token(suite: &Suite) -> Result<(), String> {
    let stranger = Client::new(&suite.base_url, "not-the-token").map_err(|e| e.to_string())?;
    refusal(stranger.get_app(&suite.app).await, 401, "reading with an unknown token")?;
    let machines = stranger.list_machines(&suite.app).await;
    refusal(machines, 401, "listing with an unknown token").map(|_| ())
}

pub(super) async fn unknown_app(suite: &Suite) -> Result<(), String> {
    let name = format!("{}-missing", suite.app);
    refusal(suite.client.get_app(&name).await, 404, "an app that is not there").map(|_| ())
}

pub(super) async fn broken_body(suite: &Suite) -> Result<(), String> {
    let address = format!("{}/v1/apps/{}/machines", suite.base_url, suite.app);
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()
        .map_err(|error| error.to_string())?
        .post(address)
        .bearer_auth(&suite.token)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body("{")
        .send()
        .await
        .map_err(|error| error.to_string())?;
    let status = answer.status();
    expect(status == http::StatusCode::BAD_REQUEST, "the status is 400", &status)?;
    let body: ErrorBody = answer.json().await.map_err(|error| error.to_string())?;
    expect(body.text().is_some(), "the body holds an error", &body)
}

pub(super) async fn secrets(suite: &Suite) -> Result<(), String> {
    let (client, app) = (&suite.client, &suite.app);
    let set = |value: Option<&str>| {
        BTreeMap::from([("CONFORMANCE_SECRET".to_owned(), value.map(str::to_owned))])
    };
    let first = told(client.set_secrets(app, &set(Some("first value"))).await)?;
    let before = told(client.list_secrets(app).await)?;
    let second = told(client.set_secrets(app, &set(Some("second value"))).await)?;
    expect(second > first, "a write raises the version", &(first, second))?;
    let after = told(client.list_secrets(app).await)?;
    let (Some(before), Some(after)) = (before.first(), after.first()) else {
        return Err(format!("expected one secret before and after, but saw {before:?}, {after:?}"));
    };
    expect(after.name == "CONFORMANCE_SECRET", "the secret has its name", after)?;
    expect(after.value.is_none(), "no value is shown", after)?;
    expect(!after.digest.is_empty(), "there is a digest", after)?;
    expect(before.digest != after.digest, "another value has another digest", after)?;
    told(client.set_secrets(app, &set(None)).await)?;
    let left = told(client.list_secrets(app).await)?;
    expect(left.is_empty(), "a null deletes the secret", &left)
}

pub(super) async fn deleted(suite: &Suite) -> Result<(), String> {
    told(suite.client.delete_app(&suite.app).await)?;
    refusal(suite.client.get_app(&suite.app).await, 404, "an app that was deleted").map(|_| ())
}
