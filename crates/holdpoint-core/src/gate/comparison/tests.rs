//! What a comparison says, look by look, of made-up machines.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::*;
use crate::gate::{Verdict, compare, seconds};
use crate::id::{Environment, MachineId, ServiceName};
use crate::observation::Histogram;

/// What a machine answers in one look: requests, errors, and how many of the requests took two
/// seconds.
type Answers = (u64, u64, u64);

const LOOK_SECS: u64 = 15;

struct Shop {
    comparison: Comparison,
    policy: GatePolicy,
    now: u64,
}

fn at(secs: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + seconds(secs)
}

fn machine(name: &str, (requests, errors, slow): Answers) -> MachineSample {
    let latency =
        Histogram { buckets: vec![(50_000, requests - slow), (1_000_000, 0), (2_000_000, slow)] };
    MachineSample { machine: MachineId::new(name), requests, errors, latency }
}

impl Shop {
    fn new() -> Self {
        Self { comparison: Comparison::default(), policy: GatePolicy::default(), now: 0 }
    }

    /// Before the rollout.
    fn before(mut self, looks: u64, answers: Answers) -> Self {
        for _ in 0..looks {
            let sample = Sample { machines: vec![machine("old", answers)], ..Sample::default() };
            self.comparison.learn((at(0), at(LOOK_SECS)), &sample);
        }
        self
    }

    /// One new machine, and an old one beside it unless it is gone.
    fn looks(mut self, looks: u64, new: Answers, old: Option<Answers>) -> Self {
        let mut machines = vec![machine("new", new)];
        machines.extend(old.map(|old| machine("old", old)));
        let sample = Sample { machines, ..Sample::default() };
        let side = |name: &str| BTreeSet::from([MachineId::new(name)]);
        let sides = Sides { new: side("new"), old: side("old") };
        for _ in 0..looks {
            let span = (at(self.now), at(self.now + LOOK_SECS));
            self.comparison.observe(span, &sample, &sides, &self.policy, 1);
            self.now += LOOK_SECS;
        }
        self
    }

    fn verdict(&self, gate: Gate) -> Verdict {
        let service = ServiceName::new("web");
        let environment = Environment::Production;
        compare(gate, environment, &service, Some(&self.comparison), &self.policy, at(self.now))
    }

    fn says(&self, gate: Gate) -> String {
        let verdict = self.verdict(gate);
        let word = match &verdict {
            Verdict::Pass(_) => "pass",
            Verdict::Fail(_) => "FAIL",
            Verdict::Wait { .. } => "wait",
            Verdict::Inconclusive(_) => "inconclusive",
        };
        format!("{word}: {}", verdict.finding().text)
    }

    fn errors(&self) -> String {
        self.says(Gate::ErrorComparison)
    }

    fn latency(&self) -> String {
        self.says(Gate::LatencyComparison)
    }
}

#[test]
fn every_verdict_says_what_was_counted_what_is_allowed_and_what_is_missing() {
    let shop = Shop::new;
    let lines = [
        shop().errors(),
        shop().looks(2, (40, 0, 0), None).errors(),
        shop().looks(1, (37, 3, 0), None).looks(25, (15, 0, 0), None).errors(),
        shop().looks(20, (15, 0, 0), None).errors(),
        shop().looks(4, (60, 12, 0), None).errors(),
        shop().before(40, (100, 0, 0)).looks(6, (60, 6, 0), Some((120, 0, 0))).errors(),
        shop().before(40, (100, 3, 0)).looks(6, (60, 2, 0), None).errors(),
        shop().looks(20, (15, 2, 0), None).errors(),
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    inconclusive: no machine has the new version for long enough yet
    inconclusive: errors 0/80 (0.0 %) in 30 s, allowed 1.0 %; evidence 1:1.7, rolls back at 250:1; needs about 40 more requests to certify
    pass: errors 3/412 (0.7 %) in 6 min 30 s, allowed 1.0 %; evidence 1:2.5, rolls back at 250:1; certified 71:1 to be below 3.0 %
    pass: errors 0/300 (0.0 %) in 5 min, allowed 1.0 %; evidence 1:2.4, rolls back at 250:1; certified 3050:1 to be below 3.0 %
    FAIL: errors 48/240 (20.0 %) in 1 min, allowed 1.0 %; evidence 31796:1, rolls back at 250:1
    FAIL: errors 36/360 (10.0 %) in 1 min 30 s, allowed 1.0 %; 36/360 (10.0 %) beside 0/720 (0.0 %) on old machines; evidence more than 1000000:1, rolls back at 250:1
    pass: errors 12/360 (3.3 %) in 1 min 30 s, allowed 4.0 %; evidence 1:2.2, rolls back at 250:1; certified more than 1000000:1 to be below 12.1 %
    FAIL: errors 40/300 (13.3 %) in 5 min, allowed 1.0 %; evidence more than 1000000:1, rolls back at 250:1
    ");
}

#[test]
fn slow_answers_are_told_with_the_bound_that_they_are_held_to() {
    let shop = Shop::new;
    let lines = [
        shop().looks(2, (5, 0, 0), None).latency(),
        shop().looks(20, (15, 0, 0), None).latency(),
        shop().looks(5, (60, 0, 20), None).latency(),
        shop().before(40, (100, 0, 0)).looks(6, (60, 0, 20), None).latency(),
        shop().before(40, (100, 0, 0)).looks(6, (60, 0, 20), Some((120, 0, 2))).latency(),
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    inconclusive: slower than 1000 ms: 0/10 (0.0 %) in 30 s, allowed 5.0 %; evidence 1:1.6, rolls back at 250:1; needs about 13 more requests to certify
    pass: slower than 1000 ms: 0/300 (0.0 %) in 5 min, allowed 5.0 %; evidence 1:2.6, rolls back at 250:1; certified more than 1000000:1 to be below 15.0 %
    FAIL: slower than 1000 ms: 100/300 (33.3 %) in 1 min 15 s, allowed 5.0 %; evidence 119701:1, rolls back at 250:1
    FAIL: slower than 500 ms: 120/360 (33.3 %) in 1 min 30 s, allowed 5.0 %; evidence more than 1000000:1, rolls back at 250:1
    FAIL: slower than 500 ms: 120/360 (33.3 %) in 1 min 30 s, allowed 5.0 %; 120/360 (33.3 %) over 100 ms beside 12/720 (1.7 %) on old machines; evidence more than 1000000:1, rolls back at 250:1
    ");
}

#[test]
fn an_outage_of_both_versions_is_not_held_against_the_new_one() {
    let both = Shop::new().before(40, (100, 0, 0)).looks(20, (60, 30, 30), Some((60, 30, 30)));
    for gate in Gate::COMPARISONS {
        assert!(!matches!(both.verdict(gate), Verdict::Fail(_)), "{}", both.says(gate));
    }
}

#[test]
fn one_burst_does_not_decide_and_neither_does_one_error_of_few() {
    let burst = Shop::new().looks(1, (500, 400, 400), None);
    let seldom = Shop::new().looks(1, (1, 1, 1), None).looks(3, (1, 0, 0), None);
    for shop in [burst, seldom] {
        for gate in Gate::COMPARISONS {
            assert!(matches!(shop.verdict(gate), Verdict::Inconclusive(_)), "{}", shop.says(gate));
        }
    }
}

#[test]
fn a_version_that_turns_bad_after_a_long_good_time_is_found() {
    let shop = Shop::new().looks(120, (30, 0, 0), None);
    assert!(matches!(shop.verdict(Gate::ErrorComparison), Verdict::Pass(_)));
    let shop = shop.looks(6, (30, 6, 0), None);
    assert!(matches!(shop.verdict(Gate::ErrorComparison), Verdict::Fail(_)), "{}", shop.errors());
}

#[test]
fn a_version_as_bursty_as_the_one_before_it_is_not_rolled_back_for_that() {
    let bursty = |shop: Shop, times| {
        (0..times).fold(shop, |shop, _| shop.looks(9, (30, 0, 0), None).looks(1, (30, 20, 0), None))
    };
    let mut shop = Shop::new();
    for _ in 0..20 {
        shop = shop.before(9, (30, 0, 0)).before(1, (30, 20, 0));
    }
    let shop = bursty(shop, 6);
    assert!(!matches!(shop.verdict(Gate::ErrorComparison), Verdict::Fail(_)), "{}", shop.errors());
}

#[test]
fn no_counts_and_old_ones_are_inconclusive() {
    let mut shop = Shop::new().looks(20, (30, 0, 0), None);
    assert!(matches!(shop.verdict(Gate::ErrorComparison), Verdict::Pass(_)));
    shop.now += 121;
    assert!(matches!(shop.verdict(Gate::ErrorComparison), Verdict::Inconclusive(_)));
}

#[test]
fn what_was_measured_of_a_version_that_stays_is_what_the_next_is_compared_with() {
    let shop = Shop::new().before(3, (100, 1, 0)).looks(4, (50, 2, 0), None);
    let history = |is_kept| shop.comparison.clone().into_history(is_kept).errors();
    assert_eq!((history(true).requests, history(true).bad), (200, 8));
    assert_eq!((history(false).requests, history(false).bad), (300, 3));
}

#[test]
fn whether_a_comparison_can_decide_is_known_before_the_first_request() {
    let policy = GatePolicy::default();
    let lines = [0.2, 0.5, 5.0].map(|per_sec| outlook(&policy, per_sec, 900).to_string());
    insta::assert_snapshot!(lines.join("\n"), @"
    0.2 requests per second are 180 in 15 min; about 198 show a version at the critical error rate, about 479 certify one at the allowed rate: the comparison cannot decide in that time, and the soak will last longer; 0.4 probes per second would make it so
    0.5 requests per second are 450 in 15 min; about 198 show a version at the critical error rate, about 479 certify one at the allowed rate: the comparison cannot decide in that time, and the soak will last longer; 0.1 probes per second would make it so
    5.0 requests per second are 4500 in 15 min; about 198 show a version at the critical error rate, about 479 certify one at the allowed rate: the comparison can decide
    ");
    let mut without = GatePolicy { error_share_warn: 0.05, ..policy };
    insta::assert_snapshot!(outlook(&without, 5.0, 900), @"5.0 requests per second are 4500 in 15 min; the allowed error rate is too close to the critical one: the comparison can never decide");
    without.comparison.certify_at = 1;
    assert_eq!(outlook(&without, 5.0, 900).to_certify, Some(0));
    let history = Shop::new().before(3, (30, 0, 0)).comparison.into_history(false);
    assert!(history.requests_per_sec().is_some_and(|rate| (rate - 2.0).abs() < 1e-9));
}
