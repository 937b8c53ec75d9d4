//! What the world knows of a version that the engine has to find out: whether a comparison that
//! rolls it back is right.

use holdpoint_core::event::Event;
use holdpoint_core::gate::Gate;

use super::{Failure, Simulation};
use crate::invariants::Violation;

impl Simulation {
    /// A version with which nothing is wrong is never rolled back by a comparison, whatever befalls
    /// machines, calls and signals.
    pub(super) fn check_verdict(&self, event: &Event) -> Result<(), Failure> {
        let Event::Breached { finding } = event else { return Ok(()) };
        let under = self.invariants.ledger().release.as_ref();
        let version = under.map(|under| under.forward.version.to_string()).unwrap_or_default();
        if !Gate::COMPARISONS.contains(&finding.gate)
            || self.world.behaviours.contains_key(&version)
        {
            return Ok(());
        }
        let text = format!("{version} is good, and yet: {finding}");
        Err(Failure::Safety(Violation { invariant: "no-good-version-suspected", text }))
    }
}
