//! No step after pre-flight begins while a check failed when it was last looked at, unless somebody
//! who may, and who did not start the release, waived it for that time.

use holdpoint_core::effect::{CheckResult, Evidence, Outcome};
use holdpoint_core::event::Event;
use holdpoint_core::id::{Course, EffectId};
use holdpoint_core::plan::StepKind;
use holdpoint_core::preflight::{CheckKind, Waiver};
use jiff::Timestamp;

use super::ledger::Under;
use super::{Checker, Fact, Ledger};

#[derive(Debug, Default)]
pub(super) struct PreflightHolds {
    author: String,
    checks: Vec<CheckResult>,
    waivers: Vec<Waiver>,
}

impl Checker for PreflightHolds {
    fn name(&self) -> &'static str {
        "preflight-holds"
    }

    fn see(&mut self, ledger: &Ledger, now: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        if let Fact::Event(Event::ReleaseStarted(started)) = fact {
            *self = Self { author: started.author.clone(), ..Self::default() };
        }
        let Some(under) = &ledger.release else { return Ok(()) };
        let is_preflight = |step: usize| {
            under.course() == Course::Forward
                && under.forward.steps.get(step).is_some_and(|it| it.kind == StepKind::Preflight)
        };
        let Fact::Event(event) = fact else { return Ok(()) };
        if let Event::EffectEnded { effect: EffectId::Step { step, .. }, outcome } = event
            && let Outcome::Done(Evidence::Checks(checks)) = outcome
            && is_preflight(*step)
        {
            self.checks.clone_from(checks);
        }
        if let Event::CheckWaived { waiver } = event {
            self.check_waiver(under, waiver)?;
            self.waivers.push(waiver.clone());
        }
        if let Event::StepPassed { step } = event
            && is_preflight(*step)
        {
            return self.check(now);
        }
        Ok(())
    }
}

impl PreflightHolds {
    fn check_waiver(&self, under: &Under, waiver: &Waiver) -> Result<(), String> {
        let Waiver { check, person, role, .. } = waiver;
        let has_role = under.project.person(person).is_some_and(|one| one.has_role(*role));
        let may = CheckKind::of(check).is_some_and(|kind| kind.waivable_by().contains(role));
        if has_role && may && *person != self.author {
            return Ok(());
        }
        Err(format!("{person} waived `{check}` as {role}"))
    }

    fn check(&self, now: Timestamp) -> Result<(), String> {
        let waived = |check: &CheckResult| {
            self.waivers.iter().any(|it| it.is_about(&check.name) && now < it.until)
        };
        match self.checks.iter().find(|check| !check.passed && !waived(check)) {
            Some(check) => Err(format!("pre-flight passed although `{}` failed", check.name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::id::ReleaseId;
    use holdpoint_core::project::Role;
    use jiff::SignedDuration;

    use super::*;
    use crate::invariants::trace::Trace;

    #[test]
    fn a_check_that_failed_and_that_nobody_waived_is_caught() {
        let mut trace = Trace::of(PreflightHolds::default());
        trace.release(1).unwrap();
        let (release, course) = (ReleaseId(1), Course::Forward);
        let (name, detail) = ("drill".to_owned(), "it was not tried".to_owned());
        let check = CheckResult { name, passed: false, detail, hint: None, took_ms: 0 };
        let effect = EffectId::Step { release, course, step: 0, attempt: 1 };
        let outcome = Outcome::Done(Evidence::Checks(vec![check]));
        trace.event(&Event::EffectEnded { effect, outcome }).unwrap();
        let passed = Event::StepPassed { step: 0 };
        trace.event(&passed).unwrap_err();

        let waived = |person: &str, role| Event::CheckWaived {
            waiver: Waiver {
                check: "drill".to_owned(),
                person: person.to_owned(),
                role,
                reason: "it is known".to_owned(),
                until: Trace::<PreflightHolds>::start() + SignedDuration::from_secs(60),
            },
        };
        trace.event(&waived("ada", Role::Engineer)).unwrap_err();
        trace.event(&waived("mallory", Role::Manager)).unwrap_err();
        trace.event(&waived("grace", Role::Manager)).unwrap();
        trace.event(&passed).unwrap();
        trace.now += SignedDuration::from_secs(60);
        trace.event(&passed).unwrap_err();
    }
}
