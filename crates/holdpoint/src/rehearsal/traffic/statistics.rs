//! Adds up what clients saw. Pure: the same answers give the same numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use jiff::Timestamp;

use super::{Answer, Received};

/// The longest latency that is told apart, in microseconds: the client gives up before.
const LATENCY_MAX_MICROS: u64 = 120_000_000;

/// How many digits of a latency count. Three are what a report shows.
const DIGITS: u8 = 3;

/// The numbers of one service over some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Requests that were due.
    pub requests: u64,
    /// Those that failed the client.
    pub failed: u64,
    /// The first reasons for that, with how often each was met.
    pub reasons: BTreeMap<String, u64>,
    /// Half of the answers were faster.
    pub p50: Duration,
    /// 95 of 100 answers were faster.
    pub p95: Duration,
    /// 99 of 100 answers were faster.
    pub p99: Duration,
}

/// The statistics of the answers.
pub fn statistics<'a>(answers: impl IntoIterator<Item = &'a Answer>) -> Statistics {
    let mut latencies: Histogram<u64> = Histogram::new_with_bounds(1, LATENCY_MAX_MICROS, DIGITS)
        .expect("the bounds and digits are lawful constants");
    let (mut requests, mut failed) = (0, 0);
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for answer in answers {
        requests += 1;
        let micros = u64::try_from(answer.took.as_micros()).unwrap_or(u64::MAX);
        latencies.saturating_record(micros.max(1));
        let reason = match &answer.result {
            Received::Expected => continue,
            Received::Status(status) => format!("status {status}"),
            Received::Nothing(reason) => reason.clone(),
        };
        failed += 1;
        *reasons.entry(reason).or_default() += 1;
    }
    let quantile = |quantile| Duration::from_micros(latencies.value_at_quantile(quantile));
    Statistics {
        requests,
        failed,
        reasons,
        p50: quantile(0.50),
        p95: quantile(0.95),
        p99: quantile(0.99),
    }
}

/// When a bad version was first and last seen by a client, by the release's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// The first failed request that the image answered.
    pub first_failed_at: Option<Timestamp>,
    /// The last answer of the image, good or bad.
    pub last_answer_at: Option<Timestamp>,
    /// How many requests the image answered.
    pub answered: u64,
    /// How many of them failed.
    pub failed: u64,
}

/// How far clients were exposed to an image.
pub fn exposure<'a>(answers: impl IntoIterator<Item = &'a Answer>, images: &[String]) -> Exposure {
    let mut exposure =
        Exposure { first_failed_at: None, last_answer_at: None, answered: 0, failed: 0 };
    for answer in answers {
        if !answer.image.as_ref().is_some_and(|image| images.contains(image)) {
            continue;
        }
        exposure.answered += 1;
        exposure.last_answer_at = exposure.last_answer_at.max(Some(answer.ended_at));
        if answer.is_failed() {
            exposure.failed += 1;
            let first = exposure.first_failed_at.unwrap_or(answer.ended_at);
            exposure.first_failed_at = Some(first.min(answer.ended_at));
        }
    }
    exposure
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(second: i64, took_ms: u64, image: &str, result: Received) -> Answer {
        Answer {
            asked_at: Timestamp::from_second(second).expect("a time"),
            ended_at: Timestamp::from_second(second).expect("a time"),
            took: Duration::from_millis(took_ms),
            image: Some(image.to_owned()),
            result,
        }
    }

    #[test]
    fn another_answer_and_a_missing_answer_both_failed_the_client() {
        let answers = [
            answer(1, 5, "old", Received::Expected),
            answer(2, 5, "old", Received::Expected),
            answer(3, 5, "old", Received::Status(503)),
            answer(4, 5, "old", Received::Nothing("connection reset".to_owned())),
        ];
        let statistics = statistics(&answers);
        assert_eq!((statistics.requests, statistics.failed), (4, 2));
        assert_eq!(statistics.reasons.len(), 2);
    }

    #[test]
    fn percentiles_lie_where_the_answers_lie() {
        let answers: Vec<Answer> =
            (1..=100).map(|ms| answer(1, ms, "old", Received::Expected)).collect();
        let statistics = statistics(&answers);
        assert_eq!(statistics.p50.as_millis(), 50);
        assert_eq!(statistics.p95.as_millis(), 95);
        assert_eq!(statistics.p99.as_millis(), 99);
    }

    #[test]
    fn nothing_asked_is_nothing_failed() {
        let statistics = statistics(&[]);
        assert_eq!((statistics.requests, statistics.failed), (0, 0));
    }

    #[test]
    fn exposure_runs_from_the_first_failure_of_the_image_to_its_last_answer() {
        let answers = [
            answer(1, 5, "old", Received::Status(500)),
            answer(2, 5, "new", Received::Expected),
            answer(3, 5, "new", Received::Status(500)),
            answer(4, 5, "new", Received::Expected),
            answer(5, 5, "old", Received::Expected),
        ];
        let exposure = exposure(&answers, &["new".to_owned()]);
        assert_eq!((exposure.answered, exposure.failed), (3, 1));
        let second = |second| Timestamp::from_second(second).ok();
        assert_eq!((exposure.first_failed_at, exposure.last_answer_at), (second(3), second(4)));
    }
}
