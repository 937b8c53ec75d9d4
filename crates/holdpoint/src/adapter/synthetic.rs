//! Asks one question many times and measures the answers. Whether they were quick enough is for
//! whoever has the budget.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use reqwest::{Client, Method, Url};
use serde::Serialize;

use super::clock::Stopwatch;
use super::http_client;
use super::latency::{Figures, Latencies};

/// An answer that takes longer than this has failed, whatever the budget.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// More of an answer is a failure: it may have no end.
const ANSWER_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// Names below this one are this computer (RFC 6761), whatever a resolver says.
const LOCAL: &str = ".localhost";

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Where.
    pub url: Url,
    /// How.
    pub method: Method,
    /// The status that counts as success; without it, every one from 200 to 299.
    pub expect_status: Option<u16>,
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// How often it was asked.
    pub asked: u64,
    /// How often no answer came, or another than the expected one.
    pub failed: u64,
    /// What came instead, and how often.
    pub failures: BTreeMap<String, u64>,
    /// How long the good answers took; `None` without any.
    pub figures: Option<Figures>,
}

impl Question {
    /// Asks `samples` times, `concurrency` at once.
    ///
    /// # Errors
    /// When no client can be made; the text says why.
    pub async fn measure(&self, samples: u32, concurrency: u32) -> Result<Measured, String> {
        let mut builder = http_client::builder_for(self.url.as_str());
        if let Some(host) = self.url.host_str().filter(|host| host.ends_with(LOCAL)) {
            // the port is that of the address
            builder = builder.resolve(host, SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
        }
        let client = builder.timeout(ANSWER_LIMIT).build().map_err(http_client::described)?;
        let at_once = usize::try_from(concurrency).unwrap_or(1).max(1);
        let mut answers =
            stream::iter(0..samples).map(|_| self.ask(&client)).buffer_unordered(at_once);
        let (mut latencies, mut failures) = (Latencies::default(), BTreeMap::new());
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(took) => latencies.record(took),
                Err(failure) => *failures.entry(failure).or_insert(0) += 1,
            }
        }
        let failed = failures.values().sum();
        let asked = u64::from(samples);
        Ok(Measured { asked, failed, failures, figures: latencies.figures() })
    }

    async fn ask(&self, client: &Client) -> Result<Duration, String> {
        let watch = Stopwatch::start();
        let request = client.request(self.method.clone(), self.url.clone());
        let response = request.send().await.map_err(http_client::described)?;
        let status = response.status();
        let body = http_client::text(response, ANSWER_LIMIT_BYTES + 1).await;
        let body = body.map_err(http_client::described)?;
        let took = watch.elapsed();
        let is_expected = match self.expect_status {
            Some(expected) => status.as_u16() == expected,
            None => status.is_success(),
        };
        if !is_expected {
            return Err(format!("status {}", status.as_u16()));
        }
        if body.len() > ANSWER_LIMIT_BYTES {
            return Err("an answer that has perhaps no end".to_owned());
        }
        Ok(took)
    }
}

impl Measured {
    /// Whether every answer was the expected one and 95 % came within the budget.
    pub fn is_within(&self, budget: Duration) -> bool {
        let p95_ms = self.figures.map(|figures| figures.p95_ms);
        self.failed == 0 && p95_ms.is_some_and(|p95_ms| p95_ms <= budget.as_secs_f64() * 1000.0)
    }
}
