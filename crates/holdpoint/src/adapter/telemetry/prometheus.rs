//! Asks a Prometheus HTTP API for the counters that a scrape of the platform would give: raw, by
//! machine, and not as rates, so that what lies between two looks is counted exactly. It judges
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_core::id::AppName;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::totals::{METRICS, Totals};
use super::{SCRAPE_LIMIT_BYTES, TIMEOUT, TelemetryError};
use crate::adapter::http_client;
use crate::adapter::prometheus_text::Series;

/// How much of an answer that is no result is told.
const TOLD_CHARS: usize = 200;

/// A Prometheus HTTP API.
#[derive(Debug)]
pub(super) struct Prometheus {
    client: Client,
    base_url: String,
    authorization: Option<HeaderValue>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    data: Data,
    error: Option<String>,
}

#[derive(Default, Deserialize)]
struct Data {
    #[serde(default)]
    result: Vec<Found>,
}

/// A series and its newest value, with the time of it, as a text.
#[derive(Deserialize)]
struct Found {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

impl Prometheus {
    pub(super) fn new(
        base_url: &str,
        authorization: Option<HeaderValue>,
    ) -> Result<Self, TelemetryError> {
        let client = http_client::for_address(base_url, TIMEOUT)
            .map_err(|error| TelemetryError::Client { message: http_client::described(error) })?;
        let base_url = base_url.trim_end_matches('/').to_owned();
        Ok(Self { client, base_url, authorization })
    }

    /// The counters of these apps as they are now.
    pub(super) async fn totals(&self, apps: &BTreeSet<&AppName>) -> Result<Totals, TelemetryError> {
        let failed =
            |message: String| TelemetryError::Prometheus { url: self.base_url.clone(), message };
        let url = Url::parse_with_params(
            &format!("{}/api/v1/query", self.base_url),
            [("query", question(apps))],
        );
        let mut request = self.client.get(url.map_err(|error| failed(error.to_string()))?);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = request.send().await.map_err(http_client::described).map_err(failed)?;
        let status = response.status();
        let text = http_client::text(response, SCRAPE_LIMIT_BYTES).await;
        let text = text.map_err(http_client::described).map_err(failed)?;
        let answer: Result<Answer, _> = serde_json::from_str(&text);
        match answer {
            Ok(Answer { data, error: None }) if status.is_success() => {
                let mut totals = Totals::about(apps);
                data.result.iter().filter_map(Found::series).for_each(|one| totals.add(&one));
                Ok(totals)
            }
            Ok(Answer { error: Some(error), .. }) => Err(failed(error)),
            Ok(_) | Err(_) => {
                let told: String = text.trim().chars().take(TOLD_CHARS).collect();
                Err(failed(format!("status {}: {told}", status.as_u16())))
            }
        }
    }
}

impl Found {
    fn series(&self) -> Option<Series<'_>> {
        let labels = self.metric.iter().map(|(name, value)| (name.as_str(), value.clone()));
        Some(Series {
            name: self.metric.get("__name__")?,
            labels: labels.collect(),
            value: self.value.1.parse().ok()?,
        })
    }
}

/// The header for a token, as any Prometheus behind a proxy takes it.
pub(super) fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Asks for every metric of these apps at once. Names of apps that would be more than a name in a
/// question are left out; no platform has such.
fn question(apps: &BTreeSet<&AppName>) -> String {
    let is_name = |app: &&str| app.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let apps: Vec<&str> = apps.iter().map(|app| app.as_str()).filter(is_name).collect();
    format!("{{__name__=~\"{}\",app=~\"{}\"}}", METRICS.join("|"), apps.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_question_asks_for_every_metric_of_the_apps_and_of_no_others() {
        let (shop, odd) = (AppName::new("shop"), AppName::new("a\"} or up{b=\""));
        let asked = question(&BTreeSet::from([&shop, &odd]));
        assert!(asked.ends_with(",app=~\"shop\"}"), "{asked}");
        assert!(asked.contains("fly_app_http_responses_count|"), "{asked}");
    }

    #[tokio::test]
    async fn what_an_api_says_instead_of_a_result_is_told() {
        use axum::Router;
        use axum::http::StatusCode;
        use axum::routing::get;

        let refusal = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        let routes = Router::new()
            .route(
                "/a/api/v1/query",
                get(move || async move { (StatusCode::BAD_REQUEST, refusal) }),
            )
            .route("/b/api/v1/query", get(|| async { (StatusCode::UNAUTHORIZED, "who are you") }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        for (path, expected) in [("a", "parse error"), ("b", "status 401: who are you")] {
            let api = Prometheus::new(&format!("{url}/{path}/"), None).expect("a client");
            let error = api.totals(&BTreeSet::new()).await.expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
