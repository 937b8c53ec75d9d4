//! What a stretch of requests adds to the evidence of each alternative: against a rate that is
//! allowed, and against machines that served beside them.

use super::{MULTIPLIERS, RATE_MAX, Tally, float, inside, log_ratio};

/// What each alternative gains by `tally` against "no more than `allowed` goes badly".
///
/// The mean gain is at most nothing while that is true, so the wealth is a supermartingale; it
/// stays one when the gains are divided by `dispersion`, which is at least 1 (Jensen).
pub fn against_rate(tally: Tally, allowed: f64, dispersion: f64) -> [f64; MULTIPLIERS.len()] {
    let allowed = inside(allowed);
    MULTIPLIERS.map(|times| {
        log_ratio(tally, (times * allowed).min(RATE_MAX).max(allowed), allowed)
            / at_least_1(dispersion)
    })
}

/// What each alternative gains by two groups of machines that served at the same time, against
/// "the new ones go badly at most `margin` times as often as the old ones".
///
/// Of each bad request it is asked only which group it befell. What troubles both groups alike, an
/// outage of a dependency among it, cancels out. Without requests to both there is nothing to
/// learn. By the inequality `ln(1 + x) <= x` the wealth is a supermartingale for coins of any rate,
/// not only for rare ones.
pub fn against_control(
    new: Tally,
    old: Tally,
    margin: f64,
    dispersion: f64,
) -> [f64; MULTIPLIERS.len()] {
    if new.requests == 0 || old.requests == 0 {
        return [0.0; MULTIPLIERS.len()];
    }
    let exposure = float(new.requests) / float(old.requests);
    let odds = |times: f64| times * margin.max(1.0) * exposure;
    MULTIPLIERS.map(|times| {
        // shares theta = odds / (1 + odds) of the bad requests that befall the new group
        let (allowed, worse) = (odds(1.0), odds(times));
        let common = ((1.0 + allowed) / (1.0 + worse)).ln();
        let gain = float(new.bad) * (times.ln() + common) + float(old.bad) * common;
        gain / at_least_1(dispersion)
    })
}

fn at_least_1(dispersion: f64) -> f64 {
    if dispersion > 1.0 { dispersion } else { 1.0 }
}
