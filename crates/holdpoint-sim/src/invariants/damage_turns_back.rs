//! A release that goes forward does not go on once a value that must stay has changed, and begins
//! no environment before it has such a value.

use std::collections::BTreeMap;

use holdpoint_core::event::Event;
use holdpoint_core::id::{Course, Environment};
use holdpoint_core::observation::Observation;
use jiff::Timestamp;

use super::{Checker, Fact, Ledger, Under};

#[derive(Debug, Default)]
pub(super) struct DamageTurnsBack {
    /// The last value of before each environment's rollout, and when it was taken.
    before: BTreeMap<Environment, String>,
    /// The time of the newest answer of each environment.
    newest: BTreeMap<Environment, Timestamp>,
    /// What changed in this step.
    damage: Option<String>,
}

impl Checker for DamageTurnsBack {
    fn name(&self) -> &'static str {
        "damage-turns-back"
    }

    fn see(&mut self, ledger: &Ledger, _: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        if let Fact::Event(Event::ReleaseStarted(_)) = fact {
            *self = Self::default();
        }
        let under = ledger.release.as_ref().filter(|under| under.course() == Course::Forward);
        match (fact, under) {
            (Fact::Event(Event::Observed(observation)), Some(under)) => {
                self.hear(under, observation);
                Ok(())
            }
            (Fact::Event(Event::WaveStarted { step, .. }), Some(under)) => {
                let rollout = under.rollout(Course::Forward, *step);
                match rollout.map(|rollout| rollout.environment) {
                    Some(environment)
                        if must_stay(under) && !self.before.contains_key(&environment) =>
                    {
                        Err(format!("{environment} is begun without a value of before"))
                    }
                    Some(_) | None => Ok(()),
                }
            }
            (Fact::Rest(_), under) => match (self.damage.take(), under) {
                (Some(damage), Some(under)) => Err(format!("{} goes on: {damage}", under.id)),
                (Some(_) | None, _) => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

impl DamageTurnsBack {
    fn hear(&mut self, under: &Under, observation: &Observation) {
        let (environment, at) = (observation.environment, observation.to);
        for reading in &observation.invariants {
            if self.newest.get(&environment).is_some_and(|newest| at <= *newest) {
                continue;
            }
            self.newest.insert(environment, at);
            let Ok(value) = &reading.answer else { continue };
            if !under.has_begun(environment) {
                self.before.insert(environment, value.clone());
            } else if self.before.get(&environment).is_some_and(|before| before != value)
                && counts(under, environment)
            {
                self.damage = Some(format!("`{}` of {environment} is {value}", reading.name));
            }
        }
    }
}

fn must_stay(under: &Under) -> bool {
    !under.project.gates.invariants.is_empty()
}

/// Once production is begun, staging has done its part.
fn counts(under: &Under, environment: Environment) -> bool {
    environment == Environment::Production || !under.has_begun(Environment::Production)
}

#[cfg(test)]
mod tests {
    use holdpoint_core::observation::InvariantReading;
    use jiff::SignedDuration;

    use super::*;
    use crate::invariants::trace::Trace;

    fn hear(trace: &mut Trace<DamageTurnsBack>, value: &str) -> Result<(), String> {
        trace.now += SignedDuration::from_secs(10);
        let reading = InvariantReading { name: "orders".to_owned(), answer: Ok(value.to_owned()) };
        let observation = Observation {
            environment: Environment::Staging,
            from: trace.now,
            to: trace.now,
            samples: Vec::new(),
            invariants: vec![reading],
        };
        trace.event(&Event::Observed(observation))?;
        trace.rest()
    }

    #[test]
    fn a_rollout_without_a_value_and_one_that_goes_on_over_damage_are_caught() {
        let mut trace = Trace::of(DamageTurnsBack::default());
        trace.release(1).unwrap();
        let begun = Event::WaveStarted { step: trace.first_rollout(), wave: 0 };
        trace.event(&begun).unwrap_err();
        hear(&mut trace, "41").unwrap();
        hear(&mut trace, "42").unwrap();
        trace.event(&begun).unwrap();
        hear(&mut trace, "42").unwrap();
        hear(&mut trace, "41").unwrap_err();
    }
}
