//! `…/deploy_token` and `/v1/tokens/current`: makes a token for one app, and says what the
//! caller's token is good for.

use std::time::Duration;

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use machines_api::types::{
    CreateDeployToken, CurrentTokens, DeployToken, TokenInfo, WireDuration, WireDurationError,
};

use super::{
    authorization::{Holder, deploy_token},
    parse_or_default,
    refusals::AppRefusal,
};
use crate::{clock, error::Refusal, fleet::Fleet};

/// How long a token is good that nobody set an end to (Fly's default: 20 years).
const EXPIRY_DEFAULT: Duration = Duration::from_hours(20 * 365 * 24);

/// The organization and the user of everybody on this computer.
const ORGANIZATION: &str = "personal";
const USER: &str = "local";

pub(super) fn routes() -> Router<Fleet> {
    Router::new()
        .route("/v1/apps/{app}/deploy_token", post(create))
        .route("/v1/tokens/current", get(current))
}

async fn create(
    State(fleet): State<Fleet>,
    Path(app): Path<String>,
    Extension(holder): Extension<Holder>,
    body: Bytes,
) -> Result<Json<DeployToken>, AppRefusal> {
    if holder != Holder::Platform {
        // It could outlive its own end so.
        let text = "forbidden: a deploy token makes no other token\nhint: use the platform's token";
        return Err(Refusal::new(StatusCode::FORBIDDEN, text).into());
    }
    let order: CreateDeployToken = parse_or_default(&body)?;
    let expiry = match order.expiry.as_str() {
        "" => EXPIRY_DEFAULT,
        text => {
            let refused = |error: WireDurationError| Refusal::bad_request(error.to_string());
            text.parse::<WireDuration>().map_err(refused)?.0
        }
    };
    let expires_at = clock::now().checked_add(expiry.min(EXPIRY_DEFAULT));
    let expires_at = expires_at.map_err(|error| Refusal::bad_request(error.to_string()))?;
    Ok(Json(DeployToken { token: deploy_token(&fleet, &app, expires_at)? }))
}

async fn current(Extension(holder): Extension<Holder>) -> Json<CurrentTokens> {
    let (token_id, apps, user) = match holder {
        Holder::Platform => ("platform".to_owned(), "*".to_owned(), USER.to_owned()),
        Holder::App(app) => (format!("deploy-{app}"), app, String::new()),
    };
    let token = TokenInfo {
        token_id,
        organization: ORGANIZATION.to_owned(),
        org_slug: ORGANIZATION.to_owned(),
        apps: vec![apps],
        user,
    };
    Json(CurrentTokens { tokens: vec![token] })
}
