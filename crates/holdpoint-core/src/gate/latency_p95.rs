//! Reads the 95th percentile of the answers' latency from histograms.

use super::{Level, Reading, Signals};
use crate::observation::{Histogram, Sample};
use crate::project::GatePolicy;

/// Above this a bound stands for "everything slower": a year, in milliseconds.
const UNBOUNDED_MS: u64 = 366 * 86_400_000;

pub(super) fn read(signals: &Signals, policy: &GatePolicy) -> Reading {
    let samples: Vec<&Sample> = signals.part_of(policy.latency_p95_critical_for_secs).collect();
    let answers: u64 = samples.iter().map(|sample| sample.latency.answers()).sum();
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
    let mut merged = Histogram::default();
    for sample in samples {
        merged.add(&sample.latency);
    }
    Some(merged.quantile_us(quantile)?.div_ceil(1000))
}
