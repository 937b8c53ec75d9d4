//! Where the platform is reached. What is "the platform" (Fly, or one on this computer) is
//! decided by whoever fills this in.

use std::fmt;

/// The addresses of one platform and the token for them.
#[derive(Clone)]
pub struct PlatformAddress {
    /// The Machines API's base, without a path.
    pub api_base_url: String,
    /// The image registry's base, without a path.
    pub registry_base_url: String,
    /// Where the metrics are, in full.
    pub metrics_url: String,
    /// The base of the route that serves log lines, without a path.
    pub log_base_url: String,
    /// The proxy for all apps, where apps have no public address of their own.
    pub proxy_url: Option<String>,
    token: String,
}

impl PlatformAddress {
    /// Any platform.
    pub fn new(
        api_base_url: &str,
        registry_base_url: &str,
        metrics_url: &str,
        proxy_url: Option<&str>,
        token: &str,
    ) -> Self {
        Self {
            api_base_url: api_base_url.to_owned(),
            registry_base_url: registry_base_url.to_owned(),
            metrics_url: metrics_url.to_owned(),
            log_base_url: api_base_url.trim_end_matches('/').to_owned(),
            proxy_url: proxy_url.map(str::to_owned),
            token: token.to_owned(),
        }
    }

    /// A platform on this computer: one address for the API, the registry and the metrics.
    pub fn local(api_base_url: &str, proxy_url: &str, token: &str) -> Self {
        let base = api_base_url.trim_end_matches('/');
        Self::new(base, base, &format!("{base}/metrics"), Some(proxy_url), token)
    }

    /// No platform: nothing listens at port 0, so that every call to it fails at once.
    pub fn nowhere() -> Self {
        Self::local("http://127.0.0.1:0", "http://127.0.0.1:0", "none")
    }

    /// The same platform with its log lines at this base.
    #[must_use]
    pub fn with_logs_at(self, log_base_url: &str) -> Self {
        Self { log_base_url: log_base_url.to_owned(), ..self }
    }

    /// The token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The registry's host and port, as image references begin.
    pub fn registry_host(&self) -> &str {
        let url = &self.registry_base_url;
        url.split_once("://").map_or(url.as_str(), |(_, host)| host).trim_end_matches('/')
    }

    /// The reference under which the platform finds an image of an app.
    pub fn image_reference(&self, app: &str, digest: &str) -> String {
        format!("{}/{app}@{digest}", self.registry_host())
    }
}

impl fmt::Debug for PlatformAddress {
    /// Without the token.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PlatformAddress")
            .field("api_base_url", &self.api_base_url)
            .field("proxy_url", &self.proxy_url)
            .finish_non_exhaustive()
    }
}
