//! `…/lease`: takes, refreshes, shows and releases the lease of a machine.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use machines_api::types::{AcquireLease, LeaseEnvelope};

use super::{Pairs, nonce, parse_or_default, uninterrupted, value};
use crate::{clock, error::Refusal, fleet::Fleet};

pub(super) fn routes() -> Router<Fleet> {
    let lease = get(show).post(acquire).delete(release);
    Router::new().route("/v1/apps/{app}/machines/{machine}/lease", lease)
}

async fn show(
    State(fleet): State<Fleet>,
    Path((app, id)): Path<(String, String)>,
) -> Result<Json<LeaseEnvelope>, Refusal> {
    let lease = fleet.machine_of(&app, &id)?.lease(clock::now())?;
    Ok(Json(LeaseEnvelope::success(lease)))
}

async fn acquire(
    State(fleet): State<Fleet>,
    Path((app, id)): Path<(String, String)>,
    Query(query): Query<Pairs>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<LeaseEnvelope>), Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    let order: AcquireLease = parse_or_default(&body)?;
    // Fly's client says how long in the query, its documents in the body.
    let ttl_secs = match value(&query, "ttl") {
        Some(text) => Some(text.parse().map_err(|_invalid| {
            Refusal::bad_request(format!("`ttl` is `{text}`, but must be a number of seconds"))
        })?),
        None => order.ttl_secs,
    };
    let given = nonce(&headers).map(str::to_owned);
    let lease = uninterrupted(async move {
        machine.acquire_lease(given.as_deref(), ttl_secs, order.description).await
    })
    .await?;
    // Taken or refreshed: Fly's file knows no other status.
    Ok((StatusCode::CREATED, Json(LeaseEnvelope::success(lease))))
}

async fn release(
    State(fleet): State<Fleet>,
    Path((app, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<serde_json::Value>, Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    let given = nonce(&headers).map(str::to_owned);
    uninterrupted(async move { machine.release_lease(given.as_deref()).await }).await?;
    Ok(Json(serde_json::json!({"status": "success", "data": {"ok": true}})))
}
