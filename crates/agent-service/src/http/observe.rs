//! Around every request: an id, a time limit, a log line and the counters.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tracing::Instrument;

use super::error::ApiError;
use crate::{Service, clock};

const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Fly's proxy gives every request an id of its own.
const FLY_REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("fly-request-id");
const REQUEST_ID_MAX_LENGTH: usize = 80;

/// How long a request may take, its body's arrival included. The longest honest ones wait for the
/// database's lock, 5 seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Runs the request inside all that.
pub(super) async fn observe(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let began = clock::monotonic();
    let id = request_id(request.headers());
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", request_id = %id, method, route);
    let answered = tokio::time::timeout(REQUEST_TIMEOUT, next.run(request));
    let mut response = match answered.instrument(span.clone()).await {
        Ok(response) => response,
        Err(_elapsed) => too_slow().into_response(),
    };
    if let Ok(value) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    let (status, took) = (response.status().as_u16(), began.elapsed());
    service.metrics.request(method, &route, status, took);
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    // Probes ask several times a second; they would drown what people do.
    if matches!(route.as_str(), "/health" | "/ready" | "/metrics") && status < 400 {
        span.in_scope(|| tracing::debug!(status, took_us, "answered"));
    } else {
        span.in_scope(|| tracing::info!(status, took_us, "answered"));
    }
    response
}

fn too_slow() -> ApiError {
    let message =
        "the request took longer than 15 seconds\nhint: send the body faster, or try again";
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message)
}

/// The caller's id when it has one that is fit for a log line, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID_HEADER).or_else(|| headers.get(FLY_REQUEST_ID_HEADER));
    let given = given.and_then(|value| value.to_str().ok()).filter(|id| {
        (1..=REQUEST_ID_MAX_LENGTH).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    });
    given.map_or_else(|| ulid::Ulid::generate().to_string(), str::to_owned)
}

/// Methods are a label of the counters, so a caller must not be able to invent them.
fn method_name(method: &Method) -> &'static str {
    let known = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];
    let names = ["GET", "HEAD", "POST", "PUT", "DELETE"];
    let mut pairs = known.iter().zip(names);
    pairs.find(|(known, _)| *known == method).map_or("OTHER", |(_, name)| name)
}
