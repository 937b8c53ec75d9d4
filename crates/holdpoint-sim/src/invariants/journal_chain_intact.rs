//! The journal can be replayed at any time, and gives the state that was there before.

use jiff::Timestamp;

use super::{Checker, Fact, Ledger};

#[derive(Debug)]
pub(super) struct JournalChainIntact;

impl Checker for JournalChainIntact {
    fn name(&self) -> &'static str {
        "journal-chain-intact"
    }

    fn see(&mut self, _: &Ledger, _: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        let Fact::Recovered { before, after } = fact else { return Ok(()) };
        let after = after.map_err(ToOwned::to_owned)?;
        if before.is_some_and(|before| before != after) {
            return Err("the journal gives another state than the one before".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::state::State;

    use super::*;
    use crate::invariants::trace::{Trace, state_with_a_release};

    #[test]
    fn another_state_after_the_replay_and_a_replay_that_fails_are_caught() {
        let mut trace = Trace::of(JournalChainIntact);
        let (state, empty) = (state_with_a_release(), State::default());
        trace.fact(Fact::Recovered { before: Some(&state), after: Ok(&state) }).unwrap();
        trace.fact(Fact::Recovered { before: Some(&state), after: Ok(&empty) }).unwrap_err();
        trace.fact(Fact::Recovered { before: None, after: Err("damaged") }).unwrap_err();
    }
}
