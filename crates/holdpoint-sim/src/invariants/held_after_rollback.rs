//! After a rollback no release starts before somebody lets it, and a version that was rolled back
//! starts again only with a reason.

use std::collections::BTreeSet;

use holdpoint_core::event::{Ending, Event};
use jiff::Timestamp;
use semver::Version;

use super::{Checker, Fact, Ledger};

#[derive(Debug, Default)]
pub(super) struct HeldAfterRollback {
    is_held: bool,
    rolled_back: BTreeSet<Version>,
}

impl Checker for HeldAfterRollback {
    fn name(&self) -> &'static str {
        "held-after-rollback"
    }

    fn see(&mut self, ledger: &Ledger, _: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        let Fact::Event(event) = fact else { return Ok(()) };
        if let Event::ReleaseStarted(started) = event {
            if self.is_held {
                return Err(format!("{} started after a rollback", started.release));
            }
            if self.rolled_back.contains(&started.version) && started.again.is_none() {
                return Err(format!("{} is tried again without a reason", started.version));
            }
        }
        if let Event::RollbackAcknowledged { .. } = event {
            self.is_held = false;
        }
        if let Event::ReleaseEnded { ending: Ending::RolledBack } = event {
            self.is_held = true;
            let version = ledger.release.as_ref().map(|under| under.forward.version.clone());
            self.rolled_back.extend(version);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::id::ReleaseId;

    use super::*;
    use crate::invariants::trace::Trace;

    #[test]
    fn a_release_that_starts_right_after_a_rollback_or_with_the_same_version_is_caught() {
        let mut trace = Trace::of(HeldAfterRollback::default());
        trace.release(1).unwrap();
        trace.event(&Event::ReleaseEnded { ending: Ending::RolledBack }).unwrap();
        trace.release(2).unwrap_err();
        let (by, release) = ("grace".to_owned(), ReleaseId(1));
        trace.event(&Event::RollbackAcknowledged { by, release }).unwrap();
        // the trace releases one version only
        trace.release(2).unwrap_err();
    }
}
