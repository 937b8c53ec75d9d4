//! `/api/v1/releases` and `/api/v1/apps/{app}/releases`: where Fly's client notes its releases
//! and looks them up.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{get, patch, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Pairs, account, parse, uninterrupted, value};
use crate::{
    error::Refusal,
    fleet::{Fleet, NewRelease, ReleaseRecord},
};

/// Releases that are listed when no limit is asked for, and at most.
const LIST_DEFAULT: u32 = 25;
const LIST_MAX: u32 = 200;

/// Body of `POST /api/v1/releases`.
#[derive(Debug, Deserialize)]
struct CreateRelease {
    app_name: String,
    #[serde(default)]
    definition: Value,
    #[serde(default)]
    image: String,
    #[serde(default)]
    strategy: String,
}

/// Body of `PATCH /api/v1/releases/{id}`.
#[derive(Debug, Deserialize)]
struct UpdateRelease {
    status: String,
    #[serde(default)]
    metadata: Value,
}

pub(super) fn routes() -> Router<Fleet> {
    Router::new()
        .route("/api/v1/releases", post(create))
        .route("/api/v1/releases/all_current", get(all_current))
        .route("/api/v1/releases/{release}", patch(update))
        .route("/api/v1/apps/{app}/releases", get(list))
        .route("/api/v1/apps/{app}/releases/current", get(current))
}

async fn create(
    State(fleet): State<Fleet>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let CreateRelease { app_name, definition, image, strategy } = parse(&body)?;
    let user = account::USER_EMAIL.to_owned();
    let release = NewRelease { strategy, image_ref: image, definition, user };
    let made = uninterrupted(async move { fleet.add_release(&app_name, release).await }).await?;
    Ok((StatusCode::CREATED, Json(json!({"release": view(&made)}))))
}

async fn update(
    State(fleet): State<Fleet>,
    Path(release): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let UpdateRelease { status, metadata } = parse(&body)?;
    let change = async move { fleet.update_release(&release, &status, metadata).await };
    Ok(Json(view(&uninterrupted(change).await?)))
}

async fn list(
    State(fleet): State<Fleet>,
    Path(app): Path<String>,
    Query(query): Query<Pairs>,
) -> Result<Json<Value>, Refusal> {
    let count = value(&query, "limit").and_then(|limit| limit.parse().ok());
    let count = count.unwrap_or(LIST_DEFAULT).min(LIST_MAX);
    let releases = fleet.releases(&fleet.app(&app)?, count).await?;
    let views: Vec<_> = releases.iter().map(view).collect();
    Ok(Json(json!({"releases": views})))
}

/// The newest release; that there is none yet is a 404, which Fly's client takes for no error.
async fn current(
    State(fleet): State<Fleet>,
    Path(app): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let newest = fleet.newest_release(&fleet.app(&app)?).await?;
    let none = || Refusal::not_found(format!("app `{app}` has no release yet"));
    Ok(Json(view(&newest.ok_or_else(none)?)))
}

async fn all_current(
    State(fleet): State<Fleet>,
) -> Result<Json<BTreeMap<String, String>>, Refusal> {
    let newest = fleet.newest_releases().await?;
    let times = newest.into_iter().map(|(app, release)| (app, release.created_at.to_string()));
    Ok(Json(times.collect()))
}

fn view(release: &ReleaseRecord) -> Value {
    json!({
        "id": release.id,
        "version": release.version,
        "stable": release.is_stable(),
        "in_progress": release.is_in_progress(),
        "status": release.status.as_str(),
        "strategy": release.strategy,
        "user": release.user,
        "created_at": release.created_at.to_string(),
        "image_ref": release.image_ref,
        "metadata": release.metadata,
    })
}
