//! No machine in production gets a new image before every role has consented to the very plan
//! that is carried out; and consent is by people who may give it. The way back gives none a version
//! that was itself rolled back before.

use std::collections::BTreeMap;

use holdpoint_core::command::Command;
use holdpoint_core::effect::Effect;
use holdpoint_core::event::Event;
use holdpoint_core::id::{Course, EffectId, Environment, PlanDigest};
use holdpoint_core::project::Role;
use jiff::Timestamp;
use serde_json::Value;

use super::ledger::Under;
use super::{Checker, Fact, Ledger};

#[derive(Debug, Default)]
pub(super) struct ApprovedDigestOnly {
    /// Consent that was accepted and whose record is not durable yet.
    accepted: Option<(String, Role, PlanDigest)>,
    consents: BTreeMap<Role, (String, PlanDigest)>,
}

impl Checker for ApprovedDigestOnly {
    fn name(&self) -> &'static str {
        "approved-digest-only"
    }

    fn see(&mut self, ledger: &Ledger, _: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        if let Fact::Event(Event::ReleaseStarted(_)) = fact {
            self.consents.clear();
        }
        if let Fact::Accepted(actor, command) = fact {
            self.accepted = None;
            if let Command::Approve { plan, role } = command {
                self.accepted = Some((actor.name.clone(), *role, plan.clone()));
            }
        }
        let Some(under) = &ledger.release else { return Ok(()) };
        if let Fact::Event(Event::Approved { actor, role }) = fact {
            let (by, as_role, plan) = self.accepted.take().ok_or("nobody consented")?;
            if by != *actor || as_role != *role {
                return Err(format!("{by} consented as {as_role}, not {actor} as {role}"));
            }
            self.check_consent(under, &by, *role, &plan)?;
            self.consents.insert(*role, (by, plan));
        }
        if let Fact::Event(Event::ApprovalExpired { role, .. }) = fact {
            self.consents.remove(role);
        }
        if let Fact::Asked(EffectId::Machine { slot, course: Course::Forward, .. }, effect) = fact
            && let Effect::UpdateMachine { .. } | Effect::CreateMachine { .. } = effect
            && slot.environment == Environment::Production
        {
            return self.check_all(under);
        }
        if let Fact::Asked(EffectId::Machine { course: Course::Back, .. }, effect) = fact
            && let Effect::UpdateMachine { config, .. } = effect
            && let Some(Value::String(version)) = config.pointer(VERSION_POINTER)
            && ledger.was_rolled_back(version)
        {
            return Err(format!("the way back leads to {version}, which was rolled back"));
        }
        Ok(())
    }
}

/// Where a machine's config tells its version.
const VERSION_POINTER: &str = "/metadata/holdpoint_version";

impl ApprovedDigestOnly {
    fn check_consent(
        &self,
        under: &Under,
        by: &str,
        role: Role,
        plan: &PlanDigest,
    ) -> Result<(), String> {
        let mut people = under.project.people.iter();
        if !people.any(|person| person.name == by && person.roles.contains(&role)) {
            return Err(format!("{by} is no {role}"));
        }
        if by == under.author {
            return Err(format!("{by} consented to their own release"));
        }
        if self.consents.values().any(|(before, _)| before == by) {
            return Err(format!("{by} consented twice"));
        }
        if *plan != under.digest {
            return Err(format!("{by} consented to {plan}, which is not in force"));
        }
        Ok(())
    }

    fn check_all(&self, under: &Under) -> Result<(), String> {
        for role in &under.project.production.approvals {
            let given = self.consents.get(role).is_some_and(|(_, plan)| *plan == under.digest);
            if !given {
                return Err(format!("production changes without consent by the {role}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::event::Ending;
    use serde_json::json;

    use super::*;
    use crate::invariants::trace::Trace;

    fn trace() -> Trace<ApprovedDigestOnly> {
        let mut trace = Trace::of(ApprovedDigestOnly::default());
        trace.release(1).unwrap();
        trace
    }

    #[test]
    fn production_that_changes_with_one_consent_of_two_is_caught() {
        let mut trace = trace();
        trace.consent("ada", Role::Engineer, None).unwrap();
        let rollout = trace.production_rollout();
        trace.update_asked(rollout).unwrap_err();
        trace.consent("grace", Role::Manager, None).unwrap();
        trace.update_asked(rollout).unwrap();
    }

    #[test]
    fn a_way_back_to_a_version_that_was_rolled_back_is_caught() {
        let mut trace = trace();
        trace.event(&Event::ReleaseEnded { ending: Ending::RolledBack }).unwrap();
        trace.release(2).unwrap();
        let config = |version| json!({"metadata": {"holdpoint_version": version}});
        trace.put_back(config("0.9.0")).unwrap();
        trace.put_back(config("1.0.0")).unwrap_err();
    }

    #[test]
    fn wrong_consent_that_is_accepted_is_caught() {
        trace().consent("linus", Role::Engineer, None).unwrap_err();
        trace().consent("rita", Role::Engineer, None).unwrap_err();
        let stale = Some(PlanDigest::new("sha256:stale"));
        trace().consent("ada", Role::Engineer, stale).unwrap_err();
    }
}
