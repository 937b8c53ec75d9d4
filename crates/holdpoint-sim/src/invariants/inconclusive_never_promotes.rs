//! A soak passes only if what was measured was fresh and good during all of its time, by a naive
//! reading of the same samples.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use holdpoint_core::effect::Outcome;
use holdpoint_core::event::Event;
use holdpoint_core::id::{EffectId, Environment, MachinePhase};
use holdpoint_core::observation::{Observation, Sample};
use holdpoint_core::plan::{
    MachineAction, MachineChange, Plan, Rollout, Soak, SoakPurpose, StepKind,
};
use holdpoint_core::project::GatePolicy;
use jiff::{SignedDuration, Timestamp};

use super::ledger::Under;
use super::{Checker, Fact, Ledger};

/// How many measurements are remembered to know a genuine one by.
const MEASURED_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct InconclusiveNeverPromotes {
    measured: VecDeque<Observation>,
    readings: BTreeMap<(Environment, String), Vec<Reading>>,
    /// Services of which a machine was asked to become another, on the way that is taken.
    changed: BTreeSet<(Environment, String)>,
}

/// What was heard of one service.
#[derive(Clone, Debug)]
struct Reading {
    heard_at: Timestamp,
    measured_at: Timestamp,
    sample: Sample,
}

/// Into how many parts the gates cut the time that a breach must last; they judge by the mean
/// over the newest one.
const PARTS: u64 = 5;

impl Checker for InconclusiveNeverPromotes {
    fn name(&self) -> &'static str {
        "inconclusive-never-promotes"
    }

    fn see(&mut self, ledger: &Ledger, now: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        if let Fact::Measured(observation) = fact {
            self.measured.push_back(observation.clone());
            if self.measured.len() > MEASURED_MAX {
                self.measured.pop_front();
            }
        }
        if let Fact::Event(Event::ReleaseStarted(_)) = fact {
            self.readings.clear();
        }
        if let Fact::Event(Event::ReleaseStarted(_) | Event::RollbackStarted { .. }) = fact {
            self.changed.clear();
        }
        let Some(under) = &ledger.release else { return Ok(()) };
        // what was measured of a bad version is not held against the one before it
        if let Fact::Event(Event::StepStarted { step }) = fact
            && let Some(StepKind::Soak(soak)) = under.step(*step)
            && soak.purpose == SoakPurpose::Watch
        {
            self.readings.retain(|(environment, _), _| *environment != soak.environment);
        }
        self.forget_absence(under, fact);
        // before it is begun, an environment is measured only to be compared with
        if let Fact::Event(Event::Observed(observation)) = fact
            && under.has_begun(observation.environment)
        {
            return self.hear(now, observation);
        }
        if let Fact::Event(Event::StepPassed { step }) = fact
            && let Some(StepKind::Soak(soak)) = under.step(*step)
            && soak.duration_secs > 0
        {
            return self.check(under, soak, now);
        }
        Ok(())
    }
}

impl InconclusiveNeverPromotes {
    /// That a service was down all the time before its first machine was changed is not held
    /// against it.
    fn forget_absence(&mut self, under: &Under, fact: Fact<'_>) {
        let Some((rollout, becomes_another)) = begun(under, fact) else { return };
        let key = (rollout.environment, rollout.service.as_str().to_owned());
        let is_first = !self.changed.contains(&key);
        if becomes_another {
            self.changed.insert(key.clone());
        }
        let is_well = |one: &Reading| one.sample.probes_passed > one.sample.probes_failed;
        if is_first && self.readings.get(&key).is_some_and(|all| !all.iter().any(is_well)) {
            self.readings.remove(&key);
        }
    }

    fn hear(&mut self, now: Timestamp, observation: &Observation) -> Result<(), String> {
        for sample in &observation.samples {
            let is_genuine = self.measured.iter().any(|one| {
                one.environment == observation.environment
                    && one.to == observation.to
                    && one.samples.contains(sample)
            });
            if !is_genuine {
                return Err(format!("{} was never measured at {now}", sample.service));
            }
            let key = (observation.environment, sample.service.clone());
            let readings = self.readings.entry(key).or_default();
            if readings.last().is_none_or(|newest| observation.to > newest.measured_at) {
                let (measured_at, sample) = (observation.to, sample.clone());
                readings.push(Reading { heard_at: now, measured_at, sample });
            }
        }
        Ok(())
    }

    fn check(&self, under: &Under, soak: &Soak, now: Timestamp) -> Result<(), String> {
        let began = now - secs(soak.duration_secs);
        // ages count in whole seconds
        let age_max = secs(under.project.gates.stale_after_secs + 1);
        let policy = &under.project.gates;
        for service in &under.project.services {
            if under.back.as_ref().is_some_and(|back| !runs_again(back, soak, &service.name)) {
                continue;
            }
            let key = (soak.environment, service.name.clone());
            let readings = self.readings.get(&key).map(Vec::as_slice).unwrap_or_default();
            let name = format!("{} in {}", service.name, soak.environment);
            let before = readings.iter().filter(|one| one.heard_at <= began).count();
            if before == 0 {
                return Err(format!("nothing was known of {name} at {began}"));
            }
            for index in before - 1..readings.len() {
                let (known, later) = readings.split_at(index + 1);
                let Some(newest) = known.last() else { continue };
                if !is_good(known, newest, policy) {
                    return Err(format!("{name} was not good at {}", newest.heard_at));
                }
                let until = later.first().map_or(now, |next| next.heard_at);
                if until.duration_since(newest.measured_at) >= age_max {
                    let since = newest.measured_at;
                    return Err(format!("nothing was heard of {name} from {since} to {until}"));
                }
            }
        }
        Ok(())
    }
}

/// The rollout of which a wave, or the change of a machine, begins; and whether a machine of it is
/// asked to become another.
fn begun<'a>(under: &'a Under, fact: Fact<'_>) -> Option<(&'a Rollout, bool)> {
    if let Fact::Event(Event::WaveStarted { step, wave }) = fact {
        let rollout = under.rollout(under.course(), *step)?;
        let mut changes = rollout.waves.get(*wave)?.changes.iter();
        let makes = |change: &MachineChange| matches!(change.action, MachineAction::Create { .. });
        return Some((rollout, changes.any(makes)));
    }
    if let Fact::Event(Event::EffectEnded { effect, outcome: Outcome::Done(_) }) = fact
        && let EffectId::Machine { course, step, slot, phase: MachinePhase::Cordon, .. } = effect
    {
        let rollout = under.rollout(*course, *step)?;
        let mut changes = rollout.waves.iter().flat_map(|wave| &wave.changes);
        let change = changes.find(|change| change.slot == *slot)?;
        return matches!(change.action, MachineAction::Update { .. }).then_some((rollout, true));
    }
    None
}

/// Whether a way back puts a previous version of a service in the place of the new one.
fn runs_again(back: &Plan, soak: &Soak, service: &str) -> bool {
    let rollouts = back.steps.iter().filter_map(|step| step.kind.rollout());
    let mut changes = rollouts
        .filter(|one| one.environment == soak.environment && one.service.as_str() == service)
        .flat_map(|one| one.waves.iter().flat_map(|wave| &wave.changes));
    changes.any(|change| matches!(change.action, MachineAction::Update { .. }))
}

/// Whether what is known passes every gate.
fn is_good(known: &[Reading], newest: &Reading, policy: &GatePolicy) -> bool {
    let part = |critical_for_secs: u64| {
        let from = newest.measured_at - secs(critical_for_secs / PARTS);
        known.iter().filter(move |one| one.measured_at > from).map(|one| &one.sample)
    };
    let (mut requests, mut errors) = (0, 0);
    for sample in part(policy.error_critical_for_secs) {
        requests += sample.requests;
        errors += sample.errors;
    }
    let mut answers: Vec<u64> = Vec::new();
    for sample in part(policy.latency_p95_critical_for_secs) {
        for (bound_us, count) in &sample.latency.buckets {
            answers.extend((0..*count).map(|_| *bound_us));
        }
    }
    answers.sort_unstable();
    let rank = (answers.len() * 95).div_ceil(100);
    let p95_us = rank.checked_sub(1).and_then(|index| answers.get(index)).copied();
    let enough = usize::try_from(policy.latency_p95_minimum_requests).unwrap_or(usize::MAX);
    let float = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let sample = &newest.sample;
    requests >= policy.error_minimum_requests
        && float(errors) <= float(requests) * policy.error_share_warn
        && answers.len() >= enough
        && p95_us.is_some_and(|p95_us| p95_us <= policy.latency_p95_warn_ms * 1000)
        && sample.probes_passed > sample.probes_failed
        && sample.memory_share.is_some_and(|share| share <= policy.memory_share_warn)
        && sample.oom_kills == 0
}

fn secs(secs: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(secs).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::trace::{Trace, good_sample};

    /// A soak in staging of 40 s over samples at these seconds, each good or not.
    fn soak(samples: &[(i64, bool)]) -> Result<(), String> {
        let mut trace = Trace::of(InconclusiveNeverPromotes::default());
        trace.release(1)?;
        trace.begin(Environment::Staging)?;
        for (second, is_good) in samples {
            let samples = ["search", "desk"].map(|service| Sample {
                errors: if *is_good { 0 } else { 50 },
                ..good_sample(service)
            });
            trace.now =
                Trace::<InconclusiveNeverPromotes>::start() + SignedDuration::from_secs(*second);
            trace.observe(&samples)?;
        }
        trace.now = Trace::<InconclusiveNeverPromotes>::start() + SignedDuration::from_secs(40);
        let step = trace.soak_step();
        trace.event(&Event::StepPassed { step })
    }

    #[test]
    fn a_soak_over_fresh_and_good_samples_passes() {
        soak(&[(0, true), (15, true), (30, true)]).unwrap();
    }

    #[test]
    fn a_soak_without_data_or_with_too_old_or_bad_data_is_caught() {
        soak(&[]).unwrap_err();
        soak(&[(1, true), (15, true)]).unwrap_err();
        soak(&[(-20, true), (39, true)]).unwrap_err();
        soak(&[(0, true), (15, false), (30, true)]).unwrap_err();
    }
}
