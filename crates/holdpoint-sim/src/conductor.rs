//! The shell around the engine, cut down to its law: records become durable in order, effects
//! leave after them, and after a death everything begins again from the records. What is in
//! memory is lost then; what was appended is not.

use std::collections::BTreeSet;

use holdpoint_core::command::Rejection;
use holdpoint_core::effect::Effect;
use holdpoint_core::engine::{Engine, Input, Output, WaitReason};
use holdpoint_core::id::EffectId;
use holdpoint_core::journal::Record;
use holdpoint_core::state::State;
use jiff::Timestamp;

/// One conductor and its journal.
#[derive(Debug, Default)]
pub struct Conductor {
    /// `None` while it is dead.
    engine: Option<Engine>,
    /// All that was appended.
    pub journal: Vec<Record>,
    /// How often it has begun anew: answers to an earlier life do not arrive.
    pub life: u32,
    /// How often it was called: a wake-up that was set before the newest call does not count.
    pub calls: u64,
    /// Effects that were asked for in this life and not answered.
    pub in_flight: BTreeSet<EffectId>,
    /// When it wants to be woken, and why.
    pub wakes: Option<(Timestamp, WaitReason)>,
}

/// What the conductor carried out, in order.
#[derive(Debug)]
pub enum Carried {
    /// A record became durable.
    Appended(Record),
    /// An effect left.
    Asked(EffectId, Effect),
    /// It died. The state is what it had, if all of that was durable.
    Died(Option<Box<State>>),
}

impl Conductor {
    /// A conductor with an empty journal.
    pub fn new() -> Self {
        Self { engine: Some(Engine::new()), ..Self::default() }
    }

    /// Its state, while it lives.
    pub fn state(&self) -> Option<&State> {
        self.engine.as_ref().map(Engine::state)
    }

    /// Gives one input, and carries out what comes of it until `dies` says that it dies before
    /// the next output. A dead conductor hears nothing.
    ///
    /// # Errors
    /// When the command is refused.
    pub fn handle(
        &mut self,
        now: Timestamp,
        input: Input,
        mut dies: impl FnMut() -> bool,
    ) -> Result<Vec<Carried>, Rejection> {
        let Some(engine) = &mut self.engine else { return Ok(Vec::new()) };
        if let Input::Outcome(id, _) = &input {
            self.in_flight.remove(id);
        }
        engine.handle(now, input)?;
        self.calls += 1;
        let mut carried = Vec::new();
        loop {
            let output = engine.poll_output();
            if let Output::WaitUntil(wakes) = output {
                self.wakes = wakes;
                return Ok(carried);
            }
            if dies() {
                let is_durable = !matches!(output, Output::Append(_));
                carried.push(Carried::Died(is_durable.then(|| Box::new(engine.state().clone()))));
                self.die();
                return Ok(carried);
            }
            match output {
                Output::Append(record) => {
                    self.journal.push(record.clone());
                    carried.push(Carried::Appended(record));
                }
                Output::Perform(id, effect) => {
                    self.in_flight.insert(id.clone());
                    carried.push(Carried::Asked(id, effect));
                }
                Output::WaitUntil(_) => {}
            }
        }
    }

    fn die(&mut self) {
        self.engine = None;
        self.in_flight.clear();
        self.wakes = None;
    }

    /// Begins anew from the journal.
    ///
    /// # Errors
    /// What the replay complained of.
    pub fn come_back(&mut self) -> Result<(), String> {
        self.engine = Some(self.replay()?);
        self.life += 1;
        Ok(())
    }

    /// The state that the journal gives.
    ///
    /// # Errors
    /// What the replay complained of.
    pub fn replayed(&self) -> Result<State, String> {
        Ok(self.replay()?.state().clone())
    }

    fn replay(&self) -> Result<Engine, String> {
        Engine::recover(self.journal.iter().cloned()).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdpoint_core::command::{Actor, Command, StartRelease};

    use crate::seed::{Beginning, Concern, Dice};
    use crate::world::{World, project};

    #[test]
    fn a_conductor_that_dies_before_the_append_has_never_heard_the_command() {
        let now: Timestamp = "2026-03-03T12:00:00Z".parse().unwrap();
        let starts = Dice::of(0, Concern::Starts);
        let world = World::new(project::plain(), now, Beginning::All, 2, starts);
        let start = StartRelease {
            version: "1.0.0".parse().unwrap(),
            project: project::plain(),
            facts: world.facts("1.0.0"),
            rehearsal: None,
            again: None,
        };
        let start =
            || Input::Command(Actor::new("ada"), Command::StartRelease(Box::new(start.clone())));
        let mut conductor = Conductor::new();
        let carried = conductor.handle(now, start(), || true).unwrap();
        assert!(matches!(carried.as_slice(), [Carried::Died(None)]));
        assert_eq!(conductor.state(), None);
        conductor.come_back().unwrap();
        assert_eq!(conductor.state(), Some(&State::default()));

        // and one that dies right after it asks for the same effects again
        let mut outputs = 0;
        let carried = conductor
            .handle(now, start(), || {
                outputs += 1;
                outputs > 1
            })
            .unwrap();
        assert!(matches!(carried.as_slice(), [Carried::Appended(_), Carried::Died(Some(_))]));
        conductor.come_back().unwrap();
        let carried = conductor.handle(now, Input::Tick, || false).unwrap();
        assert!(carried.iter().any(|one| matches!(one, Carried::Asked(..))));
    }
}
