//! What evidence can be had at all: how many requests it takes, known before the first one.

use super::certificate::PARTS;
use super::{MULTIPLIERS, inside, whole};

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

/// About how many requests it takes until the evidence against "at least `unwanted` goes badly"
/// reaches `log_needed`, when `rate` goes badly in truth. `None` when it never would.
pub fn requests_to_certify_at(rate: f64, unwanted: f64, log_needed: f64) -> Option<u64> {
    let growth = PARTS.into_iter().fold(0.0, |most: f64, part| {
        let (low, high) = (inside(part * unwanted), inside(unwanted));
        let rate = inside(rate);
        most.max(rate * (low / high).ln() + (1.0 - rate) * ((1.0 - low) / (1.0 - high)).ln())
    });
    let spread = PARTS.map(|_| 1.0).iter().sum::<f64>().ln();
    (growth > 0.0).then(|| whole((log_needed.max(0.0) + spread) / growth))
}
