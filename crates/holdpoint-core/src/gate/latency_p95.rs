//! Reads the 95th percentile of the answers' latency from histograms.

use std::collections::BTreeMap;

use super::{Level, Reading, Signals};
use crate::observation::Sample;
use crate::project::GatePolicy;

/// Above this a bound stands for "everything slower": a year, in milliseconds.
const UNBOUNDED_MS: u64 = 366 * 86_400_000;

pub(super) fn read(signals: &Signals, policy: &GatePolicy) -> Reading {
    let samples: Vec<&Sample> = signals.part_of(policy.latency_p95_critical_for_secs).collect();
    let answers: u64 = samples.iter().map(|sample| count(sample)).sum();
    let minimum = policy.latency_p95_minimum_requests.max(1);
    let Some(p95_ms) = percentile_ms(samples.into_iter(), 0.95).filter(|_| answers >= minimum)
    else {
        let text = format!("{answers} answers; needs {minimum} to judge");
        return Reading { level: None, text };
    };
    let (level, limit_ms) = if p95_ms > policy.latency_p95_critical_ms {
        (Level::Critical, policy.latency_p95_critical_ms)
    } else if p95_ms > policy.latency_p95_warn_ms {
        (Level::Warn, policy.latency_p95_warn_ms)
    } else {
        (Level::Good, policy.latency_p95_warn_ms)
    };
    // the last bucket has no upper bound; a number that nobody measured is not shown
    let shown = if p95_ms > UNBOUNDED_MS {
        "beyond the histogram".to_owned()
    } else {
        format!("{p95_ms} ms")
    };
    let text = format!("P95 {shown} over {answers} answers, allowed {limit_ms} ms");
    Reading { level: Some(level), text }
}

/// The latency, in whole milliseconds rounded up, below which the share `quantile` (0 to 1) of
/// the answers lie: the upper bound of the bucket that holds it, which never flatters. `None`
/// without answers.
pub fn percentile_ms<'a>(samples: impl Iterator<Item = &'a Sample>, quantile: f64) -> Option<u64> {
    let mut merged: BTreeMap<u64, u64> = BTreeMap::new();
    for sample in samples {
        for (bound, count) in &sample.latency.buckets {
            *merged.entry(*bound).or_default() += count;
        }
    }
    let total: u64 = merged.values().sum();
    let rank = rank(total, quantile)?;
    let mut seen = 0;
    for (bound_us, count) in merged {
        seen += count;
        if seen >= rank {
            return Some(bound_us.div_ceil(1000));
        }
    }
    None
}

fn count(sample: &Sample) -> u64 {
    sample.latency.buckets.iter().map(|(_, count)| count).sum()
}

/// Which of `total` sorted values stands at the quantile, counted from 1.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of answers are far below 2^52, and the product is not negative"
)]
fn rank(total: u64, quantile: f64) -> Option<u64> {
    (total > 0).then(|| ((total as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).max(1))
}
