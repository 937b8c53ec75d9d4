//! What is known of a release's invariants. A rollback puts programs back and not data, so on the
//! way back nothing is asked of them.

use jiff::Timestamp;

use super::Release;
use crate::gate::{Finding, InvariantTrack, Verdict, judge, unmeasured};
use crate::id::{Course, Environment};
use crate::observation::Observation;
use crate::project::Invariant;

impl Release {
    /// The invariants that must hold in an environment.
    pub fn invariants_of(&self, environment: Environment) -> impl Iterator<Item = &Invariant> {
        let forward = self.course() == Course::Forward;
        let all = self.project.gates.invariants.iter();
        all.filter(move |one| forward && one.environments.contains(&environment))
    }

    fn track(&self, environment: Environment, invariant: &Invariant) -> Option<&InvariantTrack> {
        self.invariants.get(&environment)?.get(&invariant.name)
    }

    /// The first invariant without a value of before the rollout into an environment.
    pub(crate) fn unmeasured(&self, environment: Environment, now: Timestamp) -> Option<Finding> {
        let stale_after_secs = self.project.gates.stale_after_secs;
        self.invariants_of(environment).find_map(|one| {
            unmeasured(one, environment, self.track(environment, one), stale_after_secs, now)
        })
    }

    pub(super) fn invariant_verdicts(
        &self,
        environment: Environment,
        now: Timestamp,
    ) -> impl Iterator<Item = Verdict> {
        let stale_after_secs = self.project.gates.stale_after_secs;
        self.invariants_of(environment).map(move |one| {
            judge(one, environment, self.track(environment, one), stale_after_secs, now)
        })
    }

    /// When the answers of an environment are too old to count.
    pub(crate) fn invariants_stale_at(&self, environment: Environment) -> Vec<Timestamp> {
        let stale_after_secs = self.project.gates.stale_after_secs;
        self.invariants_of(environment)
            .filter_map(|one| self.track(environment, one)?.stale_at(one, stale_after_secs))
            .collect()
    }

    pub(crate) fn observe_invariants(&mut self, observation: &Observation) {
        let environment = observation.environment;
        let is_begun = self.forward.touched(environment);
        for reading in &observation.invariants {
            let is_known =
                self.invariants_of(environment).any(|invariant| invariant.name == reading.name);
            if is_known {
                let tracks = self.invariants.entry(environment).or_default();
                let track = tracks.entry(reading.name.clone()).or_default();
                track.observe(observation.to, reading, is_begun);
            }
        }
    }
}
