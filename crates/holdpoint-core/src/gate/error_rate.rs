//! Reads the share of requests that were answered with a server error.

use super::{Level, Reading, Signals, percent};
use crate::project::GatePolicy;

pub(super) fn read(signals: &Signals, policy: &GatePolicy) -> Reading {
    let (mut requests, mut errors) = (0_u64, 0_u64);
    for sample in signals.part_of(policy.error_critical_for_secs) {
        requests = requests.saturating_add(sample.requests);
        errors = errors.saturating_add(sample.errors);
    }
    let minimum = policy.error_minimum_requests.max(1);
    if requests < minimum {
        let text = format!("errors {errors}/{requests}; needs {minimum} requests to judge");
        return Reading { level: None, text };
    }
    let share = share(errors, requests);
    let level = if share > policy.error_share_critical {
        Level::Critical
    } else if share > policy.error_share_warn {
        Level::Warn
    } else {
        Level::Good
    };
    let limit = if level == Level::Critical {
        policy.error_share_critical
    } else {
        policy.error_share_warn
    };
    let text =
        format!("errors {errors}/{requests} ({}), allowed {}", percent(share), percent(limit));
    Reading { level: Some(level), text }
}

/// `part / whole` as a share. Counts of requests are far below 2^52, where `f64` is exact.
#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
