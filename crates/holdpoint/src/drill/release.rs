//! The release of a drill: a real one, through the same engine and executor, of what runs already,
//! marked as a drill. It has a journal of its own, so that its incident holds up nobody, and it
//! can't reach production: it soaks in staging for longer than any drill lasts, and nobody could
//! approve it. It always goes back.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use holdpoint_core::command::{Actor, Command, Rehearsal, StartRelease};
use holdpoint_core::engine::Input;
use holdpoint_core::id::{Environment, ServiceName};
use holdpoint_core::journal::Record;
use holdpoint_core::observation::ServiceFacts;
use holdpoint_core::project::{Notify, Project, Role};
use semver::{Prerelease, Version};
use serde_json::Value;

use crate::adapter::clock::Clock;
use crate::adapter::journal_sql::Journal;
use crate::adapter::platform::Platform;
use crate::daemon::{Assembly, Conductor, Drive, Handle, Session, StopSignals};
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};

use super::Setup;
use super::fleet::Fleet;

/// The folder of a drill's journal, inside the state directory.
const FOLDER: &str = "drill";

/// The metadata key that makes the drill's machines other than those before.
const DRILL_KEY: &str = "holdpoint_drill";

/// A day: longer than any drill.
const SOAK_SECS: u64 = 86_400;

pub(super) struct DrillRelease<'a> {
    setup: &'a Setup,
    state_dir: PathBuf,
    journal: Journal,
    assembly: Assembly,
}

impl<'a> DrillRelease<'a> {
    /// Opens the place of drills. What an earlier drill left there, because it was killed, is
    /// rolled back first.
    pub(super) async fn open(setup: &'a Setup, stop: &mut StopSignals) -> Result<Self, Problem> {
        let left = Self::place(setup).await?;
        if left.is_open().await? {
            message::tell("an earlier drill was broken off; it is rolled back first\n");
            left.roll_back("an earlier drill was broken off", stop).await?;
        }
        left.clear()?;
        Self::place(setup).await
    }

    async fn place(setup: &'a Setup) -> Result<Self, Problem> {
        let state_dir = setup.state_dir.join(FOLDER);
        fs::create_dir_all(&state_dir)?;
        let journal = Journal::open(&state_dir).await?;
        let assembly = Assembly {
            project: staging_only(&setup.project),
            project_root: setup.project_root.clone(),
            state_dir: state_dir.clone(),
            address: setup.address.clone(),
        };
        Ok(Self { setup, state_dir, journal, assembly })
    }

    /// Starts the release; the conductor has to be driven.
    pub(super) async fn start(
        &self,
        platform: &Platform,
        fleet: &Fleet,
    ) -> Result<(Conductor, Handle), Problem> {
        let project = &self.assembly.project;
        let images: BTreeMap<ServiceName, _> =
            fleet.0.iter().map(|party| (party.service.clone(), party.image.clone())).collect();
        let observed = platform.observe(project, &self.setup.project_root, &images).await;
        let mut facts = observed.map_err(|error| Problem::from(error).exit(ExitCode::Refused))?;
        let mark = Clock::real().now().to_string();
        for facts in facts.iter_mut().filter(|it| it.environment == Environment::Staging) {
            mark_facts(facts, &mark);
        }
        let start = StartRelease {
            version: drill_version(fleet),
            project: project.clone(),
            facts,
            rehearsal: Some(Rehearsal { speed: 1 }),
            // Whatever was wrong with the image, it is what runs now.
            again: Some("a drill".to_owned()),
        };
        let (mut conductor, handle) = self.conductor().await?;
        let command = Command::StartRelease(Box::new(start));
        let input = Input::Command(Actor::new(&self.setup.actor), command);
        conductor
            .input(input)
            .await?
            .map_err(|rejection| message::refused("cannot start the drill", &rejection))?;
        Ok((conductor, handle))
    }

    /// Goes back, whatever the release has come to.
    pub(super) async fn roll_back(
        &self,
        reason: &str,
        stop: &mut StopSignals,
    ) -> Result<(), Problem> {
        let (mut conductor, _handle) = self.conductor().await?;
        for command in [Command::Rollback { reason: reason.to_owned() }, Command::Resume] {
            // One that goes back already, or is not halted, refuses these.
            let input = Input::Command(Actor::new(&self.setup.actor), command);
            if let Err(rejection) = conductor.input(input).await? {
                tracing::debug!(%rejection, "not needed");
            }
        }
        match Box::pin(conductor.drive(stop)).await? {
            Drive::Ended(_) | Drive::Idle => Ok(()),
            Drive::Stopped | Drive::Left => {
                Err(Problem::new(ExitCode::Resumable, "the drill is not rolled back yet")
                    .hint("run a drill again: what this one left is rolled back first"))
            }
        }
    }

    pub(super) async fn records(&self) -> Result<Vec<Record>, Problem> {
        Ok(self.journal.read_all().await?)
    }

    pub(super) async fn is_open(&self) -> Result<bool, Problem> {
        Ok(self.session().await?.engine.state().active().is_some())
    }

    /// The journal of a drill that is over is of no more use; its record stays.
    pub(super) fn clear(self) -> Result<(), Problem> {
        let Self { state_dir, journal, .. } = self;
        drop(journal);
        Ok(fs::remove_dir_all(state_dir)?)
    }

    async fn session(&self) -> Result<Session, Problem> {
        Ok(Session::recover(self.journal.clone(), Clock::real()).await?)
    }

    async fn conductor(&self) -> Result<(Conductor, Handle), Problem> {
        let (mut conductor, handle) = self.assembly.conductor(self.session().await?)?;
        // What the drill found out is its data; how it went is told beside it.
        conductor.tell_beside_data();
        Ok((conductor, handle))
    }
}

fn staging_only(project: &Project) -> Project {
    let mut project = project.clone();
    // It is no release that people wait for; the drill writes its own line.
    project.reliability_log = None;
    project.release_notes = None;
    project.notify = Notify::default();
    project.staging.soak_secs = SOAK_SECS;
    project.production.approvals = vec![Role::Manager];
    project
}

/// Makes the machines' target another config than the one they have, and asks for no more of them.
fn mark_facts(facts: &mut ServiceFacts, mark: &str) {
    let put = |config: &mut Value| {
        if let Some(metadata) = config.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert(DRILL_KEY.to_owned(), mark.into());
        }
    };
    facts.machines_wanted = u32::try_from(facts.machines.len()).unwrap_or(u32::MAX);
    put(&mut facts.config);
    facts.machines.iter_mut().for_each(|machine| put(&mut machine.updated_config));
    // Other process groups are not drilled.
    facts.other_groups.clear();
}

/// The version that runs, as its drill.
fn drill_version(fleet: &Fleet) -> Version {
    let running = fleet.0.iter().find_map(|party| Version::parse(party.version.as_deref()?).ok());
    let Version { major, minor, patch, .. } = running.unwrap_or(Version::new(0, 0, 0));
    let mut version = Version::new(major, minor, patch);
    version.pre = Prerelease::new("drill").unwrap_or_default();
    version
}
