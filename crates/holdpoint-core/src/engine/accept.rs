//! Turns one input into the events that it alone causes, or refuses it. What follows from them
//! is decided elsewhere.

mod incident;

use jiff::Timestamp;

use super::{effects, hygiene, preflight};
use crate::calendar::CalendarReading;
use crate::command::{Actor, Command, Rejection, StartRelease};
use crate::engine::{Input, decide};
use crate::event::{Ending, Event, ReleaseStarted};
use crate::id::{Course, PlanDigest};
use crate::planner;
use crate::project::Role;
use crate::state::{Release, State};

pub(super) fn accept(state: &State, now: Timestamp, input: Input) -> Result<Vec<Event>, Rejection> {
    match input {
        Input::Command(actor, command) => accept_command(state, now, &actor, &command),
        Input::Outcome(effect, outcome) => {
            // an outcome of an effect that is not open was heard before, or comes too late
            let open = effects::is_open(state, &effect);
            if !open {
                return Ok(Vec::new());
            }
            let mut events = preflight::waivers_of_the_file(state, now, &effect, &outcome);
            events.push(Event::EffectEnded { effect, outcome });
            Ok(events)
        }
        Input::Observed(observation) => {
            let environment = &observation.environment;
            // what was measured before the release began, and was long on its way, is not about it
            let is_wanted = state.active().is_some_and(|release| {
                observation.to >= release.started_at
                    && (release.watched().contains(environment)
                        || release.learned().contains(environment)
                        || !observation.invariants.is_empty())
            });
            Ok(is_wanted.then_some(Event::Observed(observation)).into_iter().collect())
        }
        Input::CalendarRead(calendar, reading) => Ok(calendar_read(state, calendar, reading)),
        Input::Tick => Ok(Vec::new()),
    }
}

/// That a calendar is as it was, or fails as it did, needs few bytes or none.
fn calendar_read(state: &State, calendar: String, reading: CalendarReading) -> Vec<Event> {
    let known = state.company_calendars.get(&calendar);
    match reading {
        CalendarReading::Read(events) => {
            let is_same = known.is_some_and(|it| it.read_at.is_some() && it.events == events);
            let events = Some(events).filter(|_| !is_same);
            vec![Event::CalendarRead { calendar, events }]
        }
        CalendarReading::Failed(problem) => {
            let failing = known.and_then(|known| known.failing.as_ref());
            let is_same = failing.is_some_and(|(_, earlier)| *earlier == problem);
            let event = Event::CalendarFailed { calendar, problem };
            Some(event).filter(|_| !is_same).into_iter().collect()
        }
    }
}

fn accept_command(
    state: &State,
    now: Timestamp,
    actor: &Actor,
    command: &Command,
) -> Result<Vec<Event>, Rejection> {
    match command {
        Command::StartRelease(start) => start_release(state, actor, start),
        Command::Approve { plan, role } => approve(active(state)?, actor, plan, *role),
        Command::Halt { reason } => {
            let (by, reason) = (Some(actor.name.clone()), reason.clone());
            active(state)?;
            Ok(vec![Event::Halted { by, reason }])
        }
        Command::Resume => resume(state, actor),
        Command::Rollback { reason } => {
            let release = active(state)?;
            if release.course() == Course::Back {
                return Err(Rejection::RollingBack { release: release.id.to_string() });
            }
            let cause = decide::Cause { reason, by: Some(&actor.name), culprit: None };
            Ok(decide::roll_back(state, release, now, cause))
        }
        Command::WaiveCheck(wish) => preflight::waive(active(state)?, actor, now, wish),
        Command::RaiseFlag { flag, reason } => {
            decide::raise_flag(state, now, *flag, &actor.name, reason)
        }
        Command::OpenIncident { .. }
        | Command::AcknowledgeIncident { .. }
        | Command::UpdateIncident { .. }
        | Command::ReportIncident { .. }
        | Command::CloseIncident { .. } => incident::accept(state, now, actor, command),
    }
}

fn active(state: &State) -> Result<&Release, Rejection> {
    state.active().ok_or(Rejection::NoRelease)
}

fn resume(state: &State, actor: &Actor) -> Result<Vec<Event>, Rejection> {
    let by = actor.name.clone();
    match (state.active(), state.held_by) {
        (Some(release), _) => {
            release.halt.as_ref().ok_or(Rejection::NotHalted)?;
            Ok(vec![Event::Resumed { by }])
        }
        (None, Some(release)) => Ok(vec![Event::RollbackAcknowledged { by, release }]),
        (None, None) => Err(Rejection::NoRelease),
    }
}

fn start_release(
    state: &State,
    actor: &Actor,
    start: &StartRelease,
) -> Result<Vec<Event>, Rejection> {
    let version = start.version.to_string();
    if let Some(release) = state.active() {
        return Err(Rejection::ReleaseUnderWay {
            version: release.version.to_string(),
            release: release.id.to_string(),
        });
    }
    let released = |release: &&Release| {
        release.version == start.version && matches!(release.ended, Some((_, Ending::Released)))
    };
    if let Some(release) = state.releases.values().find(released) {
        return Err(Rejection::AlreadyReleased { version, release: release.id.to_string() });
    }
    hygiene::refuse(state, start)?;
    let release = state.next_release();
    let (plan, report) = planner::plan(release, start, &state.known_machines).map_err(|all| {
        let reasons: Vec<String> = all.iter().map(ToString::to_string).collect();
        Rejection::NoPlan { reasons: reasons.join("; ") }
    })?;
    Ok(vec![Event::ReleaseStarted(Box::new(ReleaseStarted {
        release,
        version: start.version.clone(),
        author: actor.name.clone(),
        project: start.project.clone(),
        rehearsal: start.rehearsal,
        plan,
        report,
        again: start.again.clone(),
    }))])
}

fn approve(
    release: &Release,
    actor: &Actor,
    plan: &PlanDigest,
    role: Role,
) -> Result<Vec<Event>, Rejection> {
    let name = &actor.name;
    if *plan != release.forward.digest || release.course() == Course::Back {
        return Err(Rejection::OtherPlan {
            given: plan.short().to_owned(),
            expected: release.run().digest.short().to_owned(),
        });
    }
    let Some(person) = release.project.person(name) else {
        return Err(Rejection::UnknownPerson { actor: name.clone() });
    };
    if !person.has_role(role) {
        return Err(Rejection::NotInRole { actor: name.clone(), role });
    }
    if *name == release.author {
        return Err(Rejection::OwnRelease { actor: name.clone() });
    }
    let before =
        release.approvals.iter().find(|approval| approval.actor == *name || approval.role == role);
    if let Some(approval) = before {
        let (actor, role) = (approval.actor.clone(), approval.role);
        return Err(Rejection::AlreadyApproved { actor, role });
    }
    if !release.missing_approvals().contains(&role) {
        return Err(Rejection::RoleNotNeeded { role });
    }
    Ok(vec![Event::Approved { actor: name.clone(), role }])
}
