//! What evidence can be had at all: how many requests it takes, known before the first one.

use super::{MULTIPLIERS, Tally, inside, requests_to_certify, whole};

/// About how many requests it takes until the evidence against "no more than `allowed` goes badly"
/// reaches `log_needed`, when `rate` goes badly in truth. `None` when it never would.
///
/// The price of not knowing the rate ahead is in it: the stake is spread over all alternatives, and
/// half of it over later beginnings.
pub fn requests_to_alarm(allowed: f64, rate: f64, log_needed: f64) -> Option<u64> {
    let (allowed, rate) = (inside(allowed), inside(rate));
    let growths = MULTIPLIERS.into_iter().map(|times| {
        let worse = inside(times * allowed);
        rate * (worse / allowed).ln() + (1.0 - rate) * ((1.0 - worse) / (1.0 - allowed)).ln()
    });
    let growth = growths.fold(0.0, f64::max);
    (growth > 0.0).then(|| whole((log_needed.max(0.0) + log_spread()) / growth))
}

/// The logarithm of how many ways the stake is spread over.
fn log_spread() -> f64 {
    MULTIPLIERS.map(|_| 2.0).iter().sum::<f64>().ln()
}

/// How many requests in a row must go well until it is certain enough that less than `unwanted`
/// goes badly.
pub fn clean_requests_to_certify(unwanted: f64, log_needed: f64) -> Option<u64> {
    requests_to_certify(Tally::default(), unwanted, 1.0, log_needed)
}
