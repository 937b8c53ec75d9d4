//! Who may call: holders of the platform's token everything, holders of a deploy token what
//! belongs to one app.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::Token;
use crate::{clock, error::Refusal, fleet::Fleet};

/// How a deploy token begins: no macaroon, which clients would take apart.
const DEPLOY_TOKEN: &str = "deploy_";

/// More tokens in one header are not looked at.
const TOKENS_MAX: usize = 8;

/// Whose token a request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holder {
    /// The platform's own token.
    Platform,
    /// A deploy token of this app.
    App(String),
}

/// Knows tokens.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    token: Token,
    fleet: Fleet,
}

impl Guard {
    pub(super) fn new(token: Token, fleet: Fleet) -> Self {
        Self { token, fleet }
    }

    /// Whose token it is, if any of those in the header is known.
    fn holder(&self, headers: &HeaderMap) -> Option<Holder> {
        let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, tokens) = text.split_once(' ')?;
        // Fly's own client says `FlyV1` with tokens of its newer kind, of which there are several.
        if !scheme.eq_ignore_ascii_case("bearer") && !scheme.eq_ignore_ascii_case("flyv1") {
            return None;
        }
        tokens.split(',').take(TOKENS_MAX).find_map(|token| self.holder_of(token.trim()))
    }

    fn holder_of(&self, token: &str) -> Option<Holder> {
        if <[u8; 32]>::from(Sha256::digest(token.as_bytes())) == self.token.0 {
            return Some(Holder::Platform);
        }
        let (expires_at, rest) = token.strip_prefix(DEPLOY_TOKEN)?.split_once('_')?;
        let (app, proof) = rest.split_once('_')?;
        let expires_at: i64 = expires_at.parse().ok()?;
        let proof = hex::decode(proof).ok()?;
        let is_real = proof_of(&self.fleet, app, expires_at)?.verify_slice(&proof).is_ok();
        (is_real && clock::now().as_second() < expires_at).then(|| Holder::App(app.to_owned()))
    }
}

/// A token that may do everything with this app but make tokens, and nothing else, until it
/// expires.
pub(super) fn deploy_token(
    fleet: &Fleet,
    app: &str,
    expires_at: Timestamp,
) -> Result<String, Refusal> {
    let expires_at = expires_at.as_second();
    fleet.app(app)?;
    let proof = proof_of(fleet, app, expires_at).map(|proof| proof.finalize().into_bytes());
    let digits = proof.map(hex::encode).unwrap_or_default();
    Ok(format!("{DEPLOY_TOKEN}{expires_at}_{app}_{digits}"))
}

/// What only a holder of the platform's token can make. It names the app by its id as well, so
/// that a later app of the same name is another one.
fn proof_of(fleet: &Fleet, app: &str, expires_at: i64) -> Option<Hmac<Sha256>> {
    let id = fleet.app(app).ok()?.id;
    let mut proof = Hmac::new_from_slice(fleet.context.settings.token.as_bytes()).ok()?;
    proof.update(format!("deploy token of {app} {id} until {expires_at}").as_bytes());
    Some(proof)
}

/// Lets only known tokens pass, each to what it is for.
pub(super) async fn authorize(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(holder) = guard.holder(request.headers()) else {
        let text = "unauthorized: the token is missing or wrong\nhint: send `Authorization: Bearer TOKEN` with the platform's token";
        return Refusal::new(StatusCode::UNAUTHORIZED, text).into_response();
    };
    if let Holder::App(app) = &holder
        && !belongs_to(app, request.uri().path())
    {
        let text = format!("forbidden: the token is a deploy token of app `{app}`");
        return Refusal::new(StatusCode::FORBIDDEN, text).into_response();
    }
    request.extensions_mut().insert(holder);
    next.run(request).await
}

/// Whether a path is one that the holder of an app's deploy token may call.
fn belongs_to(app: &str, path: &str) -> bool {
    let of_app = path.strip_prefix("/v1/apps/").and_then(|rest| rest.strip_prefix(app));
    of_app.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        || path == "/v1/tokens/current"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deploy_token_is_good_for_its_app_alone() {
        for path in ["/v1/apps/shop", "/v1/apps/shop/machines", "/v1/tokens/current"] {
            assert!(belongs_to("shop", path), "{path}");
        }
        for path in ["/v1/apps", "/v1/apps/shop2/machines", "/v1/orgs/personal/machines", "/admin"]
        {
            assert!(!belongs_to("shop", path), "{path}");
        }
    }
}
