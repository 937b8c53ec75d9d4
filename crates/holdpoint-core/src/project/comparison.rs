//! How a new version is compared with the one before it: how much worse it may be, and how much
//! evidence decides. It compares nothing.

use serde::{Deserialize, Serialize};

use super::reader::Table;

/// More evidence than this is no more certain than the assumptions that it rests on.
const EVIDENCE_LIMIT: u64 = 1_000_000_000;

/// The largest margin; a version that is worse by more is worse.
const MARGIN_LIMIT: f64 = 100.0;

/// The longest floor of latency, in milliseconds.
const LATENCY_FLOOR_LIMIT_MS: u64 = 10 * 60 * 1000;

/// The settings of the comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparisonPolicy {
    /// Evidence to one against the new version at which it is rolled back. A version that is as
    /// good as it must be gets there in at most one of this many releases.
    pub roll_back_at: u64,
    /// Evidence to one for the new version at which it is certified; without that no soak passes.
    /// With 1 it needs none.
    pub certify_at: u64,
    /// How many times as often as the old version the new one may fail, and how many times as long
    /// it may take.
    pub margin: f64,
    /// Share of failed requests up to which a new machine is not held to be worse than old ones.
    pub error_floor: f64,
    /// Answers faster than this are never held to be slower, in milliseconds.
    pub latency_floor_ms: u64,
    /// For how long after a machine's change what it answers does not count.
    pub warm_up_secs: u64,
}

impl ComparisonPolicy {
    pub(super) fn read(&mut self, table: &mut Table<'_>) {
        table.number("roll_back_at", 2..=EVIDENCE_LIMIT, &mut self.roll_back_at);
        table.number("certify_at", 1..=EVIDENCE_LIMIT, &mut self.certify_at);
        if let Some(margin) = table.take("margin").and_then(|value| value.factor(MARGIN_LIMIT)) {
            self.margin = margin;
        }
        if let Some(share) = table.take("error_floor").and_then(|value| value.share()) {
            self.error_floor = share;
        }
        let floor = table.take("latency_floor");
        let floor_ms = floor.and_then(|value| value.millis(&(0..=LATENCY_FLOOR_LIMIT_MS)));
        self.latency_floor_ms = floor_ms.unwrap_or(self.latency_floor_ms);
        table.secs("warm_up", 0, &mut self.warm_up_secs);
    }
}

impl Default for ComparisonPolicy {
    fn default() -> Self {
        Self {
            // 1 % of good releases may be rolled back in all: 0.4 % each by errors and by latency,
            // the rest by everything else
            roll_back_at: 250,
            // one bad version in twenty may be certified; the thresholds watch it too
            certify_at: 20,
            margin: 1.5,
            // a fifth of what the runbook allows at all
            error_floor: 0.002,
            // people take an answer within a tenth of a second as instantaneous
            latency_floor_ms: 100,
            // how often Fly measures: a machine's first interval
            warm_up_secs: 15,
        }
    }
}
