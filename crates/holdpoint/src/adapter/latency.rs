//! How long answers took: percentiles and their like over a number of samples. It measures
//! nothing and judges nothing.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest time that is told apart, in microseconds: an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// Three digits are kept of each time: 12.3 ms is told apart from 12.4 ms.
const DIGITS: u8 = 3;

/// How long each of a number of answers took.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

/// The figures of a number of samples, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// How many.
    pub samples: u64,
    /// The shortest.
    pub min_ms: f64,
    /// On average.
    pub mean_ms: f64,
    /// Half took no longer.
    pub p50_ms: f64,
    /// 90 % took no longer.
    pub p90_ms: f64,
    /// 95 % took no longer.
    pub p95_ms: f64,
    /// 99 % took no longer.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, DIGITS);
        Self(histogram.expect("the bounds of the histogram are constants that fit"))
    }
}

impl Latencies {
    /// Adds one.
    pub fn record(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(LONGEST_US);
        self.0.saturating_record(micros.max(1));
    }

    /// The figures; `None` without any sample.
    pub fn figures(&self) -> Option<Figures> {
        if self.0.is_empty() {
            return None;
        }
        let at = |percent: f64| millis(self.0.value_at_quantile(percent / 100.0));
        Some(Figures {
            samples: self.0.len(),
            min_ms: millis(self.0.min()),
            mean_ms: rounded(self.0.mean() / 1000.0),
            p50_ms: at(50.0),
            p90_ms: at(90.0),
            p95_ms: at(95.0),
            p99_ms: at(99.0),
            max_ms: millis(self.0.max()),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "an hour in microseconds is exact in 53 bits")]
fn millis(micros: u64) -> f64 {
    rounded(micros as f64 / 1000.0)
}

/// To a hundredth of a millisecond: finer is noise.
fn rounded(millis: f64) -> f64 {
    (millis * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_answer_of_twenty_does_not_count_for_the_95th_percentile_and_two_do() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.figures(), None);
        for took_ms in std::iter::repeat_n(10, 18).chain([12, 900]) {
            latencies.record(Duration::from_millis(took_ms));
        }
        let figures = latencies.figures().expect("samples");
        assert_eq!(figures.samples, 20);
        assert!((10.0..11.0).contains(&figures.min_ms), "{figures:?}");
        assert!((12.0..12.1).contains(&figures.p95_ms), "{figures:?}");
        assert!((900.0..901.0).contains(&figures.max_ms), "{figures:?}");
        latencies.record(Duration::from_millis(900));
        latencies.record(Duration::from_hours(2));
        assert!(latencies.figures().is_some_and(|figures| figures.p95_ms >= 900.0));
    }
}
