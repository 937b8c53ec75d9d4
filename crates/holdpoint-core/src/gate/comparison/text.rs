//! A comparison in words: which rule, over which time, with which numbers.

use super::super::{human_secs, percent};
use super::track::{Measure, Track};
use crate::gate::evidence::Tally;

/// What was counted and what is allowed, over so many seconds.
pub(super) fn counted(track: &Track, secs: i64) -> String {
    let (all, over) = (tally(track.all), human_secs(secs));
    let allowed = percent(track.limit.share);
    let text = match track.limit.measure {
        Measure::Errors => format!("errors {all} in {over}, allowed {allowed}"),
        Measure::Slower { over_us, .. } => {
            format!("slower than {}: {all} in {over}, allowed {allowed}", millis(over_us))
        }
    };
    if track.beside_old.requests == 0 {
        return text;
    }
    let than = match track.limit.measure {
        Measure::Errors => String::new(),
        Measure::Slower { beside_us, .. } => format!(" over {}", millis(beside_us)),
    };
    let (new, old) = (tally(track.beside_new), tally(track.beside_old));
    format!("{text}; {new}{than} beside {old} on old machines")
}

/// The evidence against the version, and what decides.
pub(super) fn evidence(log_evidence: f64, log_needed: f64) -> String {
    format!("; evidence {}, rolls back at {}", to_one(log_evidence), to_one(log_needed))
}

/// The evidence for the version.
pub(super) fn certified(log_good: f64, unwanted: f64) -> String {
    format!("; certified {} to be below {}", to_one(log_good), percent(unwanted.min(1.0)))
}

/// What is missing to be certified.
pub(super) fn needed(requests: Option<u64>) -> String {
    match requests {
        Some(requests) => format!("; needs about {} more requests to certify", about(requests)),
        None => "; is not certified at this rate".to_owned(),
    }
}

fn tally(Tally { requests, bad }: Tally) -> String {
    let share = Tally::new(requests, bad).share();
    format!("{bad}/{requests} ({})", percent(share))
}

fn millis(us: u64) -> String {
    // a bound that no histogram reaches
    if us >= 366 * 86_400_000_000 { "anything".to_owned() } else { format!("{} ms", us / 1000) }
}

/// Two digits say enough about a guess.
fn about(requests: u64) -> u64 {
    let mut unit = 1;
    while requests / unit >= 100 {
        unit *= 10;
    }
    requests.div_ceil(unit) * unit
}

/// The odds of evidence: `250:1`, or `1:40` where it speaks for the other side.
fn to_one(log: f64) -> String {
    // beyond this the digits mean nothing to anybody
    let odds = log.abs().min(1e6_f64.ln()).exp();
    let more = if log.abs() > 1e6_f64.ln() { "more than " } else { "" };
    let odds = if odds < 10.0 { format!("{odds:.1}") } else { format!("{odds:.0}") };
    let odds = odds.strip_suffix(".0").unwrap_or(&odds);
    if log >= 0.0 { format!("{more}{odds}:1") } else { format!("{more}1:{odds}") }
}
