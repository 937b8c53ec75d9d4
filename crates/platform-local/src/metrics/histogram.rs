//! Durations counted into buckets without a lock: the proxy does it for every answer.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds of answers in seconds. Fine around 500 ms and 1 s, where the runbook's limits are.
pub(super) const ANSWER_BOUNDS_SECS: [f64; 30] = [
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3,
    0.4, 0.45, 0.5, 0.55, 0.6, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 5.0, 10.0, 30.0,
];

/// Upper bounds of connects in seconds: on one computer they take microseconds, or a retry of the
/// kernel's, which comes after one, three and seven seconds.
pub(super) const CONNECT_BOUNDS_SECS: [f64; 8] =
    [0.0001, 0.0005, 0.001, 0.005, 0.02, 0.1, 1.0, 5.0];

/// Upper bounds of TLS handshakes in seconds: on one computer they take milliseconds, and end after
/// the time that a client has for it.
pub(super) const HANDSHAKE_BOUNDS_SECS: [f64; 10] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Durations by size.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds_secs: &'static [f64],
    /// Durations within each bound but not within the one before; the last holds the longest.
    buckets: Box<[AtomicU64]>,
    sum_ns: AtomicU64,
}

/// A histogram as it was at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HistogramReading {
    /// Each bound as Prometheus writes it, with the count of durations within it.
    pub(super) cumulative: Vec<(String, u64)>,
    pub(super) count: u64,
    pub(super) sum_secs: f64,
}

impl Histogram {
    pub(super) fn new(bounds_secs: &'static [f64]) -> Self {
        let buckets = (0..=bounds_secs.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds_secs, buckets, sum_ns: AtomicU64::new(0) }
    }

    pub(super) fn add(&self, took: Duration) {
        let secs = took.as_secs_f64();
        let index = self.bounds_secs.partition_point(|bound| *bound < secs);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(1, Relaxed);
        }
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.fetch_add(nanoseconds, Relaxed);
    }

    /// What has been added. The count is that of the buckets: the two never disagree, whoever
    /// adds meanwhile. Nothing, if nothing was added.
    pub(super) fn read(&self) -> Option<HistogramReading> {
        let sum_secs = Duration::from_nanos(self.sum_ns.load(Relaxed)).as_secs_f64();
        let mut count = 0;
        let bounds = self.bounds_secs.iter().map(ToString::to_string);
        let bounds = bounds.chain(std::iter::once("+Inf".to_owned()));
        let cumulative = bounds
            .zip(&self.buckets)
            .map(|(bound, bucket)| {
                count += bucket.load(Relaxed);
                (bound, count)
            })
            .collect();
        (count > 0).then_some(HistogramReading { cumulative, count, sum_secs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(reading: &HistogramReading, bound: &str) -> u64 {
        reading.cumulative.iter().find(|(known, _)| known == bound).expect("a bound").1
    }

    #[test]
    fn a_duration_counts_from_its_bound_on() {
        let histogram = Histogram::new(&ANSWER_BOUNDS_SECS);
        assert_eq!(histogram.read(), None);
        histogram.add(Duration::from_millis(450));
        histogram.add(Duration::from_millis(480));
        histogram.add(Duration::from_secs(40));
        let reading = histogram.read().expect("something");
        assert_eq!(within(&reading, "0.4"), 0);
        assert_eq!(within(&reading, "0.45"), 1, "a bound is within itself");
        assert_eq!(within(&reading, "0.5"), 2);
        assert_eq!(within(&reading, "30"), 2);
        assert_eq!((within(&reading, "+Inf"), reading.count), (3, 3));
        assert!((reading.sum_secs - 40.93).abs() < 1e-9, "{}", reading.sum_secs);
    }
}
