//! How a version did over some time, stretch by stretch, and what follows from it for the version
//! after it: what is allowed, how bursty requests are, and how much evidence decides.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::track::{Limit, Measure, Track};
use crate::gate::evidence::{Tally, dispersion, upper_bound};
use crate::observation::Histogram;
use crate::project::GatePolicy;

/// The most stretches that are kept: an hour of looks every fifteen seconds.
const STRETCHES_MAX: usize = 240;

/// With fewer answers than this the slowest of them say nothing about what is usual.
const ANSWERS_MIN: u64 = 100;

/// What machines answered over a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// Requests answered.
    pub requests: u64,
    /// Those answered with a server error.
    pub errors: u64,
    /// How long answers took.
    pub latency: Histogram,
    /// How long it lasted, in milliseconds.
    pub lasted_ms: u64,
}

impl Stretch {
    /// Adds what others answered in the same time.
    pub(super) fn add(&mut self, requests: u64, errors: u64, latency: &Histogram) {
        self.requests = self.requests.saturating_add(requests);
        self.errors = self.errors.saturating_add(errors);
        self.latency.add(latency);
    }

    /// It lasted for this interval as well.
    pub(super) fn lasts(&mut self, (from, to): (Timestamp, Timestamp)) {
        let ms = u64::try_from(to.duration_since(from).as_millis()).unwrap_or_default();
        self.lasted_ms = self.lasted_ms.saturating_add(ms);
    }

    pub(super) fn errors(&self) -> Tally {
        Tally::new(self.requests, self.errors)
    }

    pub(super) fn slower_than(&self, bound_us: u64) -> Tally {
        Tally::new(self.latency.answers(), self.latency.slower_than(bound_us))
    }
}

/// The newest stretches of a version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    stretches: VecDeque<Stretch>,
}

impl History {
    /// Adds the newest stretch. One without requests says nothing but that it lasted.
    pub(super) fn push(&mut self, stretch: Stretch) {
        if stretch.requests == 0 {
            if let Some(newest) = self.stretches.back_mut() {
                newest.lasted_ms = newest.lasted_ms.saturating_add(stretch.lasted_ms);
            }
            return;
        }
        self.stretches.push_back(stretch);
        if self.stretches.len() > STRETCHES_MAX {
            self.stretches.pop_front();
        }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// All requests, and those that failed.
    pub fn errors(&self) -> Tally {
        let mut all = Tally::default();
        self.stretches.iter().for_each(|stretch| all.add(stretch.errors()));
        all
    }

    /// How many requests were answered in a second.
    pub fn requests_per_sec(&self) -> Option<f64> {
        let lasted_ms: u64 = self.stretches.iter().map(|stretch| stretch.lasted_ms).sum();
        let requests = u32::try_from(self.errors().requests).map_or(f64::MAX, f64::from);
        let lasted_ms = u32::try_from(lasted_ms).map_or(f64::MAX, f64::from);
        (lasted_ms > 0.0).then(|| requests / lasted_ms * 1000.0)
    }

    /// What the version after this one is allowed. A version may always fail as often as the
    /// project's warning thresholds say; where the one before it was worse than that, it must not
    /// be worse than that one.
    pub(super) fn error_limit(&self, policy: &GatePolicy) -> Limit {
        let scatter = dispersion(self.stretches.iter().map(Stretch::errors));
        let (all, allowed) = (self.errors(), policy.error_share_warn);
        let share = if all.share() > allowed {
            // half of what may go wrong is spent on the history, half on the comparison
            upper_bound(all, scatter, (2.0 * evidence(policy.comparison.roll_back_at)).ln())
        } else {
            allowed
        };
        Limit {
            measure: Measure::Errors,
            share,
            floor: policy.comparison.error_floor,
            dispersion: scatter,
        }
    }

    /// The same for latency, at three quantiles: the usual, the slow and the slowest answers. Without
    /// a history only what the project calls critical is too slow.
    pub(super) fn latency_limits(&self, policy: &GatePolicy) -> [Limit; 3] {
        let mut all = Histogram::default();
        self.stretches.iter().for_each(|stretch| all.add(&stretch.latency));
        let is_known = all.answers() >= ANSWERS_MIN;
        let ceiling_ms =
            if is_known { policy.latency_p95_warn_ms } else { policy.latency_p95_critical_ms };
        // the runbook has thresholds for the P95; the slowest of a hundred may take twice as long
        [(0.75, 1), (0.95, 1), (0.99, 2)].map(|(quantile, times)| {
            let usual_us = all.quantile_us(quantile).filter(|_| is_known).unwrap_or_default();
            let tolerated_us = scaled(usual_us, policy.comparison.margin);
            let over_us = tolerated_us.max(ceiling_ms.saturating_mul(1000 * times));
            let floor_us = policy.comparison.latency_floor_ms.saturating_mul(1000);
            let beside_us = if is_known { tolerated_us.max(floor_us) } else { over_us };
            let slow = self.stretches.iter().map(|stretch| stretch.slower_than(beside_us));
            Limit {
                measure: Measure::Slower { over_us, beside_us },
                share: 1.0 - quantile,
                floor: 1.0 - quantile,
                dispersion: dispersion(slow),
            }
        })
    }

    /// The logarithm of the evidence that decides: what the policy says, or the most that this
    /// history of a good version would itself have given rise to. It is only ever stricter than the
    /// policy.
    pub(super) fn log_needed(&self, tracks: &[Track], policy: &GatePolicy) -> f64 {
        let by_policy = evidence(policy.comparison.roll_back_at).ln();
        let mut replayed: Vec<Track> =
            tracks.iter().map(|track| Track::new(track.limit.clone())).collect();
        // where nothing went badly nothing speaks against the version, and most histories are so
        let went_badly = |track: &Track| self.stretches.iter().any(|one| track.is_bad(one));
        if !tracks.iter().any(went_badly) {
            return by_policy;
        }
        let mut needed = by_policy;
        for stretch in &self.stretches {
            for track in &mut replayed {
                track.observe(stretch, &Stretch::default(), policy.comparison.margin);
                track.close(by_policy);
            }
            needed = needed.max(Track::log_evidence(&replayed));
        }
        needed
    }
}

/// So much evidence to one.
pub(super) fn evidence(to_one: u64) -> f64 {
    // the policy allows at most a billion, which is exact
    f64::from(u32::try_from(to_one).unwrap_or(u32::MAX)).max(1.0)
}

/// A length of time, some times as long.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and the product is not negative"
)]
fn scaled(us: u64, times: f64) -> u64 {
    (us as f64 * times) as u64
}
