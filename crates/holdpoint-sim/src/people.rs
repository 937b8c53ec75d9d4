//! What people ask for while anything may go wrong: mostly what helps, sometimes a halt or a
//! rollback, sometimes what must be refused.

use holdpoint_core::command::{Actor, Command, Rehearsal, StartRelease, WaiveCheck};
use holdpoint_core::flag::Flag;
use holdpoint_core::id::{ImageDigest, PlanDigest};
use holdpoint_core::project::Role;
use holdpoint_core::state::{Release, State};
use jiff::SignedDuration;
use semver::Version;

use crate::seed::{Dice, Swarm};
use crate::world::World;

/// People who may start a release.
const AUTHORS: [&str; 3] = ["ada", "linus", "rita"];

/// The people of one project.
#[derive(Debug)]
pub struct People {
    dice: Dice,
    /// How many releases they have yet to start.
    pub releases_left: u64,
    started: u64,
}

impl People {
    /// People who start so many releases.
    pub fn new(dice: Dice, releases: u64) -> Self {
        Self { dice, releases_left: releases, started: 0 }
    }

    /// How long until somebody does something again, in milliseconds.
    pub fn pause_ms(&mut self, every_secs: u64) -> u64 {
        self.dice.between(500, every_secs * 2000)
    }

    /// What somebody asks for now, if anything.
    pub fn ask(&mut self, swarm: &Swarm, state: &State, world: &World) -> Option<(Actor, Command)> {
        let is_wrong = self.dice.chance(swarm.wrong_permille);
        // drawn only where flags are raised at all, so that other seeds stay as they are
        if swarm.flag_permille > 0 && self.dice.chance(swarm.flag_permille) {
            let (flag, reason) = (self.dice.pick(&Flag::ALL), "it smells".to_owned());
            return Some((Actor::new("scanner"), Command::RaiseFlag { flag, reason }));
        }
        let Some(release) = state.active() else {
            if is_wrong || self.releases_left == 0 {
                return close_incident(state);
            }
            if self.dice.chance(700)
                && let Some(going_on) = go_on_after_rollback(state)
            {
                return Some(going_on);
            }
            return Some(self.start(swarm, state, world));
        };
        if is_wrong {
            return Some(self.wrong(swarm, state, release, world));
        }
        if self.dice.chance(swarm.halt_permille) {
            return Some((Actor::new("rita"), Command::Halt { reason: "it looks odd".to_owned() }));
        }
        if self.dice.chance(swarm.rollback_permille) {
            let reason = "it looks bad".to_owned();
            return Some((Actor::new("rita"), Command::Rollback { reason }));
        }
        if self.dice.chance(300)
            && let Some(waiver) = waiver("rita", Some(Role::Reliability), release)
        {
            return Some(waiver);
        }
        if release.halt.is_some() && self.dice.chance(500) {
            return Some((Actor::new("grace"), Command::Resume));
        }
        if self.dice.chance(500)
            && let Some(closing) = close_incident(state)
        {
            return Some(closing);
        }
        approval(release)
    }

    /// The command to start the next release, with facts that may be wrong.
    pub fn start(&mut self, swarm: &Swarm, state: &State, world: &World) -> (Actor, Command) {
        let author = Actor::new(self.dice.pick(&AUTHORS));
        let minor = if self.started > 0 && self.dice.chance(200) {
            self.started // the same version once more
        } else {
            self.started + 1
        };
        let mut start = start(minor, swarm, world);
        // nobody needs to give a reason for what was never rolled back, and sometimes nobody does
        start.again = self.dice.chance(600).then(|| "it was the network".to_owned());
        if self.dice.chance(swarm.wrong_permille) {
            self.garble(&mut start, state);
        }
        (author, Command::StartRelease(Box::new(start)))
    }

    /// Tells that a release was started.
    pub fn has_started(&mut self) {
        self.started += 1;
        self.releases_left = self.releases_left.saturating_sub(1);
    }

    /// The version of the next release.
    pub fn next_minor(&self) -> u64 {
        self.started + 1
    }

    /// Makes the facts such that no plan may come of them.
    fn garble(&mut self, start: &mut StartRelease, state: &State) {
        let known = |app| state.known_machines.get(app).is_some_and(|all| !all.is_empty());
        let which = self.dice.between(0, 2);
        for facts in &mut start.facts {
            match which {
                0 => facts.image_digest = ImageDigest::new("latest"),
                1 if known(&facts.app) => facts.machines.clear(),
                _ => {
                    let other = format!("{}-{}", facts.image_digest, facts.environment);
                    facts.image_digest = ImageDigest::new(other);
                }
            }
        }
    }

    fn wrong(
        &mut self,
        swarm: &Swarm,
        state: &State,
        release: &Release,
        world: &World,
    ) -> (Actor, Command) {
        let plan = release.forward.digest.clone();
        let approve = |who: &str, role, plan| (Actor::new(who), Command::Approve { plan, role });
        match self.dice.between(0, 8) {
            0 => approve(&release.author, Role::Engineer, plan),
            1 => approve("ada", Role::Manager, plan),
            2 => approve("mallory", Role::Engineer, plan),
            3 => approve("grace", Role::Manager, PlanDigest::new("sha256:of-another-plan")),
            4 => approve("grace", Role::Manager, release.run().digest.clone()),
            5 => (Actor::new("grace"), Command::Resume),
            6 => waiver("ada", None, release)
                .unwrap_or_else(|| (Actor::new("grace"), Command::Resume)),
            7 => waiver(&release.author, None, release)
                .unwrap_or_else(|| (Actor::new("mallory"), Command::Resume)),
            _ => self.start(swarm, state, world),
        }
    }
}

/// The command that lets new releases start after a rollback, if they are held.
pub fn go_on_after_rollback(state: &State) -> Option<(Actor, Command)> {
    state.held_by.filter(|_| state.active().is_none())?;
    Some((Actor::new("grace"), Command::Resume))
}

/// The command to close the first open incident.
pub fn close_incident(state: &State) -> Option<(Actor, Command)> {
    let (incident, _) = state.open_incident()?;
    let resolution = "it was the moon".to_owned();
    Some((Actor::new("rita"), Command::CloseIncident { incident, resolution }))
}

/// The waiver of a check that holds a release, for some time after it did.
fn waiver(who: &str, role: Option<Role>, release: &Release) -> Option<(Actor, Command)> {
    let halted_at = release.halt.as_ref()?.at;
    let check = release.failed_checks(halted_at).first()?.name.clone();
    let until = halted_at + SignedDuration::from_secs(90);
    let reason = "it is known".to_owned();
    Some((Actor::new(who), Command::WaiveCheck(WaiveCheck { check, role, reason, until })))
}

/// The approval that is missing, by somebody who may give it.
pub fn approval(release: &Release) -> Option<(Actor, Command)> {
    let role = release.missing_approvals().into_iter().next()?;
    let mut people = release.project.people.iter();
    let has_approved = |name: &str| release.approvals.iter().any(|one| one.actor == name);
    let person = people.find(|person| {
        person.has_role(role) && person.name != release.author && !has_approved(&person.name)
    })?;
    let plan = release.forward.digest.clone();
    Some((Actor::new(&person.name), Command::Approve { plan, role }))
}

/// The facts of a release of a version.
pub fn start(minor: u64, swarm: &Swarm, world: &World) -> StartRelease {
    let version = Version::new(1, minor, 0);
    StartRelease {
        facts: world.facts(&version.to_string()),
        version,
        project: world.project.clone(),
        rehearsal: Some(swarm.rehearsal_speed)
            .filter(|speed| *speed > 0)
            .map(|speed| Rehearsal { speed }),
        again: None,
    }
}
