//! `/admin/faults`: sets, lists and removes faults. Served only by a platform that allows them.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, get},
};

use super::parse;
use crate::{error::Refusal, fleet::Fleet, proxy::Fault};

pub(super) fn routes() -> Router<Fleet> {
    Router::new()
        .route("/admin/faults", get(list).post(add))
        .route("/admin/faults/{id}", delete(remove))
}

async fn list(State(fleet): State<Fleet>) -> Json<serde_json::Value> {
    let faults: Vec<_> = fleet
        .faults()
        .list()
        .into_iter()
        .map(|(id, fault)| serde_json::json!({"id": id, "fault": fault}))
        .collect();
    Json(serde_json::json!({"faults": faults}))
}

async fn add(
    State(fleet): State<Fleet>,
    body: Bytes,
) -> Result<(StatusCode, Json<serde_json::Value>), Refusal> {
    let fault: Fault = parse(&body)?;
    let id = fleet.faults().add(fault)?;
    Ok((StatusCode::CREATED, Json(serde_json::json!({"id": id}))))
}

async fn remove(State(fleet): State<Fleet>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    if fleet.faults().remove(&id) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refusal::not_found(format!("there is no fault `{id}`")))
    }
}
