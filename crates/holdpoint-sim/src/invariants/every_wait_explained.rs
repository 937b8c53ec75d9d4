//! When nothing is under way, the status says what the release waits for; and what it waits for
//! can come.

use holdpoint_core::engine::WaitReason;
use jiff::Timestamp;

use super::{Checker, Fact, Ledger};

#[derive(Debug)]
pub(super) struct EveryWaitExplained;

impl Checker for EveryWaitExplained {
    fn name(&self) -> &'static str {
        "every-wait-explained"
    }

    fn see(&mut self, _: &Ledger, now: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        let Fact::Rest(rest) = fact else { return Ok(()) };
        if rest.in_flight > 0 || rest.state.active().is_none() {
            return Ok(());
        }
        if let Some(at) = rest.wakes_at
            && at <= now
        {
            return Err(format!("it wants to be woken at {at}, which is past"));
        }
        match rest.waits_for {
            None => Err("nothing is under way, and the status names no reason".to_owned()),
            Some(WaitReason::Effect { what }) if rest.wakes_at.is_none() => {
                Err(format!("it waits for `{what}`, which nobody carries out or will ask for"))
            }
            Some(WaitReason::Approvals { roles }) if roles.is_empty() => {
                Err("it waits for approval by nobody".to_owned())
            }
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::state::State;

    use super::*;
    use crate::invariants::Rest;
    use crate::invariants::trace::{Trace, state_with_a_release};

    fn rest<'a>(state: &'a State, waits_for: Option<&'a WaitReason>) -> Rest<'a> {
        Rest { state, in_flight: 0, waits_for, wakes_at: None }
    }

    #[test]
    fn a_release_that_stands_still_without_a_reason_is_caught() {
        let mut trace = Trace::of(EveryWaitExplained);
        trace.fact(Fact::Rest(rest(&State::default(), None))).unwrap();
        let state = state_with_a_release();
        trace.fact(Fact::Rest(rest(&state, None))).unwrap_err();
        let effect = WaitReason::Effect { what: "pre-flight".to_owned() };
        trace.fact(Fact::Rest(rest(&state, Some(&effect)))).unwrap_err();
        trace.fact(Fact::Rest(Rest { in_flight: 1, ..rest(&state, Some(&effect)) })).unwrap();
    }
}
