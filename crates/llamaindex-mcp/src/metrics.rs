//! Counts requests and tool calls, and times them, in Prometheus' text format.
//!
//! It holds numbers only; the words of questions are in `telemetry`.

use prometheus::{
    Encoder, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};

use crate::index::Manifest;

/// Upper bounds in seconds: fine where answers lie (1 to 50 ms), and with the bounds of alarms
/// (250 ms, 500 ms, 1 s) among them, so that a percentile near one is not interpolated across it.
#[rustfmt::skip]
const BUCKETS_SECS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15,
    0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0,
];

/// Every number that the service exposes.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    requests_in_flight: IntGauge,
    tool_calls: IntCounterVec,
    tool_duration: HistogramVec,
    abstentions: IntCounter,
    index_articles: IntGauge,
    index_passages: IntGauge,
    index_built: IntGauge,
    resident_memory: Gauge,
}

impl Metrics {
    /// All numbers at zero.
    ///
    /// # Errors
    /// Never in practice: only if two numbers had one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(BUCKETS_SECS.to_vec());
            HistogramVec::new(options, labels)
        };
        let counters = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
        };
        let metrics = Self {
            registry: Registry::new(),
            requests: counters(
                "http_requests_total",
                "HTTP requests answered",
                &["method", "route", "status"],
            )?,
            request_duration: histogram(
                "http_request_duration_seconds",
                "Time to answer an HTTP request",
                &["method", "route"],
            )?,
            requests_in_flight: IntGauge::new(
                "http_requests_in_flight",
                "HTTP requests being answered now",
            )?,
            tool_calls: counters(
                "mcp_tool_calls_total",
                "Tool calls by outcome",
                &["tool", "status"],
            )?,
            tool_duration: histogram(
                "mcp_tool_duration_seconds",
                "Time to carry out a tool call",
                &["tool"],
            )?,
            abstentions: IntCounter::new(
                "query_abstentions_total",
                "Questions for which no passage fitted well enough",
            )?,
            index_articles: IntGauge::new("index_articles", "Articles in the index")?,
            index_passages: IntGauge::new("index_passages", "Passages in the index")?,
            index_built: IntGauge::new(
                "index_built_timestamp_seconds",
                "When the index was made, in Unix time",
            )?,
            resident_memory: Gauge::new(
                "process_resident_memory_bytes",
                "Resident memory of the process",
            )?,
        };
        metrics.register()?;
        Ok(metrics)
    }

    /// A request has arrived. Pair with [`Self::request_finished`].
    pub fn request_started(&self) {
        self.requests_in_flight.inc();
    }

    /// A request was answered, or its client went away.
    pub fn request_finished(&self, method: &str, route: &str, status: u16, duration_secs: f64) {
        self.requests_in_flight.dec();
        self.requests.with_label_values(&[method, route, &status.to_string()]).inc();
        self.request_duration.with_label_values(&[method, route]).observe(duration_secs);
    }

    /// A tool has done its work, well or not.
    pub fn tool_called(&self, tool: &str, succeeded: bool, duration_secs: f64) {
        let status = if succeeded { "ok" } else { "error" };
        self.tool_calls.with_label_values(&[tool, status]).inc();
        self.tool_duration.with_label_values(&[tool]).observe(duration_secs);
    }

    /// A question found no passage.
    pub fn abstained(&self) {
        self.abstentions.inc();
    }

    /// Everything as text, with the given index.
    ///
    /// # Errors
    /// Never in practice: only if a value could not be written into memory.
    pub fn render(&self, manifest: &Manifest) -> Result<String, prometheus::Error> {
        self.index_articles.set(i64::try_from(manifest.articles.len()).unwrap_or(i64::MAX));
        self.index_passages.set(i64::try_from(manifest.passages).unwrap_or(i64::MAX));
        self.index_built.set(manifest.built_at.as_second());
        if let Some(bytes) = resident_memory_bytes() {
            self.resident_memory.set(bytes);
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(self.requests.clone()))?;
        self.registry.register(Box::new(self.request_duration.clone()))?;
        self.registry.register(Box::new(self.requests_in_flight.clone()))?;
        self.registry.register(Box::new(self.tool_calls.clone()))?;
        self.registry.register(Box::new(self.tool_duration.clone()))?;
        self.registry.register(Box::new(self.abstentions.clone()))?;
        self.registry.register(Box::new(self.index_articles.clone()))?;
        self.registry.register(Box::new(self.index_passages.clone()))?;
        self.registry.register(Box::new(self.index_built.clone()))?;
        self.registry.register(Box::new(self.resident_memory.clone()))
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
