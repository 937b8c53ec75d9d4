//! What is promised of evidence: a bounded chance to suspect a good version, however often one
//! looks; a bad one found; and a number for whatever counts. Chance comes from fixed seeds.

use proptest::prelude::*;

use super::*;

/// The default of the product: a good version gets there in at most 1 of 250 releases.
const NEEDED: f64 = 250.0;
const ALLOWED: f64 = 0.01;
const RUNS: u64 = 400;
/// Fifteen minutes of looks every fifteen seconds.
const LOOKS: u64 = 60;

/// A small generator (SplitMix64), so that every run is the same.
struct Chance(u64);

impl Chance {
    fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66)
    }

    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        float((mixed ^ (mixed >> 31)) >> 11) / float(1 << 53)
    }

    fn tally(&mut self, requests: u64, rate: f64) -> Tally {
        let bad = (0..requests).filter(|_| self.next() < rate).count();
        Tally::new(requests, u64::try_from(bad).unwrap())
    }
}

/// Of how many runs the evidence ever reaches what is needed, and after how many looks on average
/// (all of them where it does not).
fn caught(mut gains: impl FnMut(&mut Chance, u64) -> [f64; MULTIPLIERS.len()]) -> (u64, u64) {
    let (mut alarms, mut looks) = (0, 0);
    for run in 0..RUNS {
        let (mut chance, mut process) = (Chance::of(run), Process::default());
        let mut until = LOOKS;
        for look in 1..=LOOKS {
            process.bet(gains(&mut chance, look));
            process.close(NEEDED.ln() / 2.0);
            if process.log_evidence() >= NEEDED.ln() {
                alarms += 1;
                until = look;
                break;
            }
        }
        looks += until;
    }
    (alarms, looks / RUNS)
}

#[test]
fn a_version_at_the_allowed_rate_is_suspected_in_fewer_than_one_of_250_releases() {
    for per_look in [3, 15, 150] {
        let (alarms, _) =
            caught(|chance, _| against_rate(chance.tally(per_look, ALLOWED), ALLOWED, 1.0));
        assert!(alarms * 250 <= 2 * RUNS, "{alarms} of {RUNS} at {per_look} requests a look");
    }
}

#[test]
fn a_version_that_fails_every_fifth_request_is_caught_within_a_minute_at_one_request_a_second() {
    let (alarms, looks) = caught(|chance, _| against_rate(chance.tally(15, 0.2), ALLOWED, 1.0));
    assert_eq!(alarms, RUNS);
    assert!(looks <= 5, "{looks} looks of 15 s");
    let (alarms, looks) = caught(|chance, _| against_rate(chance.tally(15, 0.05), ALLOWED, 1.0));
    assert!(alarms * 100 >= RUNS * 95 && looks <= 25, "{alarms} alarms, {looks} looks");
}

#[test]
fn little_traffic_delays_the_verdict_and_does_not_change_it() {
    // a request every five seconds
    let (alarms, looks) = caught(|chance, _| against_rate(chance.tally(3, 0.2), ALLOWED, 1.0));
    assert!(alarms * 100 >= RUNS * 97 && looks <= 18, "{alarms} alarms, {looks} looks");
    // one request, and it fails
    let mut process = Process::default();
    process.bet(against_rate(Tally::new(1, 1), ALLOWED, 1.0));
    process.close(NEEDED.ln() / 2.0);
    assert!(process.log_evidence() < 20.0_f64.ln(), "{}", process.log_evidence());
}

#[test]
fn an_outage_of_both_versions_says_nothing_about_the_new_one() {
    let outage = |look: u64| if (10..30).contains(&look) { 0.3 } else { 0.002 };
    let shared = |chance: &mut Chance, look| {
        let (new, old) = (chance.tally(15, outage(look)), chance.tally(30, outage(look)));
        against_control(new, old, 1.5, 1.0)
    };
    assert_eq!(caught(shared).0, 0);
    let alone = |chance: &mut Chance, look| {
        let (new, old) = (chance.tally(15, outage(look)), chance.tally(30, 0.002));
        against_control(new, old, 1.5, 1.0)
    };
    let (alarms, looks) = caught(alone);
    assert_eq!(alarms, RUNS);
    assert!((10..20).contains(&looks), "{looks} looks");
}

#[test]
fn machines_of_equal_merit_are_not_told_apart() {
    for (new, old) in [(3, 12), (15, 15), (60, 5)] {
        let (alarms, _) = caught(|chance, _| {
            against_control(chance.tally(new, 0.05), chance.tally(old, 0.05), 1.0, 1.0)
        });
        assert!(alarms * 250 <= 2 * RUNS, "{alarms} of {RUNS}");
    }
}

#[test]
fn a_fault_that_begins_late_is_found_sooner_than_by_the_evidence_of_all_time() {
    let late = |look: u64| if look > 30 { 0.1 } else { 0.0 };
    let (alarms, looks) =
        caught(|chance, look| against_rate(chance.tally(15, late(look)), ALLOWED, 1.0));
    assert!(alarms * 100 >= RUNS * 99 && looks <= 38, "{alarms} alarms, {looks} looks");
    // of the same requests without a late beginning, as one plain mixture would see them
    let mut whole = Tally::default();
    whole.add(Tally::new(450, 0));
    whole.add(Tally::new(8 * 15, 12));
    let plain = log_mean(against_rate(whole, ALLOWED, 1.0).into_iter());
    assert!(plain < NEEDED.ln(), "{plain}");
}

#[test]
fn no_single_stretch_decides_however_bad_it_is() {
    let mut process = Process::default();
    for stretch in 1..=3 {
        process.bet(against_rate(Tally::new(10_000, 9_000), ALLOWED, 1.0));
        process.close(NEEDED.ln() / 2.0);
        assert_eq!(process.log_evidence() >= NEEDED.ln(), stretch == 3, "stretch {stretch}");
    }
}

#[test]
fn bursts_are_known_from_history_and_count_less() {
    let bursts = |chance: &mut Chance| {
        // an outage of all requests in one of a hundred looks
        let rate = if chance.next() < 0.01 { 1.0 } else { 0.0 };
        chance.tally(20, rate)
    };
    let mut chance = Chance::of(1);
    let history: Vec<Tally> = (0..240).map(|_| bursts(&mut chance)).collect();
    let found = dispersion(history.iter().copied());
    assert!(found > 10.0, "{found}");
    let (tempered, _) = caught(|chance, _| against_rate(bursts(chance), 0.02, found));
    assert!(tempered * 250 <= 2 * RUNS, "{tempered} of {RUNS}");
    let coins: Vec<Tally> = (0..240).map(|_| chance.tally(20, 0.05)).collect();
    assert!(dispersion(coins.iter().copied()) < 1.3);
}

#[test]
fn what_a_history_leaves_possible_holds_in_nearly_every_history() {
    let mut missed = 0;
    for run in 0..RUNS {
        let history = Chance::of(run).tally(600, 0.02);
        missed += u64::from(upper_bound(history, 1.0, 500.0_f64.ln()) < 0.02);
    }
    assert!(missed <= 1, "{missed} of {RUNS}");
    let clean = upper_bound(Tally::new(1_000, 0), 1.0, 100.0_f64.ln());
    assert!((clean - 0.004_6).abs() < 1e-4, "{clean}");
    assert!((upper_bound(Tally::default(), 1.0, 5.0) - 1.0).abs() < 1e-9);
}

#[test]
fn a_bad_version_is_certified_in_fewer_than_one_of_twenty_releases() {
    let mut certified = 0;
    for run in 0..RUNS {
        let (mut chance, mut all) = (Chance::of(run), Tally::default());
        let ever = (0..LOOKS).any(|_| {
            all.add(chance.tally(15, 3.0 * ALLOWED));
            log_certificate(all, 3.0 * ALLOWED, 1.0) >= 20.0_f64.ln()
        });
        certified += u64::from(ever);
    }
    assert!(certified * 20 <= RUNS, "{certified} of {RUNS}");
}

#[test]
fn the_requests_that_a_certificate_still_needs_are_about_those_that_it_then_takes() {
    let needed = |requests, bad| {
        requests_to_certify(Tally::new(requests, bad), 3.0 * ALLOWED, 1.0, 20.0_f64.ln())
    };
    let clean = needed(0, 0).unwrap();
    assert!((100..160).contains(&clean), "{clean}");
    assert_eq!(needed(clean, 0), Some(0));
    let some = needed(412, 4).unwrap();
    let after = Tally::new(412 + some, 4 + some / 103);
    assert!(log_certificate(after, 3.0 * ALLOWED, 1.0) >= 20.0_f64.ln() - 0.1, "{some}");
    assert_eq!(needed(100, 10), None, "it never is, at this rate");
    let flawless = requests_to_certify_at(0.0, 3.0 * ALLOWED, 20.0_f64.ln()).unwrap();
    assert!(flawless.abs_diff(clean) < 30, "{flawless} and {clean}");
    let at_limit = requests_to_certify_at(ALLOWED, 3.0 * ALLOWED, 20.0_f64.ln()).unwrap();
    assert!((400..550).contains(&at_limit), "{at_limit}");
    assert_eq!(requests_to_certify_at(3.0 * ALLOWED, 3.0 * ALLOWED, 3.0), None);
}

#[test]
fn an_alarm_takes_the_requests_that_the_rates_tell_apart() {
    // ln(100) over the divergence, and the price of the spread on top
    let expected = [(0.01, 2_369), (0.02, 359), (0.05, 65), (0.2, 8)];
    for (rate, bare) in expected {
        let needed = requests_to_alarm(0.005, rate, 100.0_f64.ln()).unwrap();
        let most = bare * 17 / 10 + 3;
        assert!((bare..most).contains(&needed), "{needed} at {rate}");
    }
    assert_eq!(requests_to_alarm(0.01, 0.01, 5.0), None);
}

fn any_tally() -> impl Strategy<Value = Tally> {
    let counts = prop_oneof![0..50_u64, 0..1_000_000_u64, Just(u64::MAX)];
    (counts.clone(), counts).prop_map(|(requests, bad)| Tally::new(requests, bad))
}

fn any_rate() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..=1.0, Just(0.0), Just(1.0), Just(f64::NAN), Just(-1.0), Just(1e300)]
}

proptest! {
    #[test]
    fn every_count_gives_a_number(
        stretches in prop::collection::vec((any_tally(), any_tally()), 0..20),
        allowed in any_rate(),
        dispersed in any_rate(),
        margin in any_rate(),
    ) {
        let mut process = Process::default();
        let mut all = Tally::default();
        for (new, old) in &stretches {
            process.bet(against_rate(*new, allowed, dispersed));
            process.close(2.5);
            process.bet(against_control(*new, *old, margin, dispersed));
            process.close(2.5);
            all.add(*new);
        }
        prop_assert!(process.log_evidence().is_finite());
        prop_assert!(log_certificate(all, allowed, dispersed).is_finite());
        prop_assert!(dispersion(stretches.iter().map(|(new, _)| *new)).is_finite());
        let bound = upper_bound(all, dispersed, 6.0);
        prop_assert!(bound >= all.share() && bound <= 1.0, "{}", bound);
        requests_to_certify(all, allowed, dispersed, 3.0);
        requests_to_alarm(allowed, margin, 5.0);
        let text = serde_json::to_string(&process).unwrap();
        prop_assert!(!text.contains("null"), "{}", text);
    }

    #[test]
    fn one_more_bad_request_is_never_evidence_for_the_version(
        requests in 1..500_u64, bad in 0..500_u64, allowed in 0.001..0.2_f64,
    ) {
        let bad = bad.min(requests - 1);
        let evidence = |bad| log_mean(against_rate(Tally::new(requests, bad), allowed, 1.0).into_iter());
        prop_assert!(evidence(bad + 1) >= evidence(bad));
        let good = |bad| log_certificate(Tally::new(requests, bad), 3.0 * allowed, 1.0);
        prop_assert!(good(bad + 1) <= good(bad));
    }
}
