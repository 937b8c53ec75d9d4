//! Evidence from counts that may be looked at after every request, for ever: the statistics under
//! the comparison of a new version with the one before it.
//!
//! Each request is a coin: it went badly or it did not. Evidence is the wealth of somebody who bets
//! fairly against "no worse than allowed". A version that is no worse takes it above `n : 1` with a
//! chance of at most 1 in n, however often one looks (Ville's inequality). Nothing here knows of
//! releases, services or time, and nothing decides. All is kept as logarithms, and every result is
//! a number, whatever the counts.

mod bet;
mod bound;
mod certificate;
mod power;
mod process;

use serde::{Deserialize, Serialize};

pub use bet::{against_control, against_rate};
pub use bound::{dispersion, upper_bound};
pub use certificate::{log_certificate, requests_to_certify};
pub use power::{requests_to_alarm, requests_to_certify_at};
pub use process::Process;

/// By how many times the allowed rate a faulty version may fail: from a small regression to one
/// that breaks everything. Wide, because the bet costs only the logarithm of their number.
pub const MULTIPLIERS: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0];

/// No alternative says that more than this share of requests goes badly: one good request would
/// refute it.
const RATE_MAX: f64 = 0.9;

/// No rate is below this. It is far below what a service can show, and its logarithm is a number.
const RATE_MIN: f64 = 1e-9;

/// Requests, and how many of them went badly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// All of them.
    pub requests: u64,
    /// Those that went badly.
    pub bad: u64,
}

impl Tally {
    /// A tally; more bad ones than requests are cut to the requests.
    pub fn new(requests: u64, bad: u64) -> Self {
        Self { requests, bad: bad.min(requests) }
    }

    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.bad = self.bad.saturating_add(other.bad).min(self.requests);
    }

    /// The share that went badly; 0 without requests.
    pub fn share(self) -> f64 {
        if self.requests == 0 { 0.0 } else { float(self.bad) / float(self.requests) }
    }
}

/// A rate inside the open interval in which its logarithms are numbers.
fn inside(rate: f64) -> f64 {
    if rate.is_nan() { RATE_MAX } else { rate.clamp(RATE_MIN, RATE_MAX) }
}

/// A count as a number. Counts of requests are far below 2^52, where it is exact.
#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

/// A number of requests, rounded up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and the number is not negative"
)]
fn whole(requests: f64) -> u64 {
    requests.max(0.0).ceil() as u64
}

/// `ln(exp(a) + exp(b))` without leaving the logarithms.
fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    high + (low - high).exp().ln_1p()
}

/// The logarithm of the mean of what these are the logarithms of; 0, the logarithm of no evidence
/// either way, if there are none.
pub(super) fn log_mean(logs: impl Iterator<Item = f64> + Clone) -> f64 {
    let Some(highest) = logs.clone().reduce(f64::max) else { return 0.0 };
    let (mut sum, mut count) = (0.0, 0.0_f64);
    for log in logs {
        sum += (log - highest).exp();
        count += 1.0;
    }
    highest + (sum / count).ln()
}

/// How many times likelier `tally` is at one rate than at another, as a logarithm.
fn log_ratio(tally: Tally, rate: f64, than: f64) -> f64 {
    let (rate, than) = (inside(rate), inside(than));
    let bad = float(tally.bad) * (rate / than).ln();
    let good = float(tally.requests - tally.bad) * ((1.0 - rate) / (1.0 - than)).ln();
    bad + good
}

#[cfg(test)]
mod tests;
