//! The engine: inputs in, records and effects out. See [`Engine`].
//!
//! - [`decide`] compares state with the time and returns events;
//! - [`evolve`] folds events into state; nothing else changes it;
//! - [`effects`] reads off the state which effects it calls for;
//! - [`deadline`] reads off when something is due without any input, and why.

mod accept;
pub(crate) mod deadline;
pub(crate) mod decide;
mod effects;
mod evolve;
mod hygiene;
mod preflight;
mod wait_reason;

use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;

use crate::calendar::CalendarReading;
use crate::command::{Actor, Command, Rejection};
use crate::effect::{Effect, Outcome};
use crate::event::Event;
use crate::id::EffectId;
use crate::journal::{GENESIS, Record, ReplayError};
use crate::observation::Observation;
use crate::state::State;

pub use wait_reason::WaitReason;

/// The most decisions that one input may lead to. A release takes a handful; more than this is a
/// rule that undoes another.
const DECISIONS_MAX: usize = 1000;

/// Something that happened outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Somebody asks for something.
    Command(Actor, Command),
    /// An effect ended.
    Outcome(EffectId, Outcome),
    /// Signals arrived.
    Observed(Observation),
    /// A calendar of the company, by its name, was read, or could not be.
    CalendarRead(String, CalendarReading),
    /// Nothing but time has passed.
    Tick,
}

/// Something for the outside to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Make this record durable before anything that comes after it is done.
    Append(Record),
    /// Perform this effect and report its outcome.
    Perform(EffectId, Effect),
    /// Nothing is left to do until there is an input, or until this time.
    WaitUntil(Option<(Timestamp, WaitReason)>),
}

/// Decides how releases go. Deterministic: the same records and inputs at the same times give the
/// same outputs.
///
/// The one law: after every call of [`Engine::handle`], drain [`Engine::poll_output`] until it
/// says [`Output::WaitUntil`], before the next call.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    state: State,
    seq: u64,
    head: Option<String>,
    now: Option<Timestamp>,
    /// Effects that were asked for and have not ended. Not state: after a crash they are asked
    /// for again.
    asked: BTreeSet<EffectId>,
    outputs: VecDeque<Output>,
}

impl Engine {
    /// An engine of a project with an empty journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rebuilds the engine from the journal. Effects that were open are asked for again, with the
    /// same ids, at the first [`Engine::handle`].
    ///
    /// # Errors
    /// When a record is missing, altered or unreadable.
    pub fn recover(records: impl IntoIterator<Item = Record>) -> Result<Self, ReplayError> {
        let mut engine = Self::new();
        for record in records {
            let events = record.events_after(engine.seq, engine.head())?;
            for event in &events {
                evolve::evolve(&mut engine.state, record.at, event);
            }
            engine.seq = record.seq;
            engine.now = Some(record.at);
            engine.head = Some(record.hash);
        }
        Ok(engine)
    }

    /// One input at one time. A time before the newest record's is taken as that record's, so
    /// that a clock that jumps back can't reorder the journal.
    ///
    /// # Errors
    /// When a command is refused. Nothing was written then.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> Result<(), Rejection> {
        let now = self.now.map_or(now, |last| now.max(last));
        if let Input::Outcome(effect, _) = &input {
            self.asked.remove(effect);
        }
        let mut events = Vec::new();
        // signals that arrive after a silence must not hide that it was too long: time comes first
        if let Input::Observed(_) = &input {
            self.decide(now, &mut events);
        }
        let accepted = accept::accept(&self.state, now, input)?;
        for event in &accepted {
            evolve::evolve(&mut self.state, now, event);
        }
        events.extend(accepted);
        self.decide(now, &mut events);
        self.append(now, events);
        self.ask(now);
        Ok(())
    }

    /// What to do next. Drain until it says [`Output::WaitUntil`].
    pub fn poll_output(&mut self) -> Output {
        let next = self.outputs.pop_front();
        next.unwrap_or_else(|| {
            let now = self.now.unwrap_or(Timestamp::UNIX_EPOCH);
            Output::WaitUntil(deadline::deadline(&self.state, now))
        })
    }

    /// The state as it is.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The number and hash of the newest record.
    pub fn head_of_journal(&self) -> (u64, &str) {
        (self.seq, self.head())
    }

    /// Takes every decision that the state and the time call for.
    fn decide(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        for round in 0.. {
            assert!(round < DECISIONS_MAX, "one input led to {DECISIONS_MAX} decisions");
            let decided = decide::decide(&self.state, now);
            if decided.is_empty() {
                break;
            }
            for event in &decided {
                evolve::evolve(&mut self.state, now, event);
            }
            events.extend(decided);
        }
    }

    fn head(&self) -> &str {
        self.head.as_deref().unwrap_or(GENESIS)
    }

    fn append(&mut self, now: Timestamp, events: Vec<Event>) {
        self.now = Some(now);
        if events.is_empty() {
            return;
        }
        let record = Record::following(self.seq, self.head(), now, events);
        self.seq = record.seq;
        self.head = Some(record.hash.clone());
        self.outputs.push_back(Output::Append(record));
    }

    /// Asks for every effect that the state calls for and that was not asked for yet.
    fn ask(&mut self, now: Timestamp) {
        let open = effects::effects(&self.state, now);
        self.asked.retain(|asked| open.iter().any(|(id, _)| id == asked));
        for (id, effect) in open {
            if self.asked.insert(id.clone()) {
                self.outputs.push_back(Output::Perform(id, effect));
            }
        }
    }
}
