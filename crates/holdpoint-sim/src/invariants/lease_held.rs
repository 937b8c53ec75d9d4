//! Machines are changed under a lease that was ours at some time. Whether it still counts is for
//! the world to refuse.

use std::collections::BTreeSet;

use holdpoint_core::effect::Effect;
use jiff::Timestamp;

use super::{Checker, Fact, Ledger, nonce_of};

#[derive(Debug, Default)]
pub(super) struct LeaseHeld {
    ours: BTreeSet<String>,
}

impl Checker for LeaseHeld {
    fn name(&self) -> &'static str {
        "lease-held"
    }

    fn see(&mut self, _: &Ledger, _: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        if let Fact::Answered(outcome) = fact {
            self.ours.extend(nonce_of(outcome).cloned());
        }
        let Fact::Asked(id, effect) = fact else { return Ok(()) };
        let nonce = match effect {
            Effect::Cordon { nonce, .. }
            | Effect::UpdateMachine { nonce, .. }
            | Effect::ReleaseLease { nonce, .. } => Some(nonce),
            Effect::Uncordon { nonce, .. } => nonce.as_ref(),
            Effect::AcquireLease { supersedes, .. } => supersedes.as_ref(),
            Effect::Preflight { .. }
            | Effect::Smoke { .. }
            | Effect::RestoreSecrets { .. }
            | Effect::CreateMachine { .. }
            | Effect::StopMachine { .. }
            | Effect::AwaitHealth { .. }
            | Effect::Notify(_)
            | Effect::Write(_)
            | Effect::Document { .. } => None,
        };
        match nonce {
            Some(nonce) if !self.ours.contains(nonce) => {
                Err(format!("{id} was asked for with `{nonce}`, which never was ours"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::trace::Trace;

    #[test]
    fn a_change_under_a_lease_that_never_was_ours_is_caught() {
        let mut trace = Trace::of(LeaseHeld::default());
        trace.release(1).unwrap();
        let rollout = trace.first_rollout();
        trace.update_asked(rollout).unwrap_err();
        trace.lease_answered("nonce").unwrap();
        trace.update_asked(rollout).unwrap();
    }
}
