//! The gates' rules, one table each: what was measured, and what the gate says of it.

use jiff::Timestamp;

use super::{Gate, Signals, Span, Verdict, evaluate, human_secs, seconds};
use crate::id::{Environment, ServiceName};
use crate::observation::{Histogram, Sample};
use crate::project::GatePolicy;

fn at(secs: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + seconds(secs)
}

fn good() -> Sample {
    Sample {
        service: "web".to_owned(),
        requests: 100,
        errors: 0,
        latency: Histogram { buckets: vec![(10_000, 100)] },
        probes_passed: 10,
        probes_failed: 0,
        memory_share: Some(0.2),
        oom_kills: 0,
        machines: Vec::new(),
    }
}

/// Feeds one sample every ten seconds and prints the gate's verdict after each change of it.
fn check(gate: Gate, samples: impl IntoIterator<Item = (u64, Sample)>) -> String {
    let policy = GatePolicy::default();
    let service = ServiceName::new("web");
    let mut signals = Signals::default();
    let mut now = 0;
    let mut last = "";
    let mut lines: Vec<String> = Vec::new();
    for (count, sample) in samples {
        for _ in 0..count {
            let span = Span { from: at(now), to: at(now + 10), sample: sample.clone() };
            now += 10;
            signals.observe(span, &policy);
            let verdict =
                evaluate(gate, Environment::Production, &service, Some(&signals), &policy, at(now));
            let word = match &verdict {
                Verdict::Pass(_) => "pass",
                Verdict::Fail(_) => "FAIL",
                Verdict::Wait { .. } => "wait",
                Verdict::Inconclusive(_) => "inconclusive",
            };
            if last != word {
                lines.push(format!("{now:>3} s {word}: {}", verdict.finding().text));
            }
            last = word;
        }
    }
    lines.join("\n")
}

#[test]
fn an_error_rate_above_five_percent_for_five_minutes_is_a_breach() {
    let bad = Sample { errors: 20, ..good() };
    insta::assert_snapshot!(check(Gate::ErrorRate, [(6, good()), (40, bad)]), @"
     10 s pass: errors 0/100 (0.0 %), allowed 1.0 %
     70 s wait: errors 20/600 (3.3 %), allowed 1.0 %
    380 s FAIL: errors 120/600 (20.0 %), allowed 5.0 %, critical for 5 min
    ");
}

#[test]
fn a_short_burst_of_errors_is_not_a_breach() {
    let bad = Sample { errors: 20, ..good() };
    insta::assert_snapshot!(check(Gate::ErrorRate, [(6, good()), (20, bad), (10, good())]), @"
     10 s pass: errors 0/100 (0.0 %), allowed 1.0 %
     70 s wait: errors 20/600 (3.3 %), allowed 1.0 %
    320 s pass: errors 0/600 (0.0 %), allowed 1.0 %
    ");
}

#[test]
fn few_requests_say_nothing_about_errors() {
    let quiet = Sample { requests: 1, errors: 1, ..good() };
    insta::assert_snapshot!(check(Gate::ErrorRate, [(60, quiet)]), @" 10 s inconclusive: errors 1/1; needs 20 requests to judge");
}

#[test]
fn a_p95_above_a_second_for_ten_minutes_is_a_breach() {
    let slow =
        Sample { latency: Histogram { buckets: vec![(10_000, 90), (1_500_000, 10)] }, ..good() };
    insta::assert_snapshot!(check(Gate::LatencyP95, [(3, good()), (80, slow)]), @"
     10 s pass: P95 10 ms over 100 answers, allowed 500 ms
     70 s wait: P95 1500 ms over 700 answers, allowed 1000 ms
    670 s FAIL: P95 1500 ms over 1200 answers, allowed 1000 ms, critical for 10 min
    ");
}

#[test]
fn health_that_fails_for_five_minutes_is_a_breach() {
    let down = Sample { probes_passed: 0, probes_failed: 10, ..good() };
    insta::assert_snapshot!(check(Gate::Health, [(1, good()), (40, down)]), @"
     10 s pass: 10 of 10 probes passed
     20 s wait: 0 of 10 probes passed
    320 s FAIL: 0 of 10 probes passed, critical for 5 min
    ");
}

#[test]
fn memory_above_the_warning_keeps_a_release_from_going_on() {
    let full = Sample { memory_share: Some(0.75), ..good() };
    insta::assert_snapshot!(check(Gate::Memory, [(1, good()), (40, full)]), @"
    10 s pass: memory 20.0 %, allowed 70.0 %
    20 s wait: memory 75.0 %, allowed 70.0 %
    ");
}

#[test]
fn one_oom_kill_is_a_breach_at_once() {
    let killed = Sample { oom_kills: 1, ..good() };
    insta::assert_snapshot!(check(Gate::OomKill, [(1, good()), (1, killed)]), @"
    10 s pass: 0 OOM kills
    20 s FAIL: 1 OOM kills, critical for 0 s
    ");
}

#[test]
fn old_data_is_inconclusive() {
    let policy = GatePolicy::default();
    let mut signals = Signals::default();
    signals.observe(Span { from: at(0), to: at(10), sample: good() }, &policy);
    let verdict = |now| {
        let service = ServiceName::new("web");
        evaluate(Gate::Health, Environment::Staging, &service, Some(&signals), &policy, now)
    };
    assert!(matches!(verdict(at(130)), Verdict::Pass(_)));
    assert!(matches!(verdict(at(131)), Verdict::Inconclusive(_)));
}

#[test]
fn seconds_are_written_as_people_say_them() {
    let texts: Vec<String> = [45, 60, 90, 3600, 5400].into_iter().map(human_secs).collect();
    assert_eq!(texts, ["45 s", "1 min", "1 min 30 s", "1 h", "1 h 30 min"]);
}
