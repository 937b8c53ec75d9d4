//! Evidence as it grows: half of the stake bets that the version was bad from the beginning, the
//! other half that it turns bad at some later time (Shiryaev and Roberts).

use serde::{Deserialize, Serialize};

use super::{MULTIPLIERS, float, log_add, log_mean};

/// In about so many stretches of time a version is expected to turn bad, if it does: the stakes on
/// later ones fall with the square. Fifteen minutes of looks every fifteen seconds; it sets what a
/// late fault costs, never how often a good version is suspected.
const HORIZON: f64 = 60.0;

/// The wealth of one bettor, per alternative. Its evidence is bounded for ever, not only up to a
/// time that would have to be known ahead.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Logarithms of the wealth of who bet from the beginning; empty before the first stretch.
    early: Vec<f64>,
    /// Logarithms of the wealth of who bet from some later stretch on.
    late: Vec<f64>,
    /// How many stretches have been closed.
    stretches: u64,
    /// What the open stretch has brought so far.
    open: Vec<f64>,
}

impl Process {
    /// Adds to the open stretch.
    pub fn bet(&mut self, gains: [f64; MULTIPLIERS.len()]) {
        if self.open.is_empty() {
            self.open = gains.to_vec();
            return;
        }
        for (sum, gain) in self.open.iter_mut().zip(gains) {
            *sum += gain;
        }
    }

    /// Closes the open stretch. It brings at most `gain_max`, so that no single burst decides:
    /// what is cut from a gain leaves a supermartingale one.
    pub fn close(&mut self, gain_max: f64) {
        if self.open.is_empty() {
            return;
        }
        self.stretches += 1;
        let stretch = float(self.stretches);
        // these stakes add up to 1 over all stretches that there can be
        let stake = (HORIZON / ((HORIZON + stretch - 1.0) * (HORIZON + stretch))).ln();
        let gains: Vec<f64> = self.open.drain(..).map(|gain| gain.min(gain_max)).collect();
        if self.early.is_empty() {
            self.late = gains.iter().map(|gain| stake + gain).collect();
            self.early = gains;
            return;
        }
        for ((early, late), gain) in self.early.iter_mut().zip(&mut self.late).zip(gains) {
            *early += gain;
            *late = log_add(*late, stake) + gain;
        }
    }

    /// The logarithm of the evidence: the mean of all wealth. What has not been staked yet counts
    /// as it is.
    pub fn log_evidence(&self) -> f64 {
        if self.early.is_empty() {
            return 0.0;
        }
        let unstaked = (HORIZON / (HORIZON + float(self.stretches))).ln();
        let late = log_add(log_mean(self.late.iter().copied()), unstaked);
        log_mean([log_mean(self.early.iter().copied()), late].into_iter())
    }
}
