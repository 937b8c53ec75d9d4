//! `/api/v1/builds`: Fly's client notes the beginning and the end of every build, also where it
//! only looks an image up. Nothing is built here and nothing is kept.

use axum::{Json, Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::parse;
use crate::{clock, error::Refusal, fleet::Fleet};

/// Body of `POST /api/v1/builds`; what else stands in it is of no use here.
#[derive(Debug, Deserialize)]
struct CreateBuild {
    #[serde(default)]
    app_name: String,
}

/// Body of `POST /api/v1/builds/finish`.
#[derive(Debug, Deserialize)]
struct FinishBuild {
    build_id: i64,
    #[serde(default)]
    status: String,
}

pub(super) fn routes() -> Router<Fleet> {
    Router::new()
        .route("/api/v1/builds", post(create))
        .route("/api/v1/builds/finish", post(finish))
        .route("/api/v1/builds/depot_builder", post(no_builder))
        .route("/api/v1/organizations/{slug}/builders", post(no_builder))
}

async fn create(State(fleet): State<Fleet>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let CreateBuild { app_name } = parse(&body)?;
    if !app_name.is_empty() {
        fleet.app(&app_name)?;
    }
    Ok(Json(json!({"id": new_id(), "status": "started", "wallclock_time_ms": 0})))
}

async fn finish(body: Bytes) -> Result<Json<Value>, Refusal> {
    let FinishBuild { build_id, status } = parse(&body)?;
    let took_ms = took_ms(build_id);
    Ok(Json(json!({"id": build_id, "status": status, "wallclock_time_ms": took_ms})))
}

async fn no_builder() -> Refusal {
    Refusal::new(
        StatusCode::NOT_IMPLEMENTED,
        "this platform builds no images\nhint: push one to the registry at this address, then \
         `fly deploy --image …`; or build with `holdpoint release`",
    )
}

/// An id that also says when the build began: there is nothing else to remember of it.
pub(super) fn new_id() -> i64 {
    clock::now().as_millisecond()
}

/// How long a build took.
pub(super) fn took_ms(id: i64) -> i64 {
    new_id().saturating_sub(id).clamp(0, i64::from(i32::MAX))
}
