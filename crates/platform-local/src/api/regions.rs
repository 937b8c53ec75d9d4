//! `/v1/platform`: the one region that there is, and where machines would be placed.

use axum::{Json, Router, body::Bytes, extract::State, routing::get, routing::post};
use machines_api::types::{Region, Regions};
use serde::Deserialize;

use super::parse;
use crate::{error::Refusal, fleet::Fleet};

/// Open to everybody, as on Fly.
pub(super) fn open_routes() -> Router<Fleet> {
    Router::new().route("/v1/platform/regions", get(regions))
}

pub(super) fn routes() -> Router<Fleet> {
    Router::new().route("/v1/platform/placements", post(placements))
}

async fn regions(State(fleet): State<Fleet>) -> Json<Regions> {
    let code = fleet.context.settings.region.clone();
    let region =
        Region { code: code.clone(), name: "This computer".to_owned(), ..Region::default() };
    Json(Regions { nearest: code, regions: vec![region] })
}

/// Body of `POST /v1/platform/placements`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Placements {
    #[serde(default)]
    count: Option<u64>,
}

/// All machines would be here.
async fn placements(
    State(fleet): State<Fleet>,
    body: Bytes,
) -> Result<Json<serde_json::Value>, Refusal> {
    let order: Placements = parse(&body)?;
    let count = order.count.unwrap_or(1);
    let region = &fleet.context.settings.region;
    Ok(Json(serde_json::json!({
        "regions": [{"region": region, "count": count, "concurrency": count}]
    })))
}
