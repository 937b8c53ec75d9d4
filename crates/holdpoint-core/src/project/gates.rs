//! The thresholds of the gates. The defaults are the runbook's "Critical
//! Metrics to Watch" and "When to Rollback". It evaluates none.

use serde::{Deserialize, Serialize};

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
        }
    }
}
