//! Compares a new version with the one before it, while it is rolled out and afterwards: server
//! errors and latency, by evidence that may be looked at at any time (see [`super::evidence`]).
//!
//! Where old machines serve beside new ones, it compares with them; otherwise with what the version
//! before did until then, and with the project's thresholds. What of a service ran before decides
//! nothing here: [`crate::state::Sides`] says which machine stands where.

mod history;
mod outlook;
mod text;
mod track;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::evidence::{log_certificate, requests_to_certify};
use super::{Gate, seconds, to_secs};
use crate::id::MachineId;
use crate::observation::{MachineSample, Sample};
use crate::project::GatePolicy;
use crate::state::Sides;
use track::Track;

pub use history::{History, Stretch};
pub use outlook::{Outlook, outlook};

/// A version is certified to be better than one that is so many times as bad as allowed: to tell
/// it from exactly the allowed rate would take for ever.
pub(super) const UNWANTED_TIMES: f64 = 3.0;

/// The place of the P95 among the tracks of latency; the runbook's threshold is one for it.
const P95: usize = 1;

/// The comparison of one service in one environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// How the version before did.
    history: History,
    /// Once the new version has answered.
    going: Option<Going>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Going {
    since: Timestamp,
    newest: Timestamp,
    errors: Compared,
    latency: Compared,
    stretch_since: Timestamp,
    stretch: Stretch,
    /// How the new version does: the history of the next one.
    own: History,
}

/// One signal: what is counted of it, the logarithm of the evidence that decides, and what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Compared {
    tracks: Vec<Track>,
    log_needed: f64,
    said: Said,
}

/// What a comparison says of one signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Said {
    /// There is evidence that the new version is worse.
    Worse(String),
    /// There is evidence that it is not.
    Certified(String),
    /// There is not enough of either.
    Undecided(String),
}

impl Comparison {
    /// A comparison with a version of which this is known.
    pub fn after(history: History) -> Self {
        Self { history, going: None }
    }

    /// Takes in an interval before any machine was begun.
    pub fn learn(&mut self, span: (Timestamp, Timestamp), sample: &Sample) {
        let mut stretch = sum(sample.machines.iter());
        stretch.lasts(span);
        self.history.push(stretch);
    }

    /// Takes in an interval during or after the rollout. `stretch_secs` is the shortest time that
    /// counts as one stretch.
    pub fn observe(
        &mut self,
        (from, to): (Timestamp, Timestamp),
        sample: &Sample,
        sides: &Sides,
        policy: &GatePolicy,
        stretch_secs: u64,
    ) {
        if sides.new.is_empty() {
            return;
        }
        let of = |side: &BTreeSet<MachineId>| {
            sum(sample.machines.iter().filter(|one| side.contains(&one.machine)))
        };
        let (new, old) = (of(&sides.new), of(&sides.old));
        let going = self.going.get_or_insert_with(|| Going::new(from, &self.history, policy));
        if to <= going.newest {
            return;
        }
        going.newest = to;
        let margin = policy.comparison.margin;
        for compared in [&mut going.errors, &mut going.latency] {
            for track in &mut compared.tracks {
                track.observe(&new, &old, margin);
            }
        }
        going.stretch.add(new.requests, new.errors, &new.latency);
        going.stretch.lasts((from, to));
        if to >= going.stretch_since + seconds(stretch_secs) {
            going.close(to);
        }
        let secs = to.duration_since(going.since).as_secs();
        going.errors.conclude(0, secs, policy);
        going.latency.conclude(P95, secs, policy);
    }

    /// What the next version is compared with, if this one stays (`is_kept`) or goes.
    pub fn into_history(self, is_kept: bool) -> History {
        let own = self.going.filter(|_| is_kept).map(|going| going.own);
        own.filter(|own| !own.is_empty()).unwrap_or(self.history)
    }

    /// What it says at `now` by one of the gates that compare.
    pub(super) fn said(&self, gate: Gate, policy: &GatePolicy, now: Timestamp) -> Said {
        let Some(going) = &self.going else {
            let text = "no machine has the new version for long enough yet";
            return Said::Undecided(text.to_owned());
        };
        let age_secs = now.duration_since(going.newest).as_secs();
        if age_secs > to_secs(policy.stale_after_secs) {
            return Said::Undecided(format!("no data for {age_secs} s"));
        }
        match gate {
            Gate::LatencyComparison => going.latency.said.clone(),
            Gate::ErrorComparison
            | Gate::ErrorRate
            | Gate::LatencyP95
            | Gate::Health
            | Gate::Memory
            | Gate::OomKill
            | Gate::Invariant => going.errors.said.clone(),
        }
    }
}

impl Compared {
    fn new(tracks: Vec<Track>, history: &History, policy: &GatePolicy) -> Self {
        let log_needed = history.log_needed(&tracks, policy);
        let said = Said::Undecided("nothing is counted yet".to_owned());
        Self { tracks, log_needed, said }
    }

    /// Says what it comes to after so many seconds, by the track that stands for all.
    fn conclude(&mut self, place: usize, secs: i64, policy: &GatePolicy) {
        let Some(track) = self.tracks.get(place) else { return };
        let log_evidence = Track::log_evidence(&self.tracks);
        let mut text = text::counted(track, secs);
        text.push_str(&text::evidence(log_evidence, self.log_needed));
        let unwanted = UNWANTED_TIMES * track.limit.share;
        let log_certify = history::evidence(policy.comparison.certify_at).ln();
        let log_good = log_certificate(track.all, unwanted, track.limit.dispersion);
        self.said = if log_evidence >= self.log_needed {
            Said::Worse(text)
        } else if log_good >= log_certify {
            text.push_str(&text::certified(log_good, unwanted));
            Said::Certified(text)
        } else {
            let needed =
                requests_to_certify(track.all, unwanted, track.limit.dispersion, log_certify);
            text.push_str(&text::needed(needed));
            Said::Undecided(text)
        };
    }
}

impl Going {
    fn new(since: Timestamp, history: &History, policy: &GatePolicy) -> Self {
        let compared = |tracks| Compared::new(tracks, history, policy);
        Self {
            since,
            newest: since,
            errors: compared(vec![Track::new(history.error_limit(policy))]),
            latency: compared(history.latency_limits(policy).map(Track::new).to_vec()),
            stretch_since: since,
            stretch: Stretch::default(),
            own: History::default(),
        }
    }

    fn close(&mut self, at: Timestamp) {
        for compared in [&mut self.errors, &mut self.latency] {
            for track in &mut compared.tracks {
                track.close(compared.log_needed);
            }
        }
        self.stretch_since = at;
        self.own.push(std::mem::take(&mut self.stretch));
    }
}

fn sum<'a>(machines: impl Iterator<Item = &'a MachineSample>) -> Stretch {
    let mut stretch = Stretch::default();
    for one in machines {
        stretch.add(one.requests, one.errors, &one.latency);
    }
    stretch
}

#[cfg(test)]
mod tests;
