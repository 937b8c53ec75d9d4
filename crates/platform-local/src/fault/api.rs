//! Which calls of the platform's API a fault strikes, and how.

use std::{fmt, str::FromStr, time::Duration};

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    Faults,
    kind::{Kind, Place, delay},
    scope::Scope,
};

/// A method, if one is named, and a path in which `*` stands for one segment and `**` at its end
/// for any.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct RoutePattern {
    method: Option<Method>,
    path: String,
}

/// What befalls a call.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ApiStrike {
    pub(crate) delay: Duration,
    pub(crate) refusal: Option<(StatusCode, String)>,
    pub(crate) answer_is_lost: bool,
}

impl RoutePattern {
    fn matches(&self, method: &Method, path: &str) -> bool {
        if self.method.as_ref().is_some_and(|wanted| wanted != method) {
            return false;
        }
        let mut segments = path.trim_matches('/').split('/');
        for wanted in self.path.trim_matches('/').split('/') {
            match (wanted, segments.next()) {
                ("**", _) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(segment)) if wanted == segment => {}
                (_, Some(_) | None) => return false,
            }
        }
        segments.next().is_none()
    }
}

impl FromStr for RoutePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "`{text}` is no route\nhint: name a path, such as `/v1/apps/*/machines`, and \
                 before it a method, such as `POST`, if only that shall be struck"
            )
        };
        let (method, path) = match text.trim().split_once(' ') {
            Some((method, path)) => {
                let is_plain = method.chars().all(|one| one.is_ascii_uppercase());
                let method = Method::from_bytes(method.as_bytes()).ok().filter(|_| is_plain);
                (Some(method.ok_or_else(refused)?), path.trim())
            }
            None => (None, text.trim()),
        };
        let inner_any = path.trim_end_matches("**").contains("**");
        if !path.starts_with('/') || path.contains(char::is_whitespace) || inner_any {
            return Err(refused());
        }
        Ok(Self { method, path: path.to_owned() })
    }
}

impl TryFrom<String> for RoutePattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<RoutePattern> for String {
    fn from(pattern: RoutePattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for RoutePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.method {
            Some(method) => write!(formatter, "{method} {}", self.path),
            None => formatter.write_str(&self.path),
        }
    }
}

impl Faults {
    /// What befalls this call, if anything.
    pub(crate) fn strike_call(&self, method: &Method, path: &str) -> Option<ApiStrike> {
        let mut strike = ApiStrike::default();
        for fault in self.at(Place::Api)?.iter() {
            let (Kind::ApiError { routes, .. }
            | Kind::ApiLost { routes }
            | Kind::ApiSlow { routes, .. }) = &fault.order.kind
            else {
                continue;
            };
            let on_route = routes.is_empty() || routes.iter().any(|one| one.matches(method, path));
            if !on_route || !includes(&fault.order.scope, path) || !fault.strike() {
                continue;
            }
            tracing::info!(fault = fault.id, %method, path, "a call is struck by a fault");
            if let Kind::ApiError { status, message, .. } = &fault.order.kind {
                let status = StatusCode::from_u16(*status).unwrap_or_default();
                let message = message.clone().unwrap_or_else(|| default_message(status));
                strike.refusal = Some((status, message));
            } else if let Kind::ApiSlow { ms, .. } = &fault.order.kind {
                strike.delay += delay(*ms);
            } else {
                strike.answer_is_lost = true;
            }
        }
        (strike != ApiStrike::default()).then_some(strike)
    }
}

/// Whether a path is about the app and the machine that a fault is limited to.
fn includes(scope: &Scope, path: &str) -> bool {
    let mut segments = path.trim_matches('/').split('/');
    let mut after = |name: &str| segments.by_ref().skip_while(|one| *one != name).nth(1);
    let (app, machine) = (after("apps"), after("machines"));
    let fits = |wanted: &Option<String>, is: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| is == Some(wanted))
    };
    fits(&scope.app, app) && fits(&scope.machine, machine)
}

fn default_message(status: StatusCode) -> String {
    match status {
        StatusCode::TOO_MANY_REQUESTS => "rate limit exceeded".to_owned(),
        other => format!("{other}: refused on purpose by a fault"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, method: &Method, path: &str) -> bool {
        pattern.parse::<RoutePattern>().expect("a pattern").matches(method, path)
    }

    #[test]
    fn a_pattern_names_a_method_and_segments() {
        let stop = "POST /v1/apps/*/machines/*/stop";
        assert!(matches(stop, &Method::POST, "/v1/apps/shop/machines/m1/stop"));
        assert!(!matches(stop, &Method::GET, "/v1/apps/shop/machines/m1/stop"));
        assert!(!matches(stop, &Method::POST, "/v1/apps/shop/machines/m1"));
        assert!(!matches(stop, &Method::POST, "/v1/apps/shop/machines/m1/stop/more"));
        assert!(matches("/v1/apps/**", &Method::GET, "/v1/apps/shop/machines"));
        assert!(!matches("/v1/apps/**", &Method::GET, "/v2/apps"));
        for bad in ["", "v1", "POST", "post /v1", "/a/**/b", "GET /a b"] {
            assert!(bad.parse::<RoutePattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_call_is_about_the_app_and_the_machine_of_its_path() {
        let scope = |app: Option<&str>, machine: Option<&str>| Scope {
            app: app.map(str::to_owned),
            machine: machine.map(str::to_owned),
            ..Scope::default()
        };
        let path = "/v1/apps/shop/machines/m1/stop";
        assert!(includes(&scope(Some("shop"), Some("m1")), path));
        assert!(!includes(&scope(Some("shop"), Some("m2")), path));
        assert!(!includes(&scope(Some("web"), None), path));
        assert!(!includes(&scope(Some("shop"), None), "/v1/apps"));
        assert!(includes(&scope(None, None), "/v1/apps"));
    }
}
