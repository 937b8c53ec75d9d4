//! Machines that were known never vanish, and where machines are known none is made anew in
//! their place.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_core::event::Event;
use holdpoint_core::id::{AppName, MachineId};
use holdpoint_core::plan::MachineAction;
use jiff::Timestamp;

use super::{Checker, Fact, Ledger};

#[derive(Debug, Default)]
pub(super) struct NothingLost {
    known: BTreeMap<AppName, BTreeSet<MachineId>>,
}

impl Checker for NothingLost {
    fn name(&self) -> &'static str {
        "nothing-lost"
    }

    fn see(&mut self, _: &Ledger, _: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        if let Fact::Event(Event::ReleaseStarted(started)) = fact {
            let rollouts = started.plan.steps.iter().filter_map(|step| step.kind.rollout());
            for rollout in rollouts {
                let mut changes = rollout.waves.iter().flat_map(|wave| &wave.changes);
                let is_first = changes.any(|change| {
                    change.slot.index == 0 && matches!(change.action, MachineAction::Create { .. })
                });
                if is_first && self.known.get(&rollout.app).is_some_and(|all| !all.is_empty()) {
                    return Err(format!("{} is taken for empty", rollout.app));
                }
            }
        }
        let Fact::Rest(rest) = fact else { return Ok(()) };
        for (app, machines) in &self.known {
            let now_known = rest.state.known_machines.get(app);
            let lost = machines.iter().find(|one| now_known.is_none_or(|all| !all.contains(one)));
            if let Some(lost) = lost {
                return Err(format!("{lost} of {app} is no longer known"));
            }
        }
        if self.known != rest.state.known_machines {
            self.known.clone_from(&rest.state.known_machines);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::state::State;

    use super::*;
    use crate::invariants::Rest;
    use crate::invariants::trace::Trace;

    #[test]
    fn a_machine_that_is_forgotten_is_caught() {
        let mut trace = Trace::of(NothingLost::default());
        let mut knowing = State::default();
        knowing
            .known_machines
            .entry(AppName::new("search"))
            .or_default()
            .insert(MachineId::new("m0"));
        let rest = |state| Rest { state, in_flight: 0, waits_for: None, wakes_at: None };
        trace.fact(Fact::Rest(rest(&knowing))).unwrap();
        trace.fact(Fact::Rest(rest(&State::default()))).unwrap_err();
    }
}
