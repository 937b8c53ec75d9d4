//! An effect is asked for only after the record that calls for it became durable.

use holdpoint_core::id::EffectId;
use jiff::Timestamp;

use super::{Checker, Fact, Ledger};

#[derive(Debug)]
pub(super) struct NoEffectBeforeRecord;

impl Checker for NoEffectBeforeRecord {
    fn name(&self) -> &'static str {
        "no-effect-before-record"
    }

    fn see(&mut self, ledger: &Ledger, _: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        let Fact::Asked(id, _) = fact else { return Ok(()) };
        let under = |release| ledger.release.as_ref().filter(|under| under.id == release);
        let is_called_for = match id {
            EffectId::Message { number } | EffectId::Delivery { number, .. } => {
                ledger.messages.contains(number)
            }
            EffectId::Step { release, course, step, .. } => {
                under(*release).is_some_and(|under| under.started.contains(&(*course, *step)))
            }
            EffectId::Machine { release, course, step, slot, .. } => {
                under(*release).is_some_and(|under| {
                    let waves = under.rollout(*course, *step).map(|rollout| &rollout.waves);
                    let mut waves = waves.into_iter().flatten().zip(0..);
                    waves.any(|(wave, number)| {
                        under.waves.contains(&(*course, *step, number))
                            && wave.changes.iter().any(|change| change.slot == *slot)
                    })
                })
            }
        };
        is_called_for.then_some(()).ok_or(format!("no durable record calls for {id}"))
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::event::Event;

    use super::*;
    use crate::invariants::trace::Trace;

    #[test]
    fn an_effect_whose_record_is_not_durable_is_caught() {
        let mut trace = Trace::of(NoEffectBeforeRecord);
        trace.release(1).unwrap();
        trace.message_asked(1).unwrap_err();
        let rollout = trace.first_rollout();
        trace.event(&Event::StepStarted { step: rollout }).unwrap();
        trace.update_asked(rollout).unwrap_err();
        trace.event(&Event::WaveStarted { step: rollout, wave: 0 }).unwrap();
        trace.update_asked(rollout).unwrap();
    }
}
