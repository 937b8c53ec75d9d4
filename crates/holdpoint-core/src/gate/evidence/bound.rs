//! What a history allows: how bad a version may have been in truth, and how much burstier its
//! requests were than coins.

use super::{RATE_MAX, RATE_MIN, Tally, float, inside};

/// Halvings of the interval in which the bound lies: more than a double can tell apart.
const HALVINGS: u32 = 60;

/// The highest rate that `tally` leaves possible, up to a chance of `exp(-log_confidence)`.
///
/// It is Chernoff's bound, which is never below the exact one of Clopper and Pearson, is equal to it
/// where nothing went badly, and needs no tables. Without requests everything is possible.
pub fn upper_bound(tally: Tally, dispersion: f64, log_confidence: f64) -> f64 {
    if tally.requests == 0 {
        return 1.0;
    }
    let (share, requests) = (tally.share(), float(tally.requests));
    let reach = log_confidence.max(0.0) * dispersion.max(1.0);
    let (mut low, mut high) = (share.max(RATE_MIN), 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if requests * divergence(share, middle) <= reach { low = middle } else { high = middle }
    }
    high
}

/// The divergence of Kullback and Leibler between two coins: how much one request tells them apart
/// on average, when `rate` is the true one.
fn divergence(rate: f64, from: f64) -> f64 {
    let from = from.clamp(RATE_MIN, 1.0 - RATE_MIN);
    let part = |of: f64, than: f64| if of > 0.0 { of * (of / than).ln() } else { 0.0 };
    part(rate, from) + part(1.0 - rate, 1.0 - from)
}

/// By how much stretches of a history scatter more than coins of one rate would (Pearson's
/// dispersion): 1 for coins and for a history that is too short to tell.
pub fn dispersion(stretches: impl Iterator<Item = Tally> + Clone) -> f64 {
    let mut all = Tally::default();
    let mut count = 0.0_f64;
    for stretch in stretches.clone().filter(|stretch| stretch.requests > 0) {
        all.add(stretch);
        count += 1.0;
    }
    let share = all.share();
    if count < 2.0 || share <= 0.0 || share >= RATE_MAX {
        return 1.0;
    }
    let rate = inside(share);
    let terms = stretches.filter(|stretch| stretch.requests > 0).map(|stretch| {
        let requests = float(stretch.requests);
        let off = float(stretch.bad) - requests * rate;
        off * off / (requests * rate * (1.0 - rate))
    });
    // one of the stretches is spent on the rate itself
    (terms.sum::<f64>() / (count - 1.0)).max(1.0)
}
