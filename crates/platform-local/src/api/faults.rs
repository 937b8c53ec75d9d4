//! `/admin/faults`: sets, lists and removes faults, and lets those strike that are about the API
//! itself. Served only by a platform that allows them.

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
    routing::{delete, get},
};
use serde_json::{Value, json};

use super::uninterrupted;
use crate::{
    clock,
    error::Refusal,
    fault::{BreakingBody, Order},
    fleet::Fleet,
};

/// The faults' own routes, which no fault strikes: the way out stays open.
const ADMIN: &str = "/admin/";

pub(super) fn routes() -> Router<Fleet> {
    Router::new()
        .route("/admin/faults", get(list).post(add).delete(remove_all))
        .route("/admin/faults/{id}", delete(remove))
}

/// Lets the faults strike that this call is meant for.
pub(super) async fn strike(State(fleet): State<Fleet>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let struck = (!path.starts_with(ADMIN) && path != "/metrics")
        .then(|| fleet.faults().strike_call(request.method(), path))
        .flatten();
    let Some(strike) = struck else { return next.run(request).await };
    if !strike.delay.is_zero() {
        clock::pause(strike.delay).await;
    }
    let answer = match strike.refusal {
        Some((status, message)) => Refusal::new(status, message).into_response(),
        None => next.run(request).await,
    };
    if strike.answer_is_lost {
        return answer.map(|body| Body::new(BreakingBody::at_once(body)));
    }
    answer
}

async fn list(State(fleet): State<Fleet>) -> Json<Value> {
    Json(json!({"faults": fleet.faults().list()}))
}

async fn add(
    State(fleet): State<Fleet>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let order = Order::read(&body)?;
    let set = uninterrupted(async move { fleet.faults().add(order).await }).await?;
    Ok((StatusCode::CREATED, Json(set)))
}

async fn remove(State(fleet): State<Fleet>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    let asked = id.clone();
    let removed = uninterrupted(async move { Ok(fleet.faults().remove(&asked).await?) }).await?;
    if removed {
        Ok(StatusCode::NO_CONTENT)
    } else {
        let text = format!("there is no fault `{id}`\nhint: `GET /admin/faults` lists all");
        Err(Refusal::not_found(text))
    }
}

async fn remove_all(State(fleet): State<Fleet>) -> Result<Json<Value>, Refusal> {
    let removed = uninterrupted(async move { Ok(fleet.faults().remove_all().await?) }).await?;
    Ok(Json(json!({"removed": removed})))
}
