//! Which machines of a service run the version that is being rolled out, and which still run the
//! one before it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Run;
use crate::id::{Environment, MachineId, ServiceName};
use crate::plan::MachineAction;

/// The machines of one service by the version that they ran during some interval. A machine that
/// was changed meanwhile stands on neither side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    /// Those with the new version.
    pub new: BTreeSet<MachineId>,
    /// Those that this run will change, and has not begun.
    pub old: BTreeSet<MachineId>,
}

impl Run {
    /// The sides of a service's machines. New is a machine that had its new version already at
    /// `new_before`.
    pub fn sides(
        &self,
        environment: Environment,
        service: &ServiceName,
        new_before: Timestamp,
    ) -> Sides {
        let mut sides = Sides::default();
        let rollouts = self.plan.steps.iter().filter_map(|step| step.kind.rollout());
        let rollouts =
            rollouts.filter(|one| one.environment == environment && one.service == *service);
        for change in rollouts.flat_map(|one| one.waves.iter().flat_map(|wave| &wave.changes)) {
            match (self.machines.get(&change.slot), &change.action) {
                (Some(progress), _) => {
                    if progress.changed_at.is_some_and(|at| at <= new_before) {
                        sides.new.extend(progress.machine.clone());
                    }
                }
                (None, MachineAction::Update { machine, .. }) => {
                    sides.old.insert(machine.clone());
                }
                (
                    None,
                    MachineAction::Create { .. }
                    | MachineAction::Retire { .. }
                    | MachineAction::Withdraw { .. },
                ) => {}
            }
        }
        sides
    }
}
