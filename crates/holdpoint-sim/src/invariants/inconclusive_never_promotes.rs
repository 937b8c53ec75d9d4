//! A soak passes only if what was measured was fresh and good during all of its time, by a naive
//! reading of the same samples.

use std::collections::{BTreeMap, VecDeque};

use holdpoint_core::event::Event;
use holdpoint_core::id::Environment;
use holdpoint_core::observation::{Observation, Sample};
use holdpoint_core::plan::{Soak, StepKind};
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
}

/// What was heard of one service.
#[derive(Clone, Copy, Debug)]
struct Reading {
    heard_at: Timestamp,
    measured_at: Timestamp,
    is_good: bool,
}

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
        let Some(under) = &ledger.release else { return Ok(()) };
        if let Fact::Event(Event::Observed(observation)) = fact {
            return self.hear(&under.project.gates, now, observation);
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
    fn hear(
        &mut self,
        policy: &GatePolicy,
        now: Timestamp,
        observation: &Observation,
    ) -> Result<(), String> {
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
                let is_good = is_good(sample, policy);
                let measured_at = observation.to;
                readings.push(Reading { heard_at: now, measured_at, is_good });
            }
        }
        Ok(())
    }

    fn check(&self, under: &Under, soak: &Soak, now: Timestamp) -> Result<(), String> {
        let began = now - secs(soak.duration_secs);
        // ages count in whole seconds
        let age_max = secs(under.project.gates.stale_after_secs + 1);
        for service in &under.project.services {
            let key = (soak.environment, service.name.clone());
            let readings = self.readings.get(&key).map(Vec::as_slice).unwrap_or_default();
            let name = format!("{} in {}", service.name, soak.environment);
            let before = readings.iter().filter(|one| one.heard_at <= began).count();
            let counting = readings.get(before.saturating_sub(1)..).unwrap_or_default();
            if before == 0 {
                return Err(format!("nothing was known of {name} at {began}"));
            }
            let ends = counting.iter().skip(1).map(|one| one.heard_at).chain([now]);
            for (reading, until) in counting.iter().zip(ends) {
                if !reading.is_good {
                    return Err(format!("{name} was not good at {}", reading.heard_at));
                }
                if until.duration_since(reading.measured_at) >= age_max {
                    let since = reading.measured_at;
                    return Err(format!("nothing was heard of {name} from {since} to {until}"));
                }
            }
        }
        Ok(())
    }
}

/// Whether one sample alone passes every gate. The simulated project judges by the newest sample.
fn is_good(sample: &Sample, policy: &GatePolicy) -> bool {
    let requests = f64::from(u32::try_from(sample.requests).unwrap_or(u32::MAX));
    let errors = f64::from(u32::try_from(sample.errors).unwrap_or(u32::MAX));
    let mut answers: Vec<u64> = Vec::new();
    for (bound_us, count) in &sample.latency.buckets {
        answers.extend((0..*count).map(|_| *bound_us));
    }
    answers.sort_unstable();
    let rank = (answers.len() * 95).div_ceil(100);
    let p95_us = rank.checked_sub(1).and_then(|index| answers.get(index)).copied();
    sample.requests >= policy.error_minimum_requests
        && errors <= requests * policy.error_share_warn
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
