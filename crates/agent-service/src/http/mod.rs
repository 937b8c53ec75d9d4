//! The service's HTTP side: routes, limits, who may call, health and metrics.

mod approvals;
mod error;
mod observe;
mod webhook;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use crate::{Service, clock};
use error::ApiError;

/// A webhook carries the whole conversation's head; Chatwoot's own messages end at 150,000
/// characters.
const WEBHOOK_MAX_BYTES: usize = 1024 * 1024;
/// A decision carries at most one reply.
const DECISION_MAX_BYTES: usize = 256 * 1024;

/// Every route.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let approvals = Router::new()
        .route("/approvals", get(approvals::list))
        .route("/approvals/{id}", get(approvals::read))
        .route("/approvals/{id}/audit", get(approvals::audit))
        .route("/approvals/{id}/approve", post(approvals::approve))
        .route("/approvals/{id}/edit", post(approvals::edit))
        .route("/approvals/{id}/reject", post(approvals::reject))
        .route("/sent", get(approvals::sent))
        .layer(DefaultBodyLimit::max(DECISION_MAX_BYTES))
        .layer(middleware::from_fn_with_state(service.clone(), authorize));
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route(
            "/webhooks/chatwoot",
            post(webhook::take).layer(DefaultBodyLimit::max(WEBHOOK_MAX_BYTES)),
        )
        .merge(approvals)
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(service.clone(), observe::observe))
        .with_state(service)
}

async fn unknown_route(request: Request) -> ApiError {
    let path: String = request.uri().path().chars().take(120).collect();
    ApiError::not_found(format!("there is nothing at `{path}`"))
}

async fn wrong_method(request: Request) -> ApiError {
    let path: String = request.uri().path().chars().take(120).collect();
    let message = format!("`{path}` doesn't take {}", request.method());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

/// The process is alive.
async fn health(State(service): State<Arc<Service>>) -> Json<Value> {
    Json(json!({
        "status": "ok", "service": "agent-service", "version": service.settings.service_version,
        "drafts_by": if service.settings.chat.is_some() { "chat" } else { "extractive" },
        "replies_by": service.channel(),
    }))
}

/// The process can take work. The knowledge server isn't asked: while it is away, messages wait.
async fn ready(State(service): State<Arc<Service>>) -> Result<Json<Value>, ApiError> {
    if service.stopping.is_cancelled() {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Err(ApiError::new(status, "stopping", "the service is stopping"));
    }
    service.storage.check().await?;
    Ok(Json(json!({ "status": "ready" })))
}

async fn metrics(
    State(service): State<Arc<Service>>,
) -> Result<([(HeaderName, HeaderValue); 1], String), ApiError> {
    let counts = match service.storage.counts().await {
        Ok(counts) => Some(counts),
        Err(error) => {
            tracing::error!(error = %error, "can't count the rows");
            None
        }
    };
    let text = service.metrics.text(counts.as_ref(), clock::now_ms()).map_err(|error| {
        let message = format!("can't write the metrics: {error}");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "metrics", message)
    })?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(content_type))], text))
}

/// Lets a request through when no token is asked for, or when it brings the right one.
async fn authorize(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Some(expected) = &service.settings.api_token else {
        return Ok(next.run(request).await);
    };
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split_once(' '));
    let right = given.is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("bearer")
            && bool::from(token.trim().as_bytes().ct_eq(expected.expose_secret().trim().as_bytes()))
    });
    if right {
        return Ok(next.run(request).await);
    }
    let message = "the approvals need a token\nhint: send `Authorization: Bearer <API_TOKEN>`";
    let refusal = ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message);
    Err(refusal.with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
}
