//! What people do in a healed world, and what must be true once every release has ended there.

use std::collections::BTreeSet;

use holdpoint_core::command::{Actor, Command};
use holdpoint_core::id::{Course, ReleaseId};
use holdpoint_core::planner::KnownMachines;
use holdpoint_core::state::State;
use jiff::{SignedDuration, Timestamp};

use crate::invariants::Ledger;
use crate::people;
use crate::world::machine::Machine;
use crate::world::{World, app_name, apps};

/// How often people look in a healed world, in milliseconds.
pub const LOOK_EVERY_MS: u64 = 5_000;

/// How many steps a healed world may take until every release has ended.
pub const STEPS_MAX: u64 = 6_000;

/// How often people say `continue` on the way forward before they roll back.
const RESUMES_MAX: u32 = 3;

/// How long a lease that nobody knows of may stand in the way: one whose answer was lost.
const LEASE_MAX: SignedDuration = SignedDuration::from_secs(80);

/// How long a soak may take before people roll back: a version that is never quite good is never
/// promoted either.
const PATIENCE: SignedDuration = SignedDuration::from_mins(30);

/// People who answer every hold.
#[derive(Debug, Default)]
pub struct Helpers {
    resumes: u32,
    step: Option<(ReleaseId, Course, Option<usize>)>,
    since: Timestamp,
}

impl Helpers {
    /// What somebody does to help at `now`, if anything helps.
    pub fn answer(&mut self, state: &State, now: Timestamp) -> Option<(Actor, Command)> {
        if let Some(closing) = people::close_incident(state) {
            return Some(closing);
        }
        let release = state.active()?;
        let course = release.course();
        let step = Some((release.id, course, release.run().current));
        if self.step != step {
            (self.step, self.since, self.resumes) = (step, now, 0);
        }
        let is_soaking = release
            .current_step()
            .is_some_and(|step| matches!(step.kind, holdpoint_core::plan::StepKind::Soak(_)));
        let waited = now.duration_since(self.since);
        let is_tired = (self.resumes >= RESUMES_MAX && waited > LEASE_MAX)
            || (is_soaking && waited > PATIENCE);
        if course == Course::Forward && is_tired {
            let reason = "it does not go on".to_owned();
            return Some((Actor::new("rita"), Command::Rollback { reason }));
        }
        if release.halt.is_some() {
            self.resumes += 1;
            return Some((Actor::new("grace"), Command::Resume));
        }
        people::approval(release)
    }
}

/// What is not as it must be once every release has ended in a healed world.
///
/// A machine whose creation was heard so late that the way back had already looked for it in vain
/// stands outside the rotation until the next release takes it in: no lease can keep such a call
/// from being heard.
pub fn leftovers(
    world: &World,
    ledger: &Ledger,
    known: &KnownMachines,
    now: Timestamp,
) -> Option<String> {
    for (service, environment) in apps() {
        let app = app_name(service, environment);
        let machines = world.machines.iter();
        let is_known = |id| known.get(&app).is_some_and(|all| all.contains(id));
        let is_stray = |id, one: &Machine| {
            one.is_cordoned && one.instance == 1 && one.made_by.is_some() && !is_known(id)
        };
        let kept =
            machines.filter(|(id, one)| one.app == app && !one.is_retired && !is_stray(id, one));
        let mut versions = BTreeSet::new();
        for (id, machine) in kept {
            versions.insert(machine.version());
            if let Some(wrong) = wrong_with(machine, ledger, now) {
                return Some(format!("{id} of {app} {wrong}"));
            }
        }
        if versions.len() > 1 {
            return Some(format!("{app} runs {versions:?}"));
        }
    }
    None
}

fn wrong_with(machine: &Machine, ledger: &Ledger, now: Timestamp) -> Option<&'static str> {
    if !machine.is_started {
        return Some("is stopped");
    }
    if machine.is_cordoned {
        return Some("is left out of the rotation");
    }
    // a lease whose answer was lost for good expires by itself; one in the journal was forgotten
    let lease = machine.lease_at(now)?;
    ledger.nonces.contains(&lease.nonce).then_some("is left under our lease")
}
