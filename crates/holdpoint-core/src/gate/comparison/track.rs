//! One thing that is counted of a new version (errors, or answers slower than a bound), its limit,
//! and the evidence that it gave so far.

use serde::{Deserialize, Serialize};

use super::history::Stretch;
use crate::gate::evidence::{Process, Tally, against_control, against_rate, log_mean};

/// A single stretch brings at most the evidence that decides divided by this, as a logarithm: a
/// burst, or a machine that stands still for a moment, never decides alone.
const STRETCHES_TO_DECIDE: f64 = 2.0;

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Measure {
    /// Server errors.
    Errors,
    /// Slow answers.
    Slower {
        /// Than this, where nothing serves beside the new version, in microseconds.
        over_us: u64,
        /// Than this, where old machines do.
        beside_us: u64,
    },
}

/// What is allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Limit {
    pub(super) measure: Measure,
    /// The share of requests that may be bad.
    pub(super) share: f64,
    /// The share up to which a new machine is not held to be worse than old ones.
    pub(super) floor: f64,
    /// How much burstier than coins requests are.
    pub(super) dispersion: f64,
}

/// What was counted, and the evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Track {
    pub(super) limit: Limit,
    process: Process,
    /// All requests of the new version, by the bound for a version that serves alone.
    pub(super) all: Tally,
    /// Those of the new version that old machines served beside.
    pub(super) beside_new: Tally,
    /// Those of the old machines.
    pub(super) beside_old: Tally,
}

impl Track {
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            limit,
            process: Process::default(),
            all: Tally::default(),
            beside_new: Tally::default(),
            beside_old: Tally::default(),
        }
    }

    /// Takes in what new and old machines answered in the same time. Beside old machines the new
    /// version is compared with them, which an outage of both does not disturb; alone, with what is
    /// allowed.
    pub(super) fn observe(&mut self, new: &Stretch, old: &Stretch, margin: f64) {
        let Limit { share, floor, dispersion, .. } = self.limit;
        let (alone, beside) = match self.limit.measure {
            Measure::Errors => (new.errors(), [new.errors(), old.errors()]),
            Measure::Slower { over_us, beside_us } => {
                let beside = [new.slower_than(beside_us), old.slower_than(beside_us)];
                (new.slower_than(over_us), beside)
            }
        };
        self.all.add(alone);
        let [new, old] = beside;
        if old.requests == 0 {
            self.process.bet(against_rate(alone, share, dispersion));
            return;
        }
        self.beside_new.add(new);
        self.beside_old.add(old);
        // a version is good if it is no worse than the old one or not bad at all: the lesser of
        // two fair gains is fair to both
        let mut gains = against_control(new, old, margin, dispersion);
        for (gain, alone) in gains.iter_mut().zip(against_rate(new, floor, dispersion)) {
            *gain = gain.min(alone);
        }
        self.process.bet(gains);
    }

    /// Whether anything went badly in a stretch, by the bound for a version that serves alone.
    pub(super) fn is_bad(&self, stretch: &Stretch) -> bool {
        let alone = match self.limit.measure {
            Measure::Errors => stretch.errors(),
            Measure::Slower { over_us, .. } => stretch.slower_than(over_us),
        };
        alone.bad > 0
    }

    /// Closes a stretch.
    pub(super) fn close(&mut self, log_needed: f64) {
        self.process.close(log_needed / STRETCHES_TO_DECIDE);
    }

    /// The logarithm of the evidence of several things that are counted, as one.
    pub(super) fn log_evidence(tracks: &[Self]) -> f64 {
        log_mean(tracks.iter().map(|track| track.process.log_evidence()))
    }
}
