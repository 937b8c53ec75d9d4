//! On one way, each slot is changed at most once, apart from repeated attempts at the same
//! content; and no slot gets two machines, nor a machine two slots.

use std::collections::BTreeMap;

use holdpoint_core::effect::Effect;
use holdpoint_core::id::{Course, EffectId, MachineId, ReleaseId, Slot};
use jiff::Timestamp;
use serde_json::Value;

use super::{Checker, Fact, Ledger};

#[derive(Debug, Default)]
pub(super) struct NoMachineTwice {
    changed: BTreeMap<(ReleaseId, Course, Slot), (usize, MachineId, Value)>,
}

impl Checker for NoMachineTwice {
    fn name(&self) -> &'static str {
        "no-machine-twice"
    }

    fn see(&mut self, _: &Ledger, _: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        let Fact::Landed(id, effect, machine) = fact else { return Ok(()) };
        let (Effect::CreateMachine { config, .. } | Effect::UpdateMachine { config, .. }) = effect
        else {
            return Ok(());
        };
        let EffectId::Machine { release, course, step, slot, .. } = id else { return Ok(()) };
        let this = (*step, machine.clone(), config.clone());
        let key = (*release, *course, slot.clone());
        let elsewhere = self.changed.iter().find(|((other, way, place), (_, changed, _))| {
            other == release && way == course && place != slot && changed == machine
        });
        if let Some(((_, _, other), _)) = elsewhere {
            return Err(format!("{machine} was changed as {other} and now as {slot}"));
        }
        match self.changed.insert(key, this.clone()) {
            Some(before) if before != this => {
                Err(format!("{slot} was changed twice: {before:?}, then {this:?}"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::invariants::trace::Trace;

    #[test]
    fn a_repeated_attempt_passes_and_another_content_or_machine_is_caught() {
        let mut trace = Trace::of(NoMachineTwice::default());
        trace.release(1).unwrap();
        trace.update_landed(0, "m0", json!({"image": "one"})).unwrap();
        trace.update_landed(0, "m0", json!({"image": "one"})).unwrap();
        trace.update_landed(1, "m0", json!({"image": "one"})).unwrap_err();
        trace.update_landed(1, "m1", json!({"image": "one"})).unwrap();
        trace.update_landed(0, "m0", json!({"image": "two"})).unwrap_err();
    }
}
