//! Measures the watched services: the platform's counters, turned into what happened since the
//! last look, and a health probe of each service. It judges nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use holdpoint_core::id::{AppName, Environment, ServiceName};
use holdpoint_core::observation::{Observation, Sample};
use holdpoint_core::project::TelemetrySource;
use jiff::Timestamp;
use machines_api::client::{ClientError, authorization};
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use thiserror::Error;

use super::http_client;
use super::platform::PlatformAddress;
use super::probe::Prober;
use crate::variables::Variables;

mod prometheus;
mod totals;
pub mod usage;

use prometheus::Prometheus;
use totals::Totals;

/// Telemetry that takes longer than this is too old to judge by.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A thousand machines with thirty buckets each stay far below this.
const SCRAPE_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// Where Fly serves its own Prometheus, which takes the platform's token.
const FLY_URL: &str = "https://api.fly.io/";

/// Asked of a service whose app file names no path of a health check.
const DEFAULT_HEALTH_PATH: &str = "/health";

/// What must be measured: the services of each environment, as [`holdpoint_core::view`] lists them.
pub type Watched = [(Environment, Vec<(ServiceName, AppName)>)];

/// Measures services, from one look to the next.
#[derive(Debug)]
pub struct Telemetry {
    source: Source,
    prober: Prober,
    last: Option<(Timestamp, Totals)>,
}

/// Where counters come from.
#[derive(Debug)]
enum Source {
    /// The platform's own page of metrics.
    Page(Page),
    /// A Prometheus that has them.
    Prometheus(Prometheus),
}

/// The platform's own page of metrics, in Prometheus' text format.
#[derive(Debug)]
struct Page {
    client: Client,
    url: String,
    authorization: HeaderValue,
}

/// Why nothing could be measured.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// No client could be made.
    #[error(
        "could not prepare HTTP for the platform's metrics: {message}\nhint: install the system's root certificates (Debian: `ca-certificates`)"
    )]
    Client {
        /// What the client says.
        message: String,
    },
    /// The token fits into no header.
    #[error(transparent)]
    Token(#[from] ClientError),
    /// The variable of a token is not set.
    #[error(
        "the environment variable `{name}` holds no token for `[telemetry] prometheus`\nhint: set it, or change `token_from`"
    )]
    Variable {
        /// Its name.
        name: String,
    },
    /// A Prometheus gave no metrics.
    #[error(
        "could not read metrics from Prometheus at `{url}`: {message}\nhint: check `[telemetry] prometheus`; until then no gate can pass"
    )]
    Prometheus {
        /// Where.
        url: String,
        /// What went wrong.
        message: String,
    },
    /// The platform gave no metrics.
    #[error(
        "could not read the platform's metrics at `{url}`: {message}\nhint: check that the platform runs; until then no gate can pass"
    )]
    Scrape {
        /// Where.
        url: String,
        /// What went wrong.
        message: String,
    },
}

impl Telemetry {
    /// Telemetry of the platform at this address, from its own metrics.
    pub fn new(address: &PlatformAddress, prober: Prober) -> Result<Self, TelemetryError> {
        Ok(Self { source: Source::Page(Page::of(address)?), prober, last: None })
    }

    /// Telemetry of the platform from where a project says. Tokens come from `variables`.
    pub fn of(
        source: &TelemetrySource,
        address: &PlatformAddress,
        variables: &Variables,
        prober: Prober,
    ) -> Result<Self, TelemetryError> {
        let Some(url) = &source.prometheus else {
            return Self::new(address, prober);
        };
        let header = match &source.token_from {
            Some(name) => {
                let token = variables.get(name);
                let header = token.and_then(prometheus::bearer);
                Some(header.ok_or_else(|| TelemetryError::Variable { name: name.clone() })?)
            }
            None if url.starts_with(FLY_URL) => Some(authorization(address.token())?),
            None => None,
        };
        let source = Source::Prometheus(Prometheus::new(url, header)?);
        Ok(Self { source, prober, last: None })
    }

    /// Looks once and gives what happened since the last look, one observation per environment.
    /// `now` is the time of the release's clock. The first look gives nothing: counters say
    /// something only beside earlier ones. `health_paths` are those of the apps' own files.
    pub async fn look(
        &mut self,
        now: Timestamp,
        watched: &Watched,
        health_paths: &BTreeMap<AppName, String>,
    ) -> Result<Vec<Observation>, TelemetryError> {
        let apps: BTreeSet<&AppName> =
            watched.iter().flat_map(|(_, services)| services).map(|(_, app)| app).collect();
        let probes = apps.iter().map(|app| async {
            let path = health_paths.get(*app).map_or(DEFAULT_HEALTH_PATH, String::as_str);
            ((*app).clone(), self.prober.is_healthy(app, path).await)
        });
        let (scraped, probed) = tokio::join!(self.source.totals(&apps), join_all(probes));
        let totals = scraped?;
        let healthy: BTreeMap<AppName, bool> = probed.into_iter().collect();
        let Some((from, before)) = self.last.replace((now, totals)) else {
            return Ok(Vec::new());
        };
        let Some((_, totals)) = self.last.as_ref().filter(|_| from < now) else {
            return Ok(Vec::new());
        };
        let observations = watched.iter().map(|(environment, services)| {
            let samples = services.iter().filter_map(|(service, app)| {
                let mut sample = Sample { service: service.to_string(), ..Sample::default() };
                if !totals.since(&before, app, &mut sample) {
                    return None;
                }
                match healthy.get(app) {
                    Some(true) => sample.probes_passed = 1,
                    Some(false) => sample.probes_failed = 1,
                    None => {}
                }
                Some(sample)
            });
            let samples = samples.collect();
            Observation {
                environment: *environment,
                from,
                to: now,
                samples,
                invariants: Vec::new(),
            }
        });
        Ok(observations.collect())
    }
}

impl Source {
    async fn totals(&self, apps: &BTreeSet<&AppName>) -> Result<Totals, TelemetryError> {
        match self {
            Self::Page(page) => {
                let failed = |message| TelemetryError::Scrape { url: page.url.clone(), message };
                Ok(Totals::read(&page.text().await.map_err(failed)?, apps))
            }
            Self::Prometheus(prometheus) => prometheus.totals(apps).await,
        }
    }
}

impl Page {
    fn of(address: &PlatformAddress) -> Result<Self, TelemetryError> {
        let url = address.metrics_url.clone();
        let client = http_client::for_address(&url, TIMEOUT)
            .map_err(|error| TelemetryError::Client { message: http_client::described(error) })?;
        Ok(Self { client, url, authorization: authorization(address.token())? })
    }

    /// What it says now, or why it says nothing.
    async fn text(&self) -> Result<String, String> {
        let request = self.client.get(&self.url);
        let request = request.header(AUTHORIZATION, &self.authorization);
        let response = request.send().await.map_err(http_client::described)?;
        let status = response.status();
        if !status.is_success() {
            return Err(format!("status {}", status.as_u16()));
        }
        http_client::text(response, SCRAPE_LIMIT_BYTES).await.map_err(http_client::described)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::get;

    use super::*;

    fn timestamp(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    async fn platform(metrics: Arc<Mutex<String>>) -> PlatformAddress {
        let routes = Router::new()
            .route(
                "/metrics",
                get(move || std::future::ready(metrics.lock().expect("text").clone())),
            )
            .route("/health", get(|| std::future::ready(StatusCode::SERVICE_UNAVAILABLE)))
            .route("/ok", get(|| std::future::ready(StatusCode::OK)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        PlatformAddress::local(&url, &url, "token")
    }

    #[tokio::test]
    async fn two_looks_give_what_happened_between_them() {
        let text = Arc::new(Mutex::new(String::new()));
        let address = platform(text.clone()).await;
        let prober = Prober::new(address.proxy_url.as_deref()).expect("a prober");
        let mut telemetry = Telemetry::new(&address, prober).expect("telemetry");
        let app = AppName::new("shop");
        let watched = [(Environment::Production, vec![(ServiceName::new("web"), app.clone())])];
        let mut paths = BTreeMap::new();
        let count = |count: u64| {
            format!(
                "fly_app_http_responses_count{{app=\"shop\",instance=\"1\",status=\"200\"}} {count}\n"
            )
        };
        *text.lock().expect("text") = count(10);
        let first = telemetry.look(timestamp(100), &watched, &paths).await.expect("scraped");
        assert!(first.is_empty());
        *text.lock().expect("text") = count(25);
        let second = telemetry.look(timestamp(160), &watched, &paths).await.expect("scraped");
        assert_eq!((second[0].from, second[0].to), (timestamp(100), timestamp(160)));
        let sample = &second[0].samples[0];
        assert_eq!((sample.service.as_str(), sample.requests), ("web", 15));
        assert_eq!((sample.probes_passed, sample.probes_failed), (0, 1));
        paths.insert(app, "/ok".to_owned());
        let third = telemetry.look(timestamp(220), &watched, &paths).await.expect("scraped");
        let sample = &third[0].samples[0];
        assert_eq!((sample.requests, sample.probes_passed, sample.probes_failed), (0, 1, 0));
    }

    #[tokio::test]
    async fn a_macaroon_of_fly_is_sent_as_fly_takes_it() {
        let metrics = |headers: HeaderMap| async move {
            let is_taken = headers.get(AUTHORIZATION).is_some_and(|value| value == "FlyV1 fm2_s");
            if is_taken { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
        };
        let routes = Router::new().route("/metrics", get(metrics));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let address = PlatformAddress::local(&url, &url, "fm2_s");
        let prober = Prober::new(address.proxy_url.as_deref()).expect("a prober");
        let mut telemetry = Telemetry::new(&address, prober).expect("telemetry");
        telemetry.look(timestamp(1), &[], &BTreeMap::new()).await.expect("scraped");
    }

    #[tokio::test]
    async fn a_platform_that_gives_no_metrics_gives_no_observation() {
        let address = PlatformAddress::local("http://127.0.0.1:1", "http://127.0.0.1:1", "token");
        let prober = Prober::new(address.proxy_url.as_deref()).expect("a prober");
        let mut telemetry = Telemetry::new(&address, prober).expect("telemetry");
        let error = telemetry.look(timestamp(1), &[], &BTreeMap::new()).await.expect_err("down");
        assert!(error.to_string().contains("no gate can pass"), "{error}");
    }
}
