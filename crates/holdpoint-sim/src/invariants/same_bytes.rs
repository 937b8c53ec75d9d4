//! What production gets is the image that staging ran and that passed its soak there.

use std::collections::BTreeMap;

use holdpoint_core::effect::Effect;
use holdpoint_core::event::Event;
use holdpoint_core::id::{Course, EffectId, Environment, ServiceName};
use holdpoint_core::plan::{SoakPurpose, StepKind};
use jiff::Timestamp;
use serde_json::Value;

use super::{Checker, Fact, Ledger};

#[derive(Debug, Default)]
pub(super) struct SameBytes {
    staged: BTreeMap<ServiceName, String>,
    has_soaked: bool,
}

impl Checker for SameBytes {
    fn name(&self) -> &'static str {
        "same-bytes"
    }

    fn see(&mut self, ledger: &Ledger, _: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        if let Fact::Event(Event::ReleaseStarted(started)) = fact {
            self.has_soaked = false;
            // machines that run the image already are left out of the plan
            let staged = started.plan.images().into_iter();
            let staged = staged.filter(|(environment, ..)| *environment == Environment::Staging);
            self.staged =
                staged.map(|(_, service, image)| (service, image.as_str().to_owned())).collect();
        }
        let Some(under) = &ledger.release else { return Ok(()) };
        if let Fact::Event(Event::StepPassed { step }) = fact
            && let Some(StepKind::Soak(soak)) = under.step(*step)
        {
            self.has_soaked |= soak.purpose == SoakPurpose::Soak;
        }
        if let Fact::Landed(EffectId::Machine { slot, course: Course::Forward, .. }, effect, _) =
            fact
            && let Effect::CreateMachine { config, .. } | Effect::UpdateMachine { config, .. } =
                effect
        {
            let image = config.get("image").and_then(Value::as_str).unwrap_or_default();
            let digest = image.rsplit('@').next().unwrap_or_default();
            let staged = self.staged.get(&slot.service);
            if staged.is_none_or(|staged| staged != digest) {
                return Err(format!("{slot} gets {digest}, staging has {staged:?}"));
            }
            if slot.environment == Environment::Production && !self.has_soaked {
                return Err(format!("{slot} gets {digest}, which did not soak"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::invariants::trace::Trace;

    #[test]
    fn an_image_that_did_not_soak_or_is_another_than_stagings_is_caught() {
        let mut trace = Trace::of(SameBytes::default());
        trace.release(1).unwrap();
        let image = json!({"image": "registry/search@sha256:search-1.0.0"});
        trace.update_landed(0, "m0", image.clone()).unwrap_err();
        let step = trace.soak_step();
        trace.event(&Event::StepPassed { step }).unwrap();
        trace.update_landed(0, "m0", image).unwrap();
        let other = json!({"image": "registry/search@sha256:search-1.0.1"});
        trace.update_landed(0, "m0", other).unwrap_err();
    }
}
