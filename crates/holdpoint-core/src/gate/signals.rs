//! The recent signals of one service and, per gate, since when its readings have been bad.
//!
//! It keeps no more history than the gates look at, and gives no verdict.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Gate, Level, Reading, seconds};
use crate::observation::Sample;
use crate::project::GatePolicy;

/// The most intervals that are kept, whatever the policy: at one every five seconds, an hour.
const SPANS_MAX: usize = 720;

/// Into how many parts the time that a breach must last is cut: the reading of one part is the
/// mean over it, short enough to see a change, long enough to hold some requests.
const PARTS: u64 = 5;

/// One interval and its sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Its start.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// What was measured.
    pub sample: Sample,
}

/// How one gate's readings have been.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Track {
    pub(super) critical_since: Option<Timestamp>,
    pub(super) reading: Reading,
}

/// The recent signals of one service in one environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Signals {
    spans: VecDeque<Span>,
    tracks: BTreeMap<Gate, Track>,
    /// Whether its probes have ever succeeded.
    has_been_well: bool,
}

impl Signals {
    /// Takes in one more interval. Intervals that are not newer than the newest are ignored, so
    /// that a repeated observation changes nothing.
    pub fn observe(&mut self, span: Span, policy: &GatePolicy) {
        if self.spans.back().is_some_and(|newest| span.to <= newest.to) {
            return;
        }
        let at = span.to;
        self.spans.push_back(span);
        let keep_secs = policy
            .error_critical_for_secs
            .max(policy.latency_p95_critical_for_secs)
            .max(policy.memory_critical_for_secs);
        while self.spans.len() > SPANS_MAX
            || self.spans.front().is_some_and(|oldest| oldest.to + seconds(keep_secs) < at)
        {
            self.spans.pop_front();
        }
        for gate in Gate::THRESHOLDS {
            let reading = gate.read(self, policy);
            let before = self.tracks.get(&gate).and_then(|track| track.critical_since);
            let critical_since = match reading.level {
                None => before,
                Some(Level::Critical) => before.or(Some(at)),
                Some(Level::Good | Level::Warn) => None,
            };
            if gate == Gate::Health && reading.level == Some(Level::Good) {
                self.has_been_well = true;
            }
            self.tracks.insert(gate, Track { critical_since, reading });
        }
    }

    /// Whether the service's probes have ever succeeded. One that was down all the time was not
    /// broken by what happened meanwhile.
    pub fn has_been_well(&self) -> bool {
        self.has_been_well
    }

    /// The end of the newest interval.
    pub fn newest(&self) -> Timestamp {
        self.spans.back().map_or(Timestamp::UNIX_EPOCH, |span| span.to)
    }

    /// The newest sample.
    pub fn newest_sample(&self) -> Option<&Sample> {
        self.spans.back().map(|span| &span.sample)
    }

    pub(super) fn track(&self, gate: Gate) -> Option<&Track> {
        self.tracks.get(&gate)
    }

    /// The samples of the newest part of a time that a breach must last.
    pub(crate) fn part_of(&self, critical_for_secs: u64) -> impl Iterator<Item = &Sample> {
        let from = self.newest() - seconds((critical_for_secs / PARTS).max(1));
        self.spans.iter().filter(move |span| span.to > from).map(|span| &span.sample)
    }

    /// All samples that are kept.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.spans.iter().map(|span| &span.sample)
    }
}
