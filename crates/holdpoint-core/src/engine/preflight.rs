//! Waivers of pre-flight checks: when one is accepted, from the project's file or from a person
//! while a release waits, and what follows from it at once.

use jiff::Timestamp;

use crate::command::{Actor, Rejection, WaiveCheck};
use crate::effect::{Evidence, Outcome};
use crate::event::Event;
use crate::id::{Course, EffectId};
use crate::plan::StepKind;
use crate::preflight::{CheckKind, Standing, Waiver, in_one_sentence, unwaived};
use crate::project::Role;
use crate::state::{Release, State};

/// Why a release that waits for pre-flight stands still.
pub(super) fn held(failed: &str) -> String {
    format!("pre-flight does not hold: {failed}")
}

/// The waivers of the project's file that cover what an outcome says: from here on they stand in
/// the journal like those that people give.
pub(super) fn waivers_of_the_file(
    state: &State,
    now: Timestamp,
    effect: &EffectId,
    outcome: &Outcome,
) -> Vec<Event> {
    let (EffectId::Step { .. }, Outcome::Done(Evidence::Checks(checks))) = (effect, outcome) else {
        return Vec::new();
    };
    let Some(release) = state.active().filter(|release| release.is_in_preflight()) else {
        return Vec::new();
    };
    let project = &release.project;
    let mut waivers: Vec<Waiver> = Vec::new();
    for check in unwaived(checks, &release.waivers, now) {
        let from_file = &project.preflight.waivers;
        let author = Some(release.author.as_str());
        if let Standing::Waived(waiver) = Standing::of(check, from_file, project, author, now)
            && !waivers.contains(&waiver)
        {
            waivers.push(waiver);
        }
    }
    waivers.into_iter().map(|waiver| Event::CheckWaived { waiver }).collect()
}

/// A person's waiver. Once nothing is left that failed, pre-flight looks again; else the release
/// waits for the rest.
pub(super) fn waive(
    release: &Release,
    actor: &Actor,
    now: Timestamp,
    wish: &WaiveCheck,
) -> Result<Vec<Event>, Rejection> {
    let run = &release.forward;
    let step = run.plan.steps.iter().position(|step| step.kind == StepKind::Preflight);
    let times = step.and_then(|step| run.times.get(&step));
    let is_over = times.is_some_and(|times| times.passed_at.is_some());
    if step.is_none() || is_over || release.course() == Course::Back {
        return Err(Rejection::PreflightOver);
    }
    let waiver = Waiver {
        check: wish.check.clone(),
        person: actor.name.clone(),
        role: wish.role.unwrap_or_else(|| fitting_role(release, actor, &wish.check)),
        reason: wish.reason.clone(),
        until: wish.until,
    };
    let failed = release.failed_checks(now);
    if !failed.iter().any(|check| waiver.is_about(&check.name)) {
        let check = wish.check.clone();
        let failed = failed.iter().map(|check| check.name.clone()).collect();
        return Err(Rejection::NotFailed { check, failed });
    }
    if let Some(objection) = waiver.objection_at(&release.project, Some(&release.author), now) {
        return Err(Rejection::NoWaiver(objection));
    }
    let left: Vec<_> = failed.into_iter().filter(|one| !waiver.is_about(&one.name)).collect();
    let is_held_by_us = release.halt.as_ref().is_some_and(|halt| halt.by.is_none());
    let mut events = vec![Event::CheckWaived { waiver }];
    if is_held_by_us && left.is_empty() {
        events.push(Event::Resumed { by: actor.name.clone() });
    } else if is_held_by_us {
        let reason = held(&in_one_sentence(&left));
        events.push(Event::Halted { by: None, reason });
    }
    Ok(events)
}

/// The first of the actor's roles that may waive the check; else any, so that the refusal says
/// what is missing.
fn fitting_role(release: &Release, actor: &Actor, check: &str) -> Role {
    let may = CheckKind::of(check).map_or([].as_slice(), CheckKind::waivable_by);
    let person = release.project.person(&actor.name);
    let roles = person.map_or([].as_slice(), |person| person.roles.as_slice());
    let fitting = roles.iter().find(|role| may.contains(role));
    fitting.or(may.first()).or(roles.first()).copied().unwrap_or(Role::Manager)
}
