//! `/api/v1/organizations`: lists and shows organizations for Fly's client.

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use serde_json::{Value, json};

use super::account;
use crate::{error::Refusal, fleet::Fleet};

pub(super) fn routes() -> Router<Fleet> {
    Router::new()
        .route("/api/v1/organizations", get(list))
        .route("/api/v1/organizations/{slug}", get(show))
}

async fn list(State(fleet): State<Fleet>) -> Json<Value> {
    let all = account::organizations(&fleet);
    let views: Vec<_> = all.iter().map(|slug| account::organization(slug)).collect();
    Json(json!({"organizations": views}))
}

async fn show(
    State(fleet): State<Fleet>,
    Path(slug): Path<String>,
) -> Result<Json<Value>, Refusal> {
    account::check_organization(&fleet, &slug)?;
    Ok(Json(json!({"organization": account::organization(&slug)})))
}
