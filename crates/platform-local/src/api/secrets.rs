//! `/v1/apps/{app}/secrets`: sets, lists and removes an app's secrets. Values come out only when
//! asked for, and as they were at a version while that is kept.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::get,
};
use machines_api::types::{Secret, SecretReply, SecretValue, SecretsReply, SetSecrets};

use super::{Pairs, flag, parse, uninterrupted, value};
use crate::{
    error::Refusal,
    fleet::{AppRecord, Fleet},
};

pub(super) fn routes() -> Router<Fleet> {
    Router::new()
        .route("/v1/apps/{app}/secrets", get(list).post(set))
        .route("/v1/apps/{app}/secrets/{name}", get(show).post(set_one).delete(remove))
}

async fn list(
    State(fleet): State<Fleet>,
    Path(app): Path<String>,
    Query(query): Query<Pairs>,
) -> Result<Json<SecretsReply>, Refusal> {
    let found = asked_for(&fleet, &app, &query).await?;
    Ok(Json(view(&found, flag(&query, "show_secrets"))))
}

/// The app with the secrets of the version that the query names, if it names one.
async fn asked_for(fleet: &Fleet, app: &str, query: &Pairs) -> Result<AppRecord, Refusal> {
    fleet.check_secrets_version(app, version(query, "min_version")?)?;
    match version(query, "version")? {
        Some(version) => fleet.app_with_secrets_at(app, version).await,
        None => fleet.app(app),
    }
}

fn version(query: &Pairs, name: &str) -> Result<Option<u64>, Refusal> {
    let Some(text) = value(query, name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let refused = |_| Refusal::bad_request(format!("`{name}` is no version: `{text}`"));
    text.parse().map(Some).map_err(refused)
}

async fn set(
    State(fleet): State<Fleet>,
    Path(app): Path<String>,
    body: Bytes,
) -> Result<Json<SecretsReply>, Refusal> {
    let SetSecrets { values } = parse(&body)?;
    let changed = uninterrupted(async move { fleet.set_secrets(&app, values).await }).await?;
    Ok(Json(SecretsReply { old_version: Some(changed.secrets_version), ..view(&changed, false) }))
}

async fn set_one(
    State(fleet): State<Fleet>,
    Path((app, name)): Path<(String, String)>,
    body: Bytes,
) -> Result<(StatusCode, Json<SecretReply>), Refusal> {
    let SecretValue { value } = parse(&body)?;
    let values = BTreeMap::from([(name.clone(), Some(value))]);
    let changed = uninterrupted(async move { fleet.set_secrets(&app, values).await }).await?;
    let secret = view(&changed, false).secrets.into_iter().find(|secret| secret.name == name);
    Ok((StatusCode::CREATED, Json(reply(secret, &changed))))
}

async fn show(
    State(fleet): State<Fleet>,
    Path((app, name)): Path<(String, String)>,
    Query(query): Query<Pairs>,
) -> Result<Json<Secret>, Refusal> {
    let reply = view(&asked_for(&fleet, &app, &query).await?, flag(&query, "show_secrets"));
    let found = reply.secrets.into_iter().find(|secret| secret.name == name);
    let missing = || Refusal::not_found(format!("app `{app}` has no secret `{name}`"));
    Ok(Json(found.ok_or_else(missing)?))
}

async fn remove(
    State(fleet): State<Fleet>,
    Path((app, name)): Path<(String, String)>,
) -> Result<Json<SecretReply>, Refusal> {
    let values = BTreeMap::from([(name, None)]);
    let changed = uninterrupted(async move { fleet.set_secrets(&app, values).await }).await?;
    Ok(Json(reply(None, &changed)))
}

fn reply(secret: Option<Secret>, changed: &AppRecord) -> SecretReply {
    let version = changed.secrets_version;
    SecretReply { secret, version, old_version: version }
}

fn view(app: &AppRecord, with_values: bool) -> SecretsReply {
    let secrets = app.secrets.values().map(|secret| Secret {
        value: secret.value.clone().filter(|_| with_values),
        ..secret.clone()
    });
    SecretsReply {
        secrets: secrets.collect(),
        version: Some(app.secrets_version),
        old_version: None,
    }
}
