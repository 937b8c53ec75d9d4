//! Reaches services from outside, through the platform's public address, and asks them for their
//! health. It repeats nothing and judges nothing beyond one answer.

use std::time::Duration;

use holdpoint_core::id::AppName;
use reqwest::header::HOST;
use reqwest::{Client, Method, RequestBuilder, Url};
use thiserror::Error;

use super::http_client;

/// How long a health probe may take: as long as the platform's own checks usually may.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

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

    /// The app's address for programs of other people, which know it by its name.
    pub fn url(&self, app: &AppName) -> String {
        let Address { base_url, host_header } = self.address(app);
        let Some(host) = host_header else { return base_url };
        let named = Url::parse(&base_url).ok().and_then(|mut url| {
            url.set_host(Some(&host)).ok()?;
            Some(url.as_str().trim_end_matches('/').to_owned())
        });
        named.unwrap_or(base_url)
    }

    /// Whether the app answers a question for its health with success.
    pub async fn is_healthy(&self, app: &AppName, path: &str) -> bool {
        let request = self.request(Method::GET, app, path).timeout(HEALTH_TIMEOUT);
        request.send().await.is_ok_and(|response| response.status().is_success())
    }

    /// A question to the app.
    pub(crate) fn request(&self, method: Method, app: &AppName, path: &str) -> RequestBuilder {
        let Address { base_url, host_header } = self.address(app);
        let request = self.client.request(method, format!("{base_url}{path}"));
        match host_header {
            Some(host) => request.header(HOST, host),
            None => request,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;

    use super::*;

    async fn prober() -> Prober {
        let routes = Router::new().route("/health", get(|| std::future::ready(StatusCode::OK)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("address");
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Prober::new(Some(&format!("http://{address}/"))).expect("a prober")
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
        assert_eq!(prober.url(&AppName::new("shop")), "https://shop.fly.dev");
        let local = Prober::new(Some("http://127.0.0.1:4281/")).expect("a prober");
        assert_eq!(local.url(&AppName::new("shop")), "http://shop.localhost:4281");
    }
}
