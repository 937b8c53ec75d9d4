//! The HTTP face: routes, limits, and what is done around every request (id, log line, numbers).
//!
//! What MCP says is in `tools`; when to stop is in `shutdown`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use http_body_util::BodyExt;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::json;
use tower_http::timeout::TimeoutLayer;

use crate::clock::Stopwatch;
use crate::metrics;
use crate::service::Service;
use crate::settings::{self, Settings};
use crate::tools::Tools;

/// A tool call is a question of a few hundred bytes; a megabyte leaves room for anything honest.
const MAX_BODY_BYTES: usize = 1_000_000;
/// What is read of a larger body and thrown away before it is refused: a connection that is closed
/// with unread bytes is reset, and the client never sees why.
const MAX_DISCARDED_BYTES: usize = 10_000_000;
/// A search takes milliseconds and a refresh seconds; what takes longer is stuck.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longer ids from outside are replaced, so that nobody fills the log with them.
const MAX_REQUEST_ID_BYTES: usize = 64;
const REQUEST_ID: &str = "x-request-id";
const FLY_REQUEST_ID: &str = "fly-request-id";

/// The id of one request, in its log lines and in its answer.
#[derive(Debug, Clone)]
pub struct RequestId(String);

impl RequestId {
    /// The id of the HTTP request that an MCP request came with; empty when it came otherwise.
    pub fn of(extensions: &rmcp::model::Extensions) -> &str {
        extensions
            .get::<http::request::Parts>()
            .and_then(|parts| parts.extensions.get::<Self>())
            .map_or("", |id| id.0.as_str())
    }

    /// The caller's id when it is a decent one, else a new one.
    fn choose(headers: &HeaderMap) -> Self {
        [REQUEST_ID, FLY_REQUEST_ID]
            .iter()
            .filter_map(|name| headers.get(*name)?.to_str().ok())
            .find(|id| {
                (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
                    && id.bytes().all(|byte| byte.is_ascii_graphic())
            })
            .map_or_else(|| Self(ulid::Ulid::generate().to_string()), |id| Self(id.to_owned()))
    }
}

/// Everything that the service answers.
pub fn router(service: Arc<Service>, settings: &Settings) -> Router {
    let hosts: Arc<[String]> = settings.host_patterns().into();
    let mcp = Router::new()
        .route_service("/mcp", mcp_service(&service, settings))
        .layer(middleware::from_fn_with_state(hosts, check_host));
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(numbers))
        .merge(mcp)
        .fallback(not_found)
        .layer(middleware::from_fn(read_body))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, REQUEST_TIMEOUT))
        .layer(middleware::from_fn_with_state(Arc::clone(&service), observe))
        .with_state(service)
}

fn mcp_service(
    service: &Arc<Service>,
    settings: &Settings,
) -> StreamableHttpService<Tools, NeverSessionManager> {
    let service = Arc::clone(service);
    let config = StreamableHttpServerConfig::default()
        .with_json_response(true)
        .with_legacy_session_mode(false)
        .with_max_request_body_bytes(MAX_BODY_BYTES)
        .with_allowed_origins(settings.origins())
        // Replaced by `check_host`, which also knows `*.` patterns.
        .disable_allowed_hosts();
    StreamableHttpService::new(
        move || Ok(Tools::new(Arc::clone(&service))),
        Arc::new(NeverSessionManager::default()),
        config,
    )
}

/// Refuses names that are not the service's own: a page that rebinds its name to this address
/// must not reach it.
async fn check_host(State(hosts): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    let host = match request.headers().get(header::HOST) {
        Some(host) => host.to_str().unwrap_or_default().to_owned(),
        None => request.uri().authority().map(ToString::to_string).unwrap_or_default(),
    };
    if settings::host_is_allowed(&host, &hosts) {
        return next.run(request).await;
    }
    let message = "the `Host` header names none of this service's hosts\nhint: add the name to \
                   ALLOWED_HOSTS";
    (StatusCode::FORBIDDEN, Json(json!({ "error": message }))).into_response()
}

/// Reads the whole body, and refuses one that is too large.
async fn read_body(request: Request, next: Next) -> Response {
    let refused = |status: StatusCode, message: String| {
        (status, Json(json!({ "error": message }))).into_response()
    };
    let (parts, mut body) = request.into_parts();
    let mut kept = Vec::new();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let data = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(cause) => {
                let message = format!("the request's body could not be read: {cause}");
                return refused(StatusCode::BAD_REQUEST, message);
            }
        };
        seen += data.len();
        if seen <= MAX_BODY_BYTES {
            kept.extend_from_slice(&data);
        } else if seen > MAX_DISCARDED_BYTES {
            break;
        }
    }
    if seen > MAX_BODY_BYTES {
        let message = format!("the request's body has more than {MAX_BODY_BYTES} bytes");
        return refused(StatusCode::PAYLOAD_TOO_LARGE, message);
    }
    next.run(Request::from_parts(parts, Body::from(kept))).await
}

async fn health(State(service): State<Arc<Service>>) -> Response {
    let index = service.library.current();
    Json(json!({
        "status": "ok",
        "version": service.version,
        "articles": index.manifest().articles.len(),
        "content_hash": index.manifest().content_hash,
    }))
    .into_response()
}

async fn ready(State(service): State<Arc<Service>>) -> Response {
    if service.is_draining() {
        let body = Json(json!({ "status": "draining" }));
        return (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
    }
    Json(json!({ "status": "ready" })).into_response()
}

async fn numbers(State(service): State<Arc<Service>>) -> Response {
    let index = service.library.current();
    match service.metrics.render(index.manifest()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(cause) => {
            let body = Json(json!({ "error": format!("cannot write the metrics: {cause}") }));
            (StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
        }
    }
}

async fn not_found() -> Response {
    let message = "nothing is served here\nhint: the routes are /mcp, /health, /ready and /metrics";
    (StatusCode::NOT_FOUND, Json(json!({ "error": message }))).into_response()
}

/// Gives the request its id, counts and times it, and logs one line.
async fn observe(
    State(service): State<Arc<Service>>,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    let id = RequestId::choose(request.headers());
    // An unknown path or method would let callers invent labels without end.
    let route = request.extensions().get::<MatchedPath>().map_or("other", |path| path.as_str());
    let mut pending = Pending {
        service: &service,
        stopwatch: Stopwatch::start(),
        method: known_method(request.method()),
        route: route.to_owned(),
        id: id.0.clone(),
        status: CLIENT_CLOSED_REQUEST,
    };
    service.metrics.request_started();
    request.extensions_mut().insert(id);
    let mut response = next.run(request).await;
    pending.status = response.status().as_u16();
    if let Ok(value) = HeaderValue::from_str(&pending.id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// What proxies log when the caller went away before the answer.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// A request that is being answered; its end is recorded even when the caller goes away.
struct Pending<'a> {
    service: &'a Service,
    stopwatch: Stopwatch,
    method: &'static str,
    route: String,
    id: String,
    status: u16,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let secs = self.stopwatch.elapsed().as_secs_f64();
        self.service.metrics.request_finished(self.method, &self.route, self.status, secs);
        tracing::info!(
            request_id = self.id,
            method = self.method,
            route = self.route,
            status = self.status,
            took_ms = self.stopwatch.elapsed_ms(),
            "request"
        );
    }
}

fn known_method(method: &http::Method) -> &'static str {
    ["GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"]
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or("other")
}
