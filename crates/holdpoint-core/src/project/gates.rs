//! The thresholds of the gates. The defaults are the runbook's "Critical
//! Metrics to Watch" and "When to Rollback". It evaluates none.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::comparison::ComparisonPolicy;
use super::duration::spell_ms;
use super::invariant::Invariant;
use super::reader::Table;
use super::service::Service;

/// The longest latency that a threshold can have: proxies give up long before ten minutes.
const LATENCY_LIMIT_MS: u64 = 10 * 60 * 1000;

/// The most requests that a gate can wait for; more would make every release inconclusive.
const REQUESTS_LIMIT: u64 = 1_000_000;

/// Thresholds over what the services show. Shares lie between 0 and 1, and
/// every warning threshold is at most its critical one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GatePolicy {
    /// Share of failed requests above which a warning is given.
    pub error_share_warn: f64,
    /// Share of failed requests above which the gate breaches …
    pub error_share_critical: f64,
    /// … once it has been above it for this long.
    pub error_critical_for_secs: u64,
    /// With fewer requests than this in the window, the error share says nothing.
    pub error_minimum_requests: u64,
    /// 95th percentile of latency above which a warning is given, in milliseconds.
    pub latency_p95_warn_ms: u64,
    /// 95th percentile of latency above which the gate breaches, in milliseconds …
    pub latency_p95_critical_ms: u64,
    /// … once it has been above it for this long.
    pub latency_p95_critical_for_secs: u64,
    /// With fewer requests than this in the window, the percentile says nothing.
    pub latency_p95_minimum_requests: u64,
    /// Health failing for this long gives a warning.
    pub health_warn_for_secs: u64,
    /// Health failing for this long breaches.
    pub health_critical_for_secs: u64,
    /// Share of a machine's memory above which a warning is given.
    pub memory_share_warn: f64,
    /// Share of a machine's memory above which the gate breaches …
    pub memory_share_critical: f64,
    /// … once it has been above it for this long.
    pub memory_critical_for_secs: u64,
    /// With no observation for this long there is no data: inconclusive.
    pub stale_after_secs: u64,
    /// How a new version is compared with the one before it.
    #[serde(default)]
    pub comparison: ComparisonPolicy,
    /// What must stay as it is while programs change.
    #[serde(default)]
    pub invariants: Vec<Invariant>,
}

impl GatePolicy {
    pub(super) fn read(root: &mut Table<'_>, services: &[Service]) -> Self {
        let mut policy = Self::default();
        root.table("gates", |gates| {
            gates.table("error_rate", |table| policy.read_error_rate(table));
            gates.table("latency_p95", |table| policy.read_latency(table));
            gates.table("health", |table| policy.read_health(table));
            gates.table("memory", |table| policy.read_memory(table));
            gates.table("comparison", |table| policy.comparison.read(table));
            gates.secs("stale_after", 1, &mut policy.stale_after_secs);
            policy.invariants = Invariant::read_all(gates, services);
        });
        policy
    }

    fn read_error_rate(&mut self, table: &mut Table<'_>) {
        let errors = table.report.errors();
        share(table, "warn", &mut self.error_share_warn);
        share(table, "critical", &mut self.error_share_critical);
        if errors == table.report.errors() && self.error_share_warn > self.error_share_critical {
            let values = [self.error_share_warn, self.error_share_critical];
            refuse_order(table, ["warn", "critical"], values);
        }
        table.secs("critical_for", 0, &mut self.error_critical_for_secs);
        table.number("minimum_requests", 1..=REQUESTS_LIMIT, &mut self.error_minimum_requests);
    }

    fn read_latency(&mut self, table: &mut Table<'_>) {
        let errors = table.report.errors();
        latency(table, "warn", &mut self.latency_p95_warn_ms);
        latency(table, "critical", &mut self.latency_p95_critical_ms);
        if errors == table.report.errors()
            && self.latency_p95_warn_ms > self.latency_p95_critical_ms
        {
            let values = [self.latency_p95_warn_ms, self.latency_p95_critical_ms].map(spell_ms);
            refuse_order(table, ["warn", "critical"], values);
        }
        table.secs("critical_for", 0, &mut self.latency_p95_critical_for_secs);
        table.number(
            "minimum_requests",
            1..=REQUESTS_LIMIT,
            &mut self.latency_p95_minimum_requests,
        );
    }

    fn read_health(&mut self, table: &mut Table<'_>) {
        let errors = table.report.errors();
        table.secs("warn_for", 0, &mut self.health_warn_for_secs);
        table.secs("critical_for", 0, &mut self.health_critical_for_secs);
        if errors == table.report.errors()
            && self.health_warn_for_secs > self.health_critical_for_secs
        {
            let values = [self.health_warn_for_secs, self.health_critical_for_secs];
            refuse_order(
                table,
                ["warn_for", "critical_for"],
                values.map(|secs| spell_ms(secs * 1000)),
            );
        }
    }

    fn read_memory(&mut self, table: &mut Table<'_>) {
        let errors = table.report.errors();
        share(table, "warn", &mut self.memory_share_warn);
        share(table, "critical", &mut self.memory_share_critical);
        if errors == table.report.errors() && self.memory_share_warn > self.memory_share_critical {
            let values = [self.memory_share_warn, self.memory_share_critical];
            refuse_order(table, ["warn", "critical"], values);
        }
        table.secs("critical_for", 0, &mut self.memory_critical_for_secs);
    }
}

impl Default for GatePolicy {
    fn default() -> Self {
        Self {
            error_share_warn: 0.01,
            error_share_critical: 0.05,
            error_critical_for_secs: 5 * 60,
            error_minimum_requests: 20,
            latency_p95_warn_ms: 500,
            latency_p95_critical_ms: 1000,
            latency_p95_critical_for_secs: 10 * 60,
            latency_p95_minimum_requests: 20,
            health_warn_for_secs: 2 * 60,
            health_critical_for_secs: 5 * 60,
            memory_share_warn: 0.70,
            memory_share_critical: 0.85,
            memory_critical_for_secs: 5 * 60,
            stale_after_secs: 2 * 60,
            comparison: ComparisonPolicy::default(),
            invariants: Vec::new(),
        }
    }
}

fn share(table: &mut Table<'_>, key: &'static str, target: &mut f64) {
    if let Some(share) = table.take(key).and_then(|value| value.share()) {
        *target = share;
    }
}

fn latency(table: &mut Table<'_>, key: &'static str, target: &mut u64) {
    let millis = table.take(key).and_then(|value| value.millis(&(1..=LATENCY_LIMIT_MS)));
    if let Some(millis) = millis {
        *target = millis;
    }
}

/// One of the two may be a default, so both values are told.
fn refuse_order(
    table: &mut Table<'_>,
    [warn_key, critical_key]: [&'static str; 2],
    [warn, critical]: [impl Display; 2],
) {
    let value = table.take(warn_key).or_else(|| table.take(critical_key));
    table.report.error(
        &value.map_or_else(|| table.span.clone(), |value| value.span()),
        format!(
            "`{warn_key}` is {warn} and above `{critical_key}`, {critical}: \
             it would warn only after the breach"
        ),
        format!("make `{warn_key}` at most `{critical_key}`"),
    );
}
