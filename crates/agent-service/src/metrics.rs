//! What the service counts, as Prometheus and OpenMetrics text. Numbers of rows are read from the
//! database when somebody asks, so that they are right after a restart too.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::approvals::{DraftKind, State};
use crate::storage::Counts;

/// Upper bounds in seconds: fine around 500 ms and 1 s, where service levels are usually set.
const BOUNDS_SECS: [f64; 22] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8,
    1.0, 1.5, 2.5, 5.0, 10.0, 30.0,
];

/// The states of the message queue and of the outbox; those without rows are told as 0.
const MESSAGE_STATES: [&str; 3] = ["waiting", "drafted", "merged"];
const OUTBOX_STATES: [&str; 4] = ["waiting", "sending", "sent", "failed"];

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
struct KindLabels {
    kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabels {
    state: String,
}

/// The service's counters. Cloning shares them.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    webhooks: Family<OutcomeLabels, Counter>,
    drafts: Family<KindLabels, Counter>,
    knowledge_calls: Family<OutcomeLabels, Counter>,
    model_calls: Family<OutcomeLabels, Counter>,
    decisions: Family<OutcomeLabels, Counter>,
    sends: Family<OutcomeLabels, Counter>,
    messages: Family<StateLabels, Gauge>,
    approvals: Family<StateLabels, Gauge>,
    outbox: Family<StateLabels, Gauge>,
    oldest_pending_age: Gauge<f64, AtomicU64>,
    resident_memory: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Every counter at zero.
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BOUNDS_SECS)),
            webhooks: Family::default(),
            drafts: Family::default(),
            knowledge_calls: Family::default(),
            model_calls: Family::default(),
            decisions: Family::default(),
            sends: Family::default(),
            messages: Family::default(),
            approvals: Family::default(),
            outbox: Family::default(),
            oldest_pending_age: Gauge::default(),
            resident_memory: Gauge::default(),
        };
        metrics.register();
        for kind in [DraftKind::Extractive, DraftKind::Chat, DraftKind::Unanswered] {
            drop(metrics.drafts.get_or_create(&KindLabels { kind: kind.name().to_owned() }));
        }
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("http_requests", "HTTP requests answered", self.requests.clone());
        let help = "Time from a request's head to its answer's head";
        registry.register("http_request_duration_seconds", help, self.durations.clone());
        registry.register("webhooks", "Webhooks by what became of them", self.webhooks.clone());
        registry.register("drafts", "Drafts made, by kind", self.drafts.clone());
        let help = "Questions to the knowledge server, by outcome";
        registry.register("knowledge_calls", help, self.knowledge_calls.clone());
        let help = "Questions to the chat model, by outcome";
        registry.register("model_calls", help, self.model_calls.clone());
        let help = "Decisions on approvals, by outcome";
        registry.register("decisions", help, self.decisions.clone());
        registry.register("sends", "Attempts to send a reply, by outcome", self.sends.clone());
        let help = "Messages in the queue, by state";
        registry.register("queue_messages", help, self.messages.clone());
        registry.register("approvals", "Approvals, by state", self.approvals.clone());
        registry.register("outbox_replies", "Replies, by state", self.outbox.clone());
        let help = "Age of the oldest pending approval, 0 when there is none";
        let oldest = self.oldest_pending_age.clone();
        registry.register("approvals_oldest_pending_age_seconds", help, oldest);
        let help = "Resident memory of this process";
        registry.register("process_resident_memory_bytes", help, self.resident_memory.clone());
    }

    /// Counts an answered request.
    pub(crate) fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        let (method, route) = (method.to_owned(), route.to_owned());
        let labels = RouteLabels { method: method.clone(), route: route.clone() };
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    }

    /// Counts a webhook: `accepted`, `duplicate`, `ignored` or `refused`.
    pub(crate) fn webhook(&self, outcome: &str) {
        self.webhooks.get_or_create(&OutcomeLabels { outcome: outcome.to_owned() }).inc();
    }

    /// Counts a draft.
    pub(crate) fn draft(&self, kind: DraftKind) {
        self.drafts.get_or_create(&KindLabels { kind: kind.name().to_owned() }).inc();
    }

    /// Counts a question to the knowledge server: `answered`, `abstained` or `failed`.
    pub(crate) fn knowledge_call(&self, outcome: &str) {
        self.knowledge_calls.get_or_create(&OutcomeLabels { outcome: outcome.to_owned() }).inc();
    }

    /// Counts a question to the model: `answered` or `failed`.
    pub(crate) fn model_call(&self, outcome: &str) {
        self.model_calls.get_or_create(&OutcomeLabels { outcome: outcome.to_owned() }).inc();
    }

    /// Counts a decision: `approve`, `edit`, `reject`, or `lost`.
    pub(crate) fn decision(&self, outcome: &str) {
        self.decisions.get_or_create(&OutcomeLabels { outcome: outcome.to_owned() }).inc();
    }

    /// Counts an attempt to send: `sent`, `found`, `delayed` or `failed`.
    pub(crate) fn send(&self, outcome: &str) {
        self.sends.get_or_create(&OutcomeLabels { outcome: outcome.to_owned() }).inc();
    }

    /// Everything as text. `counts` is missing when the database doesn't answer: then the numbers
    /// of rows are left out of the truth, as they last were, and `storage_up` is 0.
    pub(crate) fn text(
        &self,
        counts: Option<&Counts>,
        now_ms: i64,
    ) -> Result<String, std::fmt::Error> {
        if let Some(counts) = counts {
            self.set_counts(counts, now_ms);
        }
        if let Some(bytes) = resident_memory_bytes() {
            self.resident_memory.set(bytes);
        }
        let mut text = String::new();
        let up = u8::from(counts.is_some());
        writeln!(text, "# HELP storage_up Whether the database answers.")?;
        writeln!(text, "# TYPE storage_up gauge")?;
        writeln!(text, "storage_up {up}")?;
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    fn set_counts(&self, counts: &Counts, now_ms: i64) {
        let of = |table: &str, state: &str| {
            let row = counts.rows.iter().find(|(name, named, _)| name == table && named == state);
            row.map_or(0, |(_, _, count)| *count)
        };
        let set = |family: &Family<StateLabels, Gauge>, table: &str, state: &str| {
            let labels = StateLabels { state: state.to_owned() };
            family.get_or_create(&labels).set(of(table, state));
        };
        for state in MESSAGE_STATES {
            set(&self.messages, "messages", state);
        }
        for state in State::ALL {
            set(&self.approvals, "approvals", state.name());
        }
        for state in OUTBOX_STATES {
            set(&self.outbox, "outbox", state);
        }
        let age_ms = counts.oldest_pending_ms.map_or(0, |made| now_ms.saturating_sub(made).max(0));
        let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
        self.oldest_pending_age.set(age.as_secs_f64());
    }
}

/// `VmRSS` of this process, as the kernel tells it.
fn resident_memory_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_tells_requests_states_and_ages() {
        let metrics = Metrics::new();
        metrics.request("GET", "/health", 200, Duration::from_millis(3));
        metrics.draft(DraftKind::Extractive);
        let counts = Counts {
            rows: vec![("approvals".to_owned(), "pending".to_owned(), 2)],
            oldest_pending_ms: Some(1_000),
        };
        let text = metrics.text(Some(&counts), 6_500).unwrap();
        let lines = [
            r#"http_requests_total{method="GET",route="/health",status="200"} 1"#,
            r#"http_request_duration_seconds_bucket{le="0.005",method="GET",route="/health"} 1"#,
            r#"drafts_total{kind="extractive"} 1"#,
            r#"drafts_total{kind="chat"} 0"#,
            r#"approvals{state="pending"} 2"#,
            r#"approvals{state="failed"} 0"#,
            "approvals_oldest_pending_age_seconds 5.5",
            "storage_up 1",
        ];
        for line in lines {
            assert!(text.lines().any(|given| given == line), "no {line} in\n{text}");
        }
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
    }
}
