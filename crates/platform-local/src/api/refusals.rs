//! Puts every refusal into the form in which clients of the API read it: JSON on known routes,
//! plain text on unknown ones, as Fly does.

use axum::{
    Json,
    body::{Body, to_bytes},
    extract::Request,
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::error::Refusal;

/// What the framework says of a request that it cannot read is shorter than this.
const WORDS_BYTES_MAX: usize = 4096;

/// A refusal of an app or address route. On Fly another service answers there, whose errors
/// say `message`; clients read either.
#[derive(Debug)]
pub(super) struct AppRefusal(Refusal);

impl From<Refusal> for AppRefusal {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for AppRefusal {
    fn into_response(self) -> Response {
        let Refusal { status, message, code } = self.0;
        let code = code.unwrap_or("unknown");
        let body = serde_json::json!({"error": message, "message": message, "status": code});
        (status, Json(body)).into_response()
    }
}

/// No such route.
pub(super) async fn unknown_route() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "404 page not found\n")
}

/// The route is there, but not with this method.
pub(super) async fn unknown_method() -> (StatusCode, &'static str) {
    (StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n")
}

/// Gives what the framework refuses by itself (a body that is too large, a path or query that is
/// no UTF-8) the body of every other refusal.
pub(super) async fn in_json(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_text =
        kind.is_none_or(|kind| kind.to_str().is_ok_and(|kind| kind.starts_with("text/plain")));
    let status = response.status();
    if !is_text || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let words = to_bytes(response.into_body(), WORDS_BYTES_MAX).await.unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    let words = if words.trim().is_empty() {
        status.canonical_reason().unwrap_or("refused").to_lowercase()
    } else {
        format!("invalid_argument: {}", words.trim())
    };
    let (parts, body) = Refusal::new(status, words).into_response().into_parts();
    Response::from_parts(parts, Body::new(body))
}
