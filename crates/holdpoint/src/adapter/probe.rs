//! Asks services questions from outside, through the platform's public address: smoke checks with
//! an expected answer, and health. It repeats nothing and judges nothing beyond one answer.

use std::time::Duration;

use holdpoint_core::effect::CheckResult;
use holdpoint_core::id::AppName;
use holdpoint_core::project::SmokeCheck;
use reqwest::header::HOST;
use reqwest::{Client, Method};
use thiserror::Error;

use super::clock::Stopwatch;
use super::http_client;

/// How long a health probe may take: as long as the platform's own checks usually may.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer is looked through up to here.
const ANSWER_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// How much of a wrong answer is quoted.
const QUOTED_CHARACTERS: usize = 200;

/// The longest time for which a client is made; each question has its own limit below it.
const LONGEST: Duration = Duration::from_mins(10);

/// Where an app is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Scheme, host and port.
    pub base_url: String,
    /// The `Host` to ask for, where the address is that of a proxy for all apps.
    pub host_header: Option<String>,
}

/// Why no questions can be asked.
#[derive(Debug, Error)]
#[error(
    "could not prepare HTTP for probes: {message}\nhint: install the system's root certificates (Debian: `ca-certificates`)"
)]
pub struct ProberError {
    /// What the client says.
    pub message: String,
}

/// Asks services questions.
#[derive(Clone, Debug)]
pub struct Prober {
    client: Client,
    /// The address of a local platform's proxy; without it apps are reached at `fly.dev`.
    proxy_url: Option<String>,
}

impl Prober {
    /// A prober that reaches apps at their public addresses, or all through one proxy.
    pub fn new(proxy_url: Option<&str>) -> Result<Self, ProberError> {
        let client = http_client::for_address(proxy_url.unwrap_or("https:"), LONGEST)
            .map_err(|error| ProberError { message: http_client::described(error) })?;
        Ok(Self { client, proxy_url: proxy_url.map(|url| url.trim_end_matches('/').to_owned()) })
    }

    /// Where an app is reached.
    pub fn address(&self, app: &AppName) -> Address {
        match &self.proxy_url {
            Some(url) => {
                Address { base_url: url.clone(), host_header: Some(format!("{app}.localhost")) }
            }
            None => Address { base_url: format!("https://{app}.fly.dev"), host_header: None },
        }
    }

    /// Asks the smoke checks, one after the other: a later one may rest on an earlier one.
    pub async fn smoke(&self, app: &AppName, checks: &[SmokeCheck]) -> Vec<CheckResult> {
        let mut results = Vec::new();
        for check in checks {
            let watch = Stopwatch::start();
            let asked =
                tokio::time::timeout(Duration::from_millis(check.within_ms), self.ask(app, check));
            let answer = asked.await.unwrap_or_else(|_elapsed| {
                Err(format!("no whole answer within {} ms", check.within_ms))
            });
            let question = format!("{} {}", check.method, check.path);
            let (passed, found) = match answer {
                Ok(found) => (true, found),
                Err(found) => (false, found),
            };
            results.push(CheckResult {
                name: check.name.clone(),
                passed,
                detail: format!("{question} of `{app}`: {found}"),
                hint: (!passed).then(|| {
                    format!("ask `{app}` the same by hand, and read the logs of its machines")
                }),
                took_ms: watch.elapsed_ms(),
            });
        }
        results
    }

    /// Whether the app answers a question for its health with success.
    pub async fn is_healthy(&self, app: &AppName, path: &str) -> bool {
        let request = self.request(Method::GET, app, path).timeout(HEALTH_TIMEOUT);
        request.send().await.is_ok_and(|response| response.status().is_success())
    }

    async fn ask(&self, app: &AppName, check: &SmokeCheck) -> Result<String, String> {
        let method = Method::from_bytes(check.method.as_bytes())
            .map_err(|_invalid| format!("`{}` is no HTTP method", check.method))?;
        let mut request = self.request(method, app, &check.path);
        for (name, value) in &check.headers {
            request = request.header(name, value);
        }
        if let Some(body) = &check.body {
            request = request.body(body.clone());
        }
        let response = request.send().await.map_err(http_client::described)?;
        let status = response.status().as_u16();
        let body = http_client::text(response, ANSWER_LIMIT_BYTES);
        let body = body.await.map_err(http_client::described)?;
        if status != check.expect_status {
            let wanted = check.expect_status;
            return Err(format!("status {status}, not {wanted}: {}", quoted(&body)));
        }
        match &check.expect_body_contains {
            Some(text) if !body.contains(text.as_str()) => {
                Err(format!("status {status}, but no `{text}` in the answer: {}", quoted(&body)))
            }
            Some(text) => Ok(format!("status {status} with `{text}` in the answer")),
            None => Ok(format!("status {status}")),
        }
    }

    fn request(&self, method: Method, app: &AppName, path: &str) -> reqwest::RequestBuilder {
        let Address { base_url, host_header } = self.address(app);
        let request = self.client.request(method, format!("{base_url}{path}"));
        match host_header {
            Some(host) => request.header(HOST, host),
            None => request,
        }
    }
}

fn quoted(body: &str) -> String {
    let start: String = body.trim().chars().take(QUOTED_CHARACTERS).collect();
    if start.is_empty() { "an empty answer".to_owned() } else { start }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::{get, post};

    use super::*;

    async fn answer(headers: HeaderMap, body: String) -> (StatusCode, String) {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        (StatusCode::CREATED, format!("{host} took {body}"))
    }

    async fn prober() -> Prober {
        let routes = Router::new()
            .route("/orders", post(answer))
            .route("/slow", get(std::future::pending::<StatusCode>))
            .route("/health", get(|| std::future::ready(StatusCode::OK)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("address");
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Prober::new(Some(&format!("http://{address}/"))).expect("a prober")
    }

    fn check(method: &str, path: &str, contains: &str) -> SmokeCheck {
        SmokeCheck {
            name: path.to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            headers: BTreeMap::new(),
            body: Some("an order".to_owned()),
            expect_status: 201,
            expect_body_contains: Some(contains.to_owned()),
            within_ms: 30_000,
        }
    }

    #[tokio::test]
    async fn a_smoke_check_asks_the_app_and_looks_at_the_answer() {
        let app = AppName::new("shop");
        let mut slow = check("GET", "/slow", "");
        slow.within_ms = 100;
        let checks = [
            check("POST", "/orders", "shop.localhost took an order"),
            check("POST", "/orders", "refused"),
            check("POST", "/nowhere", ""),
            slow,
        ];
        let results = prober().await.smoke(&app, &checks).await;
        let passed: Vec<bool> = results.iter().map(|result| result.passed).collect();
        assert_eq!(passed, [true, false, false, false]);
        assert!(results[1].detail.contains("no `refused` in the answer"), "{:?}", results[1]);
        assert!(results[2].detail.contains("status 404, not 201"), "{:?}", results[2]);
        assert!(results[3].detail.contains("no whole answer within 100 ms"), "{:?}", results[3]);
        assert!(results[3].hint.is_some());
    }

    #[tokio::test]
    async fn health_is_a_successful_answer() {
        let prober = prober().await;
        assert!(prober.is_healthy(&AppName::new("shop"), "/health").await);
        assert!(!prober.is_healthy(&AppName::new("shop"), "/nowhere").await);
    }

    #[test]
    fn without_a_proxy_an_app_is_reached_at_its_own_address() {
        let prober = Prober::new(None).expect("a prober");
        assert_eq!(prober.address(&AppName::new("shop")).base_url, "https://shop.fly.dev");
    }
}
