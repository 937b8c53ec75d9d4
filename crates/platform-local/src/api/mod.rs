//! The HTTP API: Fly's Machines API under `/v1`, what else Fly's client asks for under `/api/v1`
//! and `/graphql`, an image registry under `/v2`, Prometheus text at `/metrics`, and, if allowed,
//! faults under `/admin`. It reads requests, asks the fleet, and writes answers; it decides nothing.

mod account;
mod addresses;
mod apps;
mod authorization;
mod builds;
mod faults;
mod graphql;
mod inside;
mod leases;
mod linger;
mod logs;
mod machines;
mod metadata;
mod metrics;
mod organizations;
mod overviews;
mod rate_limits;
mod refusals;
mod regions;
mod releases;
mod secrets;
mod serve;
mod tokens;
mod volumes;
mod wait;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::Response,
    routing::any,
};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use authorization::{Guard, authorize};
use rate_limits::RateLimits;
pub(crate) use serve::serve;

use crate::{error::Refusal, fleet::Fleet, identity, registry};

/// The largest JSON body that is read.
const JSON_BYTES_MAX: usize = 1 << 20;

/// The header that names the lease under which a change is made.
const NONCE: &str = "fly-machine-lease-nonce";

/// The pairs of a query, in their order; a name may stand there more than once.
type Pairs = Vec<(String, String)>;

/// All routes.
pub(crate) fn router(fleet: Fleet) -> Router {
    let settings = fleet.settings();
    let mut guarded = Router::new()
        .merge(addresses::routes())
        .merge(apps::routes())
        .merge(inside::routes())
        .merge(leases::routes())
        .merge(machines::routes())
        .merge(metadata::routes())
        .merge(overviews::routes())
        .merge(regions::routes())
        .merge(secrets::routes())
        .merge(tokens::routes())
        .merge(volumes::routes())
        .merge(wait::routes())
        .merge(builds::routes())
        .merge(logs::routes())
        .merge(organizations::routes())
        .merge(releases::routes())
        .route("/api/v1/{*rest}", any(unavailable));
    if settings.rate_limits {
        let limit = middleware::from_fn_with_state(RateLimits::new(), rate_limits::limit);
        guarded = guarded.route_layer(limit);
    }
    if settings.allow_faults {
        guarded = guarded.merge(faults::routes());
    }
    let token = Token(Sha256::digest(settings.token.as_bytes()).into());
    let guard = Guard::new(token, fleet.clone());
    let guarded = guarded
        .layer(DefaultBodyLimit::max(JSON_BYTES_MAX))
        .route_layer(middleware::from_fn_with_state(guard, authorize))
        .route_layer(middleware::from_fn(refusals::in_json));
    let mut images = registry::routes();
    if !settings.api_listen.ip().is_loopback() {
        // Whoever can reach a loopback address can read the images' files too.
        images = images.route_layer(middleware::from_fn_with_state(token, authorize_images));
    }
    let graphql = graphql::routes(token).layer(DefaultBodyLimit::max(JSON_BYTES_MAX));
    let routes = Router::new()
        .merge(guarded)
        .merge(graphql)
        .merge(regions::open_routes())
        .merge(images)
        .merge(metrics::routes())
        .fallback(refusals::unknown_route)
        .method_not_allowed_fallback(refusals::unknown_method)
        .with_state(fleet.clone())
        .layer(middleware::from_fn(name_request));
    if !settings.allow_faults {
        return routes;
    }
    routes.layer(middleware::from_fn_with_state(fleet, faults::strike))
}

/// The digest of the token that clients must send: comparing digests takes the same time for
/// every wrong token.
#[derive(Debug, Clone, Copy)]
struct Token([u8; 32]);

/// Clients of a registry send nothing before they have been asked how.
async fn authorize_images(State(token): State<Token>, request: Request, next: Next) -> Response {
    if is_authorized(token, request.headers()) {
        return next.run(request).await;
    }
    registry::unauthorized()
}

/// Whether the request has the token: as Fly's client sends it, as everybody else does, or as a
/// client of the registry does, with any user's name.
fn is_authorized(token: Token, headers: &HeaderMap) -> bool {
    let Some((scheme, given)) = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
    else {
        return false;
    };
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    let given = if is("bearer") || is("flyv1") {
        Some(given.trim().to_owned())
    } else if is("basic") {
        let decoded = BASE64_STANDARD.decode(given.trim()).unwrap_or_default();
        let decoded = String::from_utf8(decoded).unwrap_or_default();
        decoded.split_once(':').map(|(_, password)| password.to_owned())
    } else {
        None
    };
    given.is_some_and(|given| <[u8; 32]>::from(Sha256::digest(given.as_bytes())) == token.0)
}

/// Routes of Fly's own API that are not here.
async fn unavailable(request: Request) -> Refusal {
    Refusal::not_found(format!(
        "`{}` is not available on this platform, which runs on one computer",
        request.uri().path()
    ))
}

/// Gives every answer an id, by which clients report problems.
async fn name_request(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Ok(id) = HeaderValue::from_str(&identity::version()) {
        response.headers_mut().insert("fly-request-id", id);
    }
    response
}

/// Reads a JSON body; the content type is not looked at, as clients differ.
fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    // Read as objects, lists would do as well, their entries in the place of the names.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::bad_request("invalid_argument: the body is no JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| {
        Refusal::bad_request(format!("invalid_argument: the body cannot be read: {error}"))
    })
}

/// Reads a JSON body that may be left out.
fn parse_or_default<T: DeserializeOwned + Default>(body: &Bytes) -> Result<T, Refusal> {
    if body.is_empty() { Ok(T::default()) } else { parse(body) }
}

fn nonce(headers: &HeaderMap) -> Option<&str> {
    headers.get(NONCE)?.to_str().ok().filter(|nonce| !nonce.is_empty())
}

fn value<'a>(pairs: &'a Pairs, name: &str) -> Option<&'a str> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Read as Go reads a truth value.
fn flag(pairs: &Pairs, name: &str) -> bool {
    matches!(value(pairs, name), Some("true" | "TRUE" | "True" | "t" | "T" | "1"))
}

/// Whether a list was asked for things in this state: a comma list, or no word about it.
fn has_state(pairs: &Pairs, state: &str) -> bool {
    value(pairs, "state")
        .filter(|wanted| !wanted.is_empty())
        .is_none_or(|wanted| wanted.split(',').any(|wanted| wanted.trim() == state))
}

/// Runs a change in a task of its own, so that a client that hangs up cannot stop it half-way.
async fn uninterrupted<T: Send + 'static>(
    change: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::spawn(change).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a change broke off");
        Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the change broke off"))
    })
}
