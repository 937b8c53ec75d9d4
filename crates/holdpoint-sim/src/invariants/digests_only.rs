//! Machines are only ever given images by digest.

use holdpoint_core::effect::Effect;
use holdpoint_core::event::Event;
use jiff::Timestamp;
use serde_json::Value;

use super::{Checker, Fact, Ledger};

#[derive(Debug)]
pub(super) struct DigestsOnly;

impl Checker for DigestsOnly {
    fn name(&self) -> &'static str {
        "digests-only"
    }

    fn see(&mut self, _: &Ledger, _: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        if let Fact::Event(Event::ReleaseStarted(started)) = fact {
            for (environment, service, image) in started.plan.images() {
                if !image.as_str().starts_with("sha256:") {
                    return Err(format!("{service} in {environment} is planned as `{image}`"));
                }
            }
        }
        if let Fact::Asked(id, effect) = fact
            && let Effect::CreateMachine { config, .. } | Effect::UpdateMachine { config, .. } =
                effect
        {
            let image = config.get("image").and_then(Value::as_str).unwrap_or_default();
            if !image.contains("@sha256:") {
                return Err(format!("{id} gives the image `{image}`"));
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
    fn a_tag_in_the_place_of_a_digest_is_caught() {
        let mut trace = Trace::of(DigestsOnly);
        trace.release(1).unwrap();
        let rollout = trace.first_rollout();
        trace.update_asked(rollout).unwrap();
        trace.update_asked_with(rollout, "registry/search:latest").unwrap_err();
    }
}
