//! One release at a time, and within it one rollout per app: effects on machines belong to the
//! rollout that was begun last on their app.

use std::collections::BTreeMap;

use holdpoint_core::event::Event;
use holdpoint_core::id::{AppName, Course, EffectId, ReleaseId};
use jiff::Timestamp;

use super::{Checker, Fact, Ledger};

#[derive(Debug, Default)]
pub(super) struct OneRolloutPerApp {
    newest: BTreeMap<AppName, (ReleaseId, Course, usize)>,
}

impl Checker for OneRolloutPerApp {
    fn name(&self) -> &'static str {
        "one-rollout-per-app"
    }

    fn see(&mut self, ledger: &Ledger, _: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        if let (Fact::Event(Event::ReleaseStarted(started)), Some(under)) = (fact, &ledger.release)
        {
            return Err(format!("{} started while {} is under way", started.release, under.id));
        }
        if let (Fact::Event(Event::WaveStarted { step, .. }), Some(under)) = (fact, &ledger.release)
            && let Some(rollout) = under.rollout(under.course(), *step)
        {
            self.newest.insert(rollout.app.clone(), (under.id, under.course(), *step));
        }
        if let Fact::Asked(id @ EffectId::Machine { release, course, step, .. }, _) = fact {
            let rollout = ledger.rollout_of(id).ok_or(format!("{id} is of no rollout"))?;
            let newest = self.newest.get(&rollout.app);
            if newest != Some(&(*release, *course, *step)) {
                return Err(format!("{id} was asked for, while the rollout is {newest:?}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::trace::Trace;

    #[test]
    fn a_release_that_starts_beside_another_is_caught() {
        let mut trace = Trace::of(OneRolloutPerApp::default());
        trace.release(1).unwrap();
        trace.release(2).unwrap_err();
    }

    #[test]
    fn an_effect_of_a_rollout_that_was_not_begun_is_caught() {
        let mut trace = Trace::of(OneRolloutPerApp::default());
        trace.release(1).unwrap();
        let rollout = trace.first_rollout();
        trace.update_asked(rollout).unwrap_err();
        trace.event(&Event::WaveStarted { step: rollout, wave: 0 }).unwrap();
        trace.update_asked(rollout).unwrap();
    }
}
