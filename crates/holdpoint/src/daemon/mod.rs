//! The one loop that drives the engine: inputs in, records made durable, effects performed. It
//! decides nothing; it keeps the order that the engine's contract asks for: no effect leaves
//! before the record that calls for it is on the disk.

mod assembly;
mod calendars;
mod effects;
mod invariants;
mod request;
mod session;
mod stop;
mod telemetry;

use std::io;
use std::time::Duration;

use holdpoint_core::command::Rejection;
use holdpoint_core::effect::Notice;
use holdpoint_core::engine::{Engine, Input, Output};
use holdpoint_core::event::Ending;
use holdpoint_core::journal::ReplayError;
use holdpoint_core::observation::Observation;
use holdpoint_core::{state::State, view};
use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::adapter::clock::{Clock, Stopwatch, pause};
use crate::adapter::journal_sql::{Journal, JournalError};
use crate::executor::Executor;
use crate::render::progress::Progress;

use effects::EffectsUnderWay;
use request::Request;

pub use assembly::{Assembly, AssemblyError};
pub use calendars::Calendars;
pub use invariants::Invariants;
pub use request::{Handle, PlanView, Unanswered};
pub use session::{Session, SessionError, Stored, plan_view as stored_plan, read_stored};
pub use stop::{Stop, StopSignals};
pub use telemetry::{Telemetry, speed_max};

/// How often the line that is alive on a terminal is written anew.
const REDRAW_MS: u64 = 250;

/// How long messages are waited for after a release has ended.
const LAST_MESSAGES_SECS: u64 = 10;

/// How long effects are waited for after the first Ctrl-C. A machine may take two minutes to
/// become healthy by the runbook; whoever is in more of a hurry presses Ctrl-C again.
const SAFE_POINT_SECS: u64 = 180;

/// So far ahead that it stands for no deadline: a year.
const FOREVER: Duration = Duration::from_hours(365 * 24);

/// How driving ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drive {
    /// The release came to its end.
    Ended(Ending),
    /// It was asked to stop, and did so at a safe point.
    Stopped,
    /// It was told to leave at once.
    Left,
    /// No release was under way.
    Idle,
}

/// Why driving had to stop. The release is where its journal says, and can be resumed.
#[derive(Debug, Error)]
pub enum DriveError {
    /// A record could not be made durable, so nothing that follows from it may be done.
    #[error("the release stopped because its journal could not be written")]
    Journal(#[from] JournalError),
    /// The journal's records contradict each other.
    #[error("the journal can't be read back\nhint: look at it with `holdpoint journal verify`")]
    Replay(#[from] ReplayError),
    /// The system does not tell of signals.
    #[error("could not listen for Ctrl-C")]
    Signals(#[from] io::Error),
}

/// Drives one project's engine.
#[derive(Debug)]
pub struct Conductor {
    engine: Engine,
    journal: Journal,
    clock: Clock,
    progress: Progress,
    effects: EffectsUnderWay,
    telemetry: Telemetry,
    observations: mpsc::Receiver<Observation>,
    calendars: Calendars,
    invariants: Invariants,
    answers: mpsc::Receiver<Observation>,
    notices: mpsc::Receiver<Notice>,
    requests: mpsc::Receiver<Request>,
    /// When the engine wants to hear of time again.
    deadline: Option<Timestamp>,
    stopping: bool,
}

impl Conductor {
    /// A conductor of a recovered engine, and the way to talk to it.
    pub fn new(
        session: Session,
        executor: Executor,
        telemetry: (Telemetry, mpsc::Receiver<Observation>),
        calendars: Calendars,
        invariants: (Invariants, mpsc::Receiver<Observation>),
        notices: mpsc::Receiver<Notice>,
        progress: Progress,
    ) -> (Self, Handle) {
        let (handle, requests) = request::channel();
        let (telemetry, observations) = telemetry;
        let (invariants, answers) = invariants;
        let Session { engine, journal, clock } = session;
        let conductor = Self {
            engine,
            journal,
            clock,
            progress,
            effects: EffectsUnderWay::new(executor),
            telemetry,
            observations,
            calendars,
            invariants,
            answers,
            notices,
            requests,
            deadline: None,
            stopping: false,
        };
        (conductor, handle)
    }

    /// Puts an input before the engine, makes its record durable, and asks for the effects that
    /// follow.
    ///
    /// # Errors
    /// When the record can't be written; the inner error is the engine's refusal of a command.
    pub async fn input(&mut self, input: Input) -> Result<Result<(), Rejection>, DriveError> {
        let now = self.clock.now();
        if let Err(rejection) = self.engine.handle(now, input) {
            return Ok(Err(rejection));
        }
        loop {
            match self.engine.poll_output() {
                Output::Append(record) => {
                    self.journal.append(&record).await?;
                    self.progress.record(record.at, &record.events()?, self.engine.state());
                }
                Output::Perform(id, effect) => {
                    self.effects.ask(id, effect, self.engine.state());
                }
                Output::WaitUntil(until) => {
                    self.deadline = until.map(|(time, _)| time);
                    break;
                }
            }
        }
        self.effects.start(self.stopping);
        self.telemetry.watch(view::watched(self.engine.state()));
        self.invariants.watch(view::invariants(self.engine.state()));
        self.progress.waiting(now, self.engine.state());
        Ok(Ok(()))
    }

    /// Drives until the release has ended, or until it is told to stop.
    ///
    /// # Errors
    /// When the journal can't be written.
    pub async fn drive(mut self, stop: &mut StopSignals) -> Result<Drive, DriveError> {
        let driven = self.run(stop).await;
        while let Ok(notice) = self.notices.try_recv() {
            self.progress.notice(&notice);
        }
        self.progress.finish();
        self.telemetry.stop();
        self.invariants.stop();
        self.effects.abandon();
        driven
    }

    async fn run(&mut self, stop: &mut StopSignals) -> Result<Drive, DriveError> {
        let was_active = self.engine.state().active().is_some();
        self.tick().await?;
        let mut redraw = tokio::time::interval(Duration::from_millis(REDRAW_MS));
        redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut last_stretch: Option<LastStretch> = None;
        loop {
            let is_over =
                self.engine.state().active().is_none() && !view::has_calls(self.engine.state());
            if is_over && last_stretch.is_none() {
                last_stretch = Some(LastStretch::of(LAST_MESSAGES_SECS));
            }
            if let Some(stretch) = &last_stretch
                && (self.effects.is_quiet() || stretch.is_over())
            {
                return Ok(self.driven(was_active));
            }
            let deadline =
                self.deadline.map_or(FOREVER, |deadline| self.clock.real_until(deadline));
            tokio::select! {
                Some(request) = self.requests.recv() => self.answer(request).await?,
                Some((id, outcome)) = self.effects.next() => {
                    self.accepted(Input::Outcome(id, outcome)).await?;
                }
                Some(observation) = self.observations.recv() => {
                    self.accepted(Input::Observed(observation)).await?;
                }
                Some((calendar, reading)) = self.calendars.next() => {
                    self.accepted(Input::CalendarRead(calendar, reading)).await?;
                }
                Some(answer) = self.answers.recv() => {
                    self.accepted(Input::Observed(answer)).await?;
                }
                Some(notice) = self.notices.recv() => self.progress.notice(&notice),
                () = pause(deadline) => self.tick().await?,
                _ = redraw.tick() => {
                    self.progress.waiting(self.clock.now(), self.engine.state());
                }
                asked = stop.next() => match asked {
                    Stop::AtSafePoint => {
                        self.stop_at_safe_point();
                        last_stretch = Some(LastStretch::of(SAFE_POINT_SECS));
                    }
                    Stop::AtOnce => return Ok(Drive::Left),
                },
            }
        }
    }

    fn driven(&self, was_active: bool) -> Drive {
        let newest = self.engine.state().releases.values().next_back();
        match newest.and_then(|release| release.ended.as_ref()) {
            None if newest.is_none() && !self.stopping => Drive::Idle,
            None => Drive::Stopped,
            Some((_, ending)) if was_active => Drive::Ended(ending.clone()),
            Some(_) => Drive::Idle,
        }
    }

    fn stop_at_safe_point(&mut self) {
        self.stopping = true;
        self.effects.hold_back();
        let word = if view::safe_to_stop(self.engine.state()) {
            "stopping"
        } else {
            "stopping once the machines that are being changed are in service again"
        };
        self.progress.line(&format!("{word}; Ctrl-C again leaves at once"));
    }

    async fn tick(&mut self) -> Result<(), DriveError> {
        self.accepted(Input::Tick).await
    }

    /// An input that no engine refuses: only commands are refused.
    async fn accepted(&mut self, input: Input) -> Result<(), DriveError> {
        if let Err(rejection) = self.input(input).await? {
            tracing::error!(%rejection, "the engine refused an input that is no command");
        }
        Ok(())
    }

    async fn answer(&mut self, request: Request) -> Result<(), DriveError> {
        let now = self.clock.now();
        // a reply that nobody waits for any more is no loss
        match request {
            Request::Command(actor, command, reply) => {
                let answer = self.input(Input::Command(actor, *command)).await?;
                drop(reply.send(answer.map(|()| self.engine.head_of_journal().0)));
            }
            Request::Status(reply) => {
                drop(reply.send(view::status(self.engine.state(), now)));
            }
            Request::Plan(reply) => drop(reply.send(session::plan_view(self.engine.state()))),
            Request::Timeline(reply) => {
                let records = self.journal.read_all().await.map_err(|error| error.to_string());
                let entries =
                    records.and_then(|all| view::timeline(&all).map_err(|error| error.to_string()));
                drop(reply.send(entries));
            }
        }
        Ok(())
    }

    /// The number of the journal's newest record.
    pub fn head_of_journal(&self) -> u64 {
        self.engine.head_of_journal().0
    }

    /// Tells how it goes on standard error: whoever drives it has data of its own to print.
    pub fn tell_beside_data(&mut self) {
        self.progress.tell_beside_data();
    }

    /// The state as it is.
    pub fn state(&self) -> &State {
        self.engine.state()
    }
}

/// The time that is left for what is under way.
#[derive(Debug)]
struct LastStretch {
    since: Stopwatch,
    length: Duration,
}

impl LastStretch {
    fn of(secs: u64) -> Self {
        Self { since: Stopwatch::start(), length: Duration::from_secs(secs) }
    }

    fn is_over(&self) -> bool {
        self.since.elapsed() >= self.length
    }
}
