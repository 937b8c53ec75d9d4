//! Counts requests and tool calls, and times them, in Prometheus' text format.
//!
//! It holds numbers only; the words of questions are in `telemetry`.

use std::fmt;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::index::Manifest;

/// Upper bounds in seconds: fine where answers lie (1 to 50 ms), and with the bounds of alarms
/// (250 ms, 500 ms, 1 s) among them, so that a percentile near one is not interpolated across it.
#[rustfmt::skip]
const BUCKETS_SECS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15,
    0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0,
];

/// Content type of [`Metrics::render`], as scrapers ask for it.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every number that the service exposes.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_duration: Family<RouteLabels, Histogram, fn() -> Histogram>,
    requests_in_flight: Gauge,
    tool_calls: Family<ToolCallLabels, Counter>,
    tool_duration: Family<ToolLabels, Histogram, fn() -> Histogram>,
    abstentions: Counter,
    index_articles: Gauge,
    index_passages: Gauge,
    index_built: Gauge,
    resident_memory: Gauge<f64, AtomicU64>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ToolCallLabels {
    tool: String,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ToolLabels {
    tool: String,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS_SECS.iter().copied())
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            request_duration: Family::new_with_constructor(histogram),
            requests_in_flight: Gauge::default(),
            tool_calls: Family::default(),
            tool_duration: Family::new_with_constructor(histogram),
            abstentions: Counter::default(),
            index_articles: Gauge::default(),
            index_passages: Gauge::default(),
            index_built: Gauge::default(),
            resident_memory: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// A request has arrived. Pair with [`Self::request_finished`].
    pub fn request_started(&self) {
        self.requests_in_flight.inc();
    }

    /// A request was answered, or its client went away.
    pub fn request_finished(&self, method: &str, route: &str, status: u16, duration_secs: f64) {
        let (method, route) = (method.to_owned(), route.to_owned());
        let labels = RouteLabels { method: method.clone(), route: route.clone() };
        self.requests_in_flight.dec();
        self.request_duration.get_or_create(&labels).observe(duration_secs);
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    }

    /// A tool has done its work, well or not.
    pub fn tool_called(&self, tool: &str, succeeded: bool, duration_secs: f64) {
        let (tool, status) = (tool.to_owned(), if succeeded { "ok" } else { "error" });
        let labels = ToolLabels { tool: tool.clone() };
        self.tool_duration.get_or_create(&labels).observe(duration_secs);
        self.tool_calls.get_or_create(&ToolCallLabels { tool, status }).inc();
    }

    /// A question found no passage.
    pub fn abstained(&self) {
        self.abstentions.inc();
    }

    /// Everything as text, with the given index.
    ///
    /// # Errors
    /// Never in practice: only if a value could not be written into memory.
    pub fn render(&self, manifest: &Manifest) -> Result<String, fmt::Error> {
        self.index_articles.set(i64::try_from(manifest.articles.len()).unwrap_or(i64::MAX));
        self.index_passages.set(i64::try_from(manifest.passages).unwrap_or(i64::MAX));
        self.index_built.set(manifest.built_at.as_second());
        if let Some(bytes) = resident_memory_bytes() {
            self.resident_memory.set(bytes);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let requests = self.requests.clone();
        registry.register("http_requests", "HTTP requests answered", requests);
        registry.register(
            "http_request_duration_seconds",
            "Time to answer an HTTP request",
            self.request_duration.clone(),
        );
        let in_flight = self.requests_in_flight.clone();
        registry.register("http_requests_in_flight", "HTTP requests being answered now", in_flight);
        registry.register("mcp_tool_calls", "Tool calls by outcome", self.tool_calls.clone());
        registry.register(
            "mcp_tool_duration_seconds",
            "Time to carry out a tool call",
            self.tool_duration.clone(),
        );
        registry.register(
            "query_abstentions",
            "Questions for which no passage fitted well enough",
            self.abstentions.clone(),
        );
        registry.register("index_articles", "Articles in the index", self.index_articles.clone());
        registry.register("index_passages", "Passages in the index", self.index_passages.clone());
        registry.register(
            "index_built_timestamp_seconds",
            "When the index was made, in Unix time",
            self.index_built.clone(),
        );
        registry.register(
            "process_resident_memory_bytes",
            "Resident memory of the process",
            self.resident_memory.clone(),
        );
    }
}

/// From `/proc/self/status`; none where there is no such file.
fn resident_memory_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_bytes() {
        let bytes = resident_memory_bytes().expect("a Linux process");
        assert!(bytes > 100_000.0, "{bytes}");
    }
}
