//! Remembers the latest questions and how they were answered, and sums them up.
//!
//! In memory only and bounded: customers' words are not written to disk by this service. Rates
//! and latencies for machines to scrape are in `metrics`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

/// The newest questions are kept: a few megabytes at most, less than the index itself needs.
const MAX_RECORDS: usize = 5_000;
/// Longer questions are cut before they are remembered.
const MAX_QUESTION_CHARS: usize = 300;
/// A report names this many entries per list.
const MAX_ENTRIES: usize = 10;
/// Slower answers are called slow: the service's own P95 target.
const SLOW_MS: f64 = 250.0;

/// One question and how it went.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryRecord {
    /// When it was asked.
    pub asked_at: Timestamp,
    /// The words.
    pub question: String,
    /// Articles that were quoted, best first; empty when the service abstained.
    pub articles: Vec<String>,
    /// How long the answer took, in milliseconds.
    pub took_ms: f64,
}

/// The latest questions.
#[derive(Debug, Default)]
pub struct Telemetry {
    records: Mutex<Records>,
}

#[derive(Debug, Default)]
struct Records {
    kept: VecDeque<QueryRecord>,
    /// When the newest of those that were given up was asked.
    given_up_until: Option<Timestamp>,
}

/// What was asked within a window.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// The window as asked for, such as `7d`.
    pub window: String,
    /// Start of the window, RFC 3339.
    pub from: String,
    /// End of the window, RFC 3339.
    pub to: String,
    /// False when older questions of the window were given up, so that counts are too low.
    pub complete: bool,
    /// How many questions were asked.
    pub questions: u64,
    /// How many of them got no passage.
    pub unanswered: u64,
    /// Half of the answers took at most this many milliseconds; absent without questions.
    pub p50_ms: Option<f64>,
    /// 95 % of the answers took at most this many milliseconds; absent without questions.
    pub p95_ms: Option<f64>,
    /// The questions asked most.
    pub top_questions: Vec<QuestionCount>,
    /// The questions asked most of those without an answer: what the articles lack.
    pub unanswered_questions: Vec<QuestionCount>,
    /// The slowest answers, of those above 250 milliseconds.
    pub slow_questions: Vec<SlowQuestion>,
    /// The articles quoted first most often.
    pub top_articles: Vec<ArticleCount>,
}

/// A question and how often it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct QuestionCount {
    /// In lower case, without the final punctuation.
    pub question: String,
    /// How often.
    pub count: u64,
}

/// A question whose answer took long.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SlowQuestion {
    /// The words.
    pub question: String,
    /// How long the answer took, in milliseconds.
    pub took_ms: f64,
}

/// An article and how often it was the best answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ArticleCount {
    /// Path inside the docs folder.
    pub path: String,
    /// How often.
    pub count: u64,
}

impl Telemetry {
    /// Remembers a question; the oldest is given up when there are too many.
    pub fn record(&self, mut record: QueryRecord) {
        if let Some((cut, _)) = record.question.char_indices().nth(MAX_QUESTION_CHARS) {
            record.question.truncate(cut);
        }
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.kept.len() == MAX_RECORDS
            && let Some(oldest) = records.kept.pop_front()
        {
            records.given_up_until = Some(oldest.asked_at);
        }
        records.kept.push_back(record);
    }

    /// Sums up the questions of `window` before `now`.
    pub fn report(&self, now: Timestamp, window: &Window) -> Report {
        let from = now.checked_sub(window.duration).unwrap_or(Timestamp::MIN);
        let (records, given_up_until) = {
            let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
            let within = records.kept.iter().filter(|record| record.asked_at >= from);
            (within.cloned().collect::<Vec<_>>(), records.given_up_until)
        };
        let unanswered: Vec<_> =
            records.iter().filter(|record| record.articles.is_empty()).collect();
        let first_articles = records.iter().filter_map(|record| record.articles.first().cloned());
        Report {
            window: window.text.clone(),
            from: from.to_string(),
            to: now.to_string(),
            complete: given_up_until.is_none_or(|until| until < from),
            questions: records.len() as u64,
            unanswered: unanswered.len() as u64,
            p50_ms: percentile(&records, 50),
            p95_ms: percentile(&records, 95),
            top_questions: question_counts(records.iter()),
            unanswered_questions: question_counts(unanswered.into_iter()),
            slow_questions: slowest(&records),
            top_articles: most(first_articles)
                .into_iter()
                .map(|(path, count)| ArticleCount { path, count })
                .collect(),
        }
    }
}

/// A stretch of time before now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    text: String,
    duration: SignedDuration,
}

impl Window {
    /// Reads `30m`, `24h` or `7d`: a number from 1 to 999 and a unit.
    pub fn parse(text: &str) -> Option<Self> {
        let unit = text.chars().last()?;
        let number = text.strip_suffix(unit)?;
        if number.len() > 3 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number: i64 = number.parse().ok().filter(|number| *number > 0)?;
        let secs = match unit {
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        let duration = SignedDuration::from_secs(number * secs);
        Some(Self { text: text.to_owned(), duration })
    }
}

fn question_counts<'a>(records: impl Iterator<Item = &'a QueryRecord>) -> Vec<QuestionCount> {
    most(records.map(|record| same_words(&record.question)))
        .into_iter()
        .map(|(question, count)| QuestionCount { question, count })
        .collect()
}

/// Questions that differ in case, spaces or the final mark are counted as one.
fn same_words(question: &str) -> String {
    let words: Vec<_> = question.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ").trim_end_matches(['?', '!', '.', ' ']).to_owned()
}

fn most(values: impl Iterator<Item = String>) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    counts.truncate(MAX_ENTRIES);
    counts
}

fn slowest(records: &[QueryRecord]) -> Vec<SlowQuestion> {
    let mut slow: Vec<_> = records.iter().filter(|record| record.took_ms > SLOW_MS).collect();
    slow.sort_by(|left, right| right.took_ms.total_cmp(&left.took_ms));
    slow.into_iter()
        .take(MAX_ENTRIES)
        .map(|record| SlowQuestion { question: record.question.clone(), took_ms: record.took_ms })
        .collect()
}

/// The nearest-rank percentile.
fn percentile(records: &[QueryRecord], percent: usize) -> Option<f64> {
    let mut took: Vec<_> = records.iter().map(|record| record.took_ms).collect();
    took.sort_by(f64::total_cmp);
    let rank = (took.len() * percent).div_ceil(100);
    took.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).expect("timestamp")
    }

    fn record(asked_at: i64, question: &str, article: Option<&str>, took_ms: f64) -> QueryRecord {
        let articles = article.map(str::to_owned).into_iter().collect();
        QueryRecord { asked_at: at(asked_at), question: question.to_owned(), articles, took_ms }
    }

    #[test]
    fn a_report_names_what_is_asked_most_and_what_has_no_answer() {
        let telemetry = Telemetry::default();
        telemetry.record(record(0, "an old question", None, 1.0));
        telemetry.record(record(9_000, "How long  is shipping?", Some("shipping.md"), 2.0));
        telemetry.record(record(9_001, "how long is shipping", Some("shipping.md"), 300.0));
        telemetry.record(record(9_002, "Do you sell boats?", None, 4.0));
        let report = telemetry.report(at(9_100), &Window::parse("1h").expect("window"));
        assert_eq!((report.questions, report.unanswered), (3, 1));
        assert_eq!(report.top_questions[0].question, "how long is shipping");
        assert_eq!(report.top_questions[0].count, 2);
        assert_eq!(report.unanswered_questions[0].question, "do you sell boats");
        assert_eq!(report.slow_questions.len(), 1);
        assert_eq!(report.top_articles[0].path, "shipping.md");
        assert_eq!((report.p50_ms, report.p95_ms), (Some(4.0), Some(300.0)));
        assert!(report.complete);
    }

    #[test]
    fn memory_is_bounded_and_a_report_says_when_it_lacks_something() {
        let telemetry = Telemetry::default();
        let long = "é".repeat(10 * MAX_QUESTION_CHARS);
        for second in 0..MAX_RECORDS + 10 {
            telemetry.record(record(i64::try_from(second).expect("fits"), &long, None, 1.0));
        }
        let report = telemetry.report(at(6_000), &Window::parse("7d").expect("window"));
        assert_eq!(report.questions, MAX_RECORDS as u64);
        assert!(!report.complete);
        assert_eq!(report.top_questions[0].question.chars().count(), MAX_QUESTION_CHARS);
    }

    #[test]
    fn a_report_without_questions_has_no_percentiles() {
        let report = Telemetry::default().report(at(0), &Window::parse("30m").expect("window"));
        assert_eq!((report.questions, report.p50_ms, report.p95_ms), (0, None, None));
    }

    #[test]
    fn windows_are_a_number_and_a_unit() {
        for text in ["1m", "24h", "7d", "999d"] {
            assert!(Window::parse(text).is_some(), "{text}");
        }
        for text in ["", "d", "0d", "7", "7w", "-1d", "1000d", "7 d", "٣d", "é"] {
            assert!(Window::parse(text).is_none(), "{text}");
        }
    }
}
