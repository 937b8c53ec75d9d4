//! Directs a drill's release: waits until staging soaks, breaks what the drill breaks, waits until
//! that is noticed, and mends it. If it is not noticed in time, the release is rolled back.

use std::time::Duration;

use holdpoint_core::command::{Actor, Command};
use holdpoint_core::engine::WaitReason;
use holdpoint_core::id::Course;
use holdpoint_core::view::{ReleaseStatus, StepWord};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::adapter::clock::{Clock, Stopwatch, pause};
use crate::adapter::faults::{Faults, FaultsError};
use crate::adapter::platform::Platform;
use crate::daemon::{Handle, Unanswered};
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};

use super::Setup;
use super::fleet::{Fleet, Party};
use super::kind::Drill;

/// How often the release is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long staging may take to be deployed and well.
const PREPARED_WITHIN: Duration = Duration::from_mins(15);

/// The API stays down for so long once that is noticed: longer than an effect is tried again.
const API_DOWN: Duration = Duration::from_secs(5);

/// How long the way back may take before a person has to look: its rollout, its watching.
const BACK_WITHIN: Duration = Duration::from_mins(30);

/// How often a release that stands still is told to go on.
const NUDGE_EVERY: Duration = Duration::from_secs(2);

/// What was broken, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Injected {
    pub(super) at: Timestamp,
    /// Whether nobody noticed it in time.
    pub(super) was_given_up: bool,
}

pub(super) struct Director<'a> {
    drill: Drill,
    actor: Actor,
    platform: &'a Platform,
    party: &'a Party,
    /// What the platform is asked to break.
    fault: Option<Value>,
    faults: Faults,
    /// The ids of faults that are set.
    set: Mutex<Vec<String>>,
    detection_limit: Duration,
}

impl<'a> Director<'a> {
    pub(super) fn new(
        setup: &Setup,
        drill: Drill,
        platform: &'a Platform,
        fleet: &'a Fleet,
    ) -> Result<Self, Problem> {
        let party = fleet.party(&setup.service).ok_or_else(|| {
            let sentence = format!("`{}` is not in staging", setup.service);
            Problem::new(ExitCode::Usage, sentence)
        })?;
        let policy = &setup.project.gates;
        Ok(Self {
            drill,
            actor: Actor::new(&setup.actor),
            platform,
            party,
            fault: drill.fault(party.app().as_str(), party.first_machine(), policy),
            faults: Faults::of(&setup.address)?,
            set: Mutex::new(Vec::new()),
            detection_limit: drill.detection_limit(policy),
        })
    }

    /// Directs until the release has ended; `None` if nothing was broken, because it ended before.
    pub(super) async fn direct(&self, handle: &Handle) -> Result<Option<Injected>, Problem> {
        match self.act(handle).await {
            Ok(injected) => Ok(injected),
            Err(Halt::Over) => Ok(None),
            Err(Halt::Broken(problem)) => {
                // The release must not stand there for a day.
                self.clear().await;
                self.roll_back(handle, "the drill could not go on").await;
                self.see_it_back(handle).await;
                Err(problem)
            }
        }
    }

    async fn act(&self, handle: &Handle) -> Result<Option<Injected>, Halt> {
        let is_about_rollout = self.drill == Drill::PlatformApiDown;
        // Once pre-flight is over: the rollout is what must meet an API that is down.
        let ready: fn(&ReleaseStatus) -> bool =
            if is_about_rollout { is_past_preflight } else { is_soaking };
        if !self.until(handle, PREPARED_WITHIN, ready).await? {
            let sentence = format!("the drill `{}` did not begin", self.drill);
            let problem = Problem::new(ExitCode::Refused, sentence)
                .cause("staging was not well within 15 min")
                .hint("see why with `holdpoint scale advice` and `holdpoint logs`");
            return Err(Halt::Broken(problem));
        }
        let at = Clock::real().now();
        message::tell(&format!("drill: {} begins\n", self.drill));
        self.inject(handle).await?;
        let is_noticed = if is_about_rollout {
            pause(API_DOWN).await;
            true
        } else {
            self.until(handle, self.detection_limit, is_going_back).await?
        };
        for problem in self.clear().await {
            message::tell(&format!("drill: {problem}\n"));
        }
        message::tell("drill: nothing is broken any more\n");
        if !is_noticed {
            self.roll_back(handle, "the drill was not noticed in time").await;
        }
        self.see_it_back(handle).await;
        Ok(Some(Injected { at, was_given_up: !is_noticed }))
    }

    async fn inject(&self, handle: &Handle) -> Result<(), Halt> {
        if self.drill == Drill::Rollback {
            self.roll_back(handle, "a drill of rolling back").await;
        }
        if self.drill == Drill::AllMachinesDown {
            self.party
                .take_down(self.platform)
                .await
                .map_err(|error| Halt::Broken(error.into()))?;
        }
        let Some(fault) = &self.fault else { return Ok(()) };
        let set = self.faults.set(fault).await.map_err(|error| unset(&error))?;
        let id = set.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.set.lock().await.push(id);
        let all = self.faults.list().await.map_err(|error| unset(&error))?;
        let trouble = all.iter().find_map(|fault| fault.get("trouble")?.as_str());
        match trouble {
            None => Ok(()),
            Some(trouble) => {
                let sentence = format!("the platform can't do what `{}` needs", self.drill);
                Err(Halt::Broken(Problem::new(ExitCode::Refused, sentence).cause(trouble)))
            }
        }
    }

    /// Removes every fault of the drill. Gives what could not be removed.
    pub(super) async fn clear(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut set = self.set.lock().await;
        for id in set.drain(..) {
            match self.faults.remove(Some(&id)).await {
                Ok(_) => {}
                // A fault that struck as often as it should is gone by itself.
                Err(FaultsError::Refused { message }) if message.contains("no fault") => {}
                Err(error) => problems.push(format!("fault `{id}` is still set: {error}")),
            }
        }
        problems
    }

    /// Waits until the release has ended; one that stands still is told to go on, as a person
    /// would who sees that the platform is back. In the end it waits no more.
    async fn see_it_back(&self, handle: &Handle) {
        let watch = Stopwatch::start();
        let mut nudged = Stopwatch::start();
        while let Ok(Some(release)) = release(handle).await {
            if release.ended.is_some() || watch.elapsed() > BACK_WITHIN {
                return;
            }
            if nudged.elapsed() > NUDGE_EVERY {
                nudged = Stopwatch::start();
                if release.course == Course::Forward {
                    self.roll_back(handle, "the drill is over").await;
                } else if matches!(release.waits_for, Some(WaitReason::Halted { .. })) {
                    self.tell(handle, Command::Resume).await;
                }
            }
            pause(LOOK_EVERY).await;
        }
    }

    async fn roll_back(&self, handle: &Handle, reason: &str) {
        self.tell(handle, Command::Rollback { reason: reason.to_owned() }).await;
    }

    /// A command that comes too late is refused, and that is right.
    async fn tell(&self, handle: &Handle, command: Command) {
        if let Err(error) = handle.command(self.actor.clone(), command).await {
            tracing::debug!(%error, "a command of the drill was not needed");
        }
    }

    /// Waits until this holds; `false` when it does not in time.
    async fn until(
        &self,
        handle: &Handle,
        within: Duration,
        holds: fn(&ReleaseStatus) -> bool,
    ) -> Result<bool, Halt> {
        let watch = Stopwatch::start();
        loop {
            let release = release(handle).await.map_err(|_stopped| Halt::Over)?;
            let release = release.ok_or(Halt::Over)?;
            if holds(&release) {
                return Ok(true);
            }
            if release.ended.is_some() || is_going_back(&release) {
                return Err(Halt::Over);
            }
            if let Some(WaitReason::Halted { reason, .. }) = &release.waits_for {
                let problem = Problem::new(ExitCode::Refused, "the drill's release stands still");
                return Err(Halt::Broken(problem.cause(reason.clone())));
            }
            if watch.elapsed() > within {
                return Ok(false);
            }
            pause(LOOK_EVERY).await;
        }
    }
}

/// Why a drill is not directed any further.
enum Halt {
    /// The release has ended, or goes back already.
    Over,
    /// The drill can't be made.
    Broken(Problem),
}

fn is_past_preflight(release: &ReleaseStatus) -> bool {
    release.steps.first().is_some_and(|step| step.word == StepWord::Passed)
}

fn is_soaking(release: &ReleaseStatus) -> bool {
    matches!(release.waits_for, Some(WaitReason::SoakEnds { .. }))
}

fn is_going_back(release: &ReleaseStatus) -> bool {
    release.course == Course::Back
}

async fn release(handle: &Handle) -> Result<Option<ReleaseStatus>, Unanswered> {
    Ok(handle.status().await?.release)
}

fn unset(error: &FaultsError) -> Halt {
    let problem = Problem::because(ExitCode::Refused, "the drill can't break anything", error);
    Halt::Broken(problem.hint("`all-machines-down`, `rollback` and `autoscale` need no faults"))
}
