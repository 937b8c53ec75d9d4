//! The way forward never has more machines of a production app out of the rotation than the
//! project allows. Machines that are new were never in it.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_core::effect::Effect;
use holdpoint_core::event::Event;
use holdpoint_core::id::{AppName, Course, EffectId, Environment, MachineId};
use jiff::Timestamp;

use super::{Checker, Fact, Ledger};

#[derive(Debug, Default)]
pub(super) struct LimitRespected {
    out: BTreeMap<AppName, BTreeSet<MachineId>>,
}

impl Checker for LimitRespected {
    fn name(&self) -> &'static str {
        "limit-respected"
    }

    fn see(&mut self, ledger: &Ledger, _: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        if let Fact::Event(Event::RollbackStarted { .. } | Event::ReleaseStarted(_)) = fact {
            self.out.clear();
        }
        let Fact::Landed(EffectId::Machine { slot, course, .. }, effect, machine) = fact else {
            return Ok(());
        };
        let Some(under) = &ledger.release else { return Ok(()) };
        let is_forward = *course == Course::Forward && under.course() == Course::Forward;
        if slot.environment != Environment::Production || !is_forward {
            return Ok(());
        }
        if let Effect::Cordon { app, .. } | Effect::UpdateMachine { app, .. } = effect {
            let out = self.out.entry(app.clone()).or_default();
            out.insert(machine.clone());
            let limit = under.project.production.max_unavailable;
            if out.len() > usize::try_from(limit).unwrap_or(usize::MAX) {
                return Err(format!("{out:?} of {app} are out of the rotation, allowed {limit}"));
            }
        }
        if let Effect::Uncordon { app, .. } = effect {
            self.out.entry(app.clone()).or_default().remove(machine);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::trace::Trace;

    #[test]
    fn a_second_machine_out_of_the_rotation_is_caught() {
        let mut trace = Trace::of(LimitRespected::default());
        trace.release(1).unwrap();
        trace.cordon_landed(0).unwrap();
        trace.uncordon_landed(0).unwrap();
        trace.cordon_landed(1).unwrap();
        trace.cordon_landed(0).unwrap_err();
    }
}
