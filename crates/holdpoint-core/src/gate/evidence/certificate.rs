//! Evidence for a version: that it is not as bad as a rate that nobody wants.

use super::{Tally, inside, log_mean, log_ratio, whole};

/// Below the unwanted rate by these factors a good version may lie: nearly never, seldom, and
/// close to it.
pub(super) const PARTS: [f64; 4] = [0.02, 0.1, 0.3, 0.6];

/// More requests than this are not waited for by anybody.
const REQUESTS_MAX: f64 = 1e12;

/// The logarithm of the evidence against "at least `unwanted` goes badly". Like all evidence it may
/// be looked at at any time.
pub fn log_certificate(tally: Tally, unwanted: f64, dispersion: f64) -> f64 {
    log_mean(
        PARTS
            .into_iter()
            .map(|part| log_ratio(tally, part * unwanted, unwanted) / dispersion.max(1.0)),
    )
}

/// About how many more requests it takes until that evidence reaches `log_needed`, if they go as
/// those before them did. `None` when it never would.
pub fn requests_to_certify(
    tally: Tally,
    unwanted: f64,
    dispersion: f64,
    log_needed: f64,
) -> Option<u64> {
    let share = tally.share();
    let dispersion = dispersion.max(1.0);
    let reached = |more: f64| {
        let lines = PARTS.into_iter().map(|part| {
            let (rate, than) = (inside(part * unwanted), inside(unwanted));
            let per_request =
                share * (rate / than).ln() + (1.0 - share) * ((1.0 - rate) / (1.0 - than)).ln();
            log_ratio(tally, rate, than) / dispersion + more * per_request / dispersion
        });
        log_mean(lines) >= log_needed
    };
    if reached(0.0) {
        return Some(0);
    }
    // the evidence is convex in the number of requests, so it crosses from below only once
    let mut high = 1.0;
    while !reached(high) {
        high *= 2.0;
        if high > REQUESTS_MAX {
            return None;
        }
    }
    let mut low = high / 2.0;
    while high - low > 1.0 && high - low > high * 1e-3 {
        let middle = f64::midpoint(low, high);
        if reached(middle) { high = middle } else { low = middle }
    }
    Some(whole(high))
}
