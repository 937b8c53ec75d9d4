//! What must be true after every step, each by its name. The checkers read facts, of which a
//! test can make up a trace; they share a naive model of the release, the [`Ledger`].

mod approved_digest_only;
mod calendar_respected;
mod damage_turns_back;
mod digests_only;
mod every_wait_explained;
mod flag_turns_back;
mod held_after_rollback;
mod inconclusive_never_promotes;
mod journal_chain_intact;
mod lease_held;
mod ledger;
mod limit_respected;
mod no_effect_before_record;
mod no_machine_twice;
mod nothing_lost;
mod one_rollout_per_app;
mod preflight_holds;
mod same_bytes;
#[cfg(test)]
mod trace;

use holdpoint_core::command::{Actor, Command};
use holdpoint_core::effect::{Effect, Evidence, Outcome};
use holdpoint_core::engine::WaitReason;
use holdpoint_core::event::Event;
use holdpoint_core::id::{EffectId, MachineId};
use holdpoint_core::observation::Observation;
use holdpoint_core::state::State;
use jiff::Timestamp;

pub use ledger::{Ledger, Under};

/// Something that can be seen from outside the engine.
#[derive(Clone, Copy, Debug)]
pub enum Fact<'a> {
    /// A command was accepted and its record is durable next.
    Accepted(&'a Actor, &'a Command),
    /// An event of a record that became durable.
    Event(&'a Event),
    /// The engine asked for an effect.
    Asked(&'a EffectId, &'a Effect),
    /// The world changed because of an effect.
    Landed(&'a EffectId, &'a Effect, &'a MachineId),
    /// The world answered a call; the answer may get lost.
    Answered(&'a Outcome),
    /// Telemetry measured this; it may get lost.
    Measured(&'a Observation),
    /// The conductor came back from its journal. The state is the one before it died, where all
    /// of it was durable.
    Recovered {
        /// The state before.
        before: Option<&'a State>,
        /// The state after, or what the replay complained of.
        after: Result<&'a State, &'a str>,
    },
    /// A step is over.
    Rest(Rest<'a>),
}

/// Where the conductor stands at the end of a step.
#[derive(Clone, Copy, Debug)]
pub struct Rest<'a> {
    /// Its state.
    pub state: &'a State,
    /// How many effects are under way.
    pub in_flight: usize,
    /// What the newest status says the release waits for.
    pub waits_for: Option<&'a WaitReason>,
    /// When it wants to be woken.
    pub wakes_at: Option<Timestamp>,
}

/// One rule about the trace of facts.
trait Checker: std::fmt::Debug {
    fn name(&self) -> &'static str;
    /// Takes in a fact; the ledger is as it was before it.
    fn see(&mut self, ledger: &Ledger, now: Timestamp, fact: Fact<'_>) -> Result<(), String>;
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name.
    pub invariant: &'static str,
    /// What happened.
    pub text: String,
}

/// All invariants, watching one run.
#[derive(Debug)]
pub struct Invariants {
    ledger: Ledger,
    checkers: Vec<Box<dyn Checker>>,
}

impl Default for Invariants {
    fn default() -> Self {
        Self {
            ledger: Ledger::default(),
            checkers: vec![
                Box::<one_rollout_per_app::OneRolloutPerApp>::default(),
                Box::<limit_respected::LimitRespected>::default(),
                Box::<approved_digest_only::ApprovedDigestOnly>::default(),
                Box::new(no_effect_before_record::NoEffectBeforeRecord),
                Box::<no_machine_twice::NoMachineTwice>::default(),
                Box::new(calendar_respected::WindowRespected),
                Box::new(calendar_respected::FreezeRespected),
                Box::<inconclusive_never_promotes::InconclusiveNeverPromotes>::default(),
                Box::<lease_held::LeaseHeld>::default(),
                Box::new(every_wait_explained::EveryWaitExplained),
                Box::new(journal_chain_intact::JournalChainIntact),
                Box::new(digests_only::DigestsOnly),
                Box::<preflight_holds::PreflightHolds>::default(),
                Box::<held_after_rollback::HeldAfterRollback>::default(),
                Box::<same_bytes::SameBytes>::default(),
                Box::<nothing_lost::NothingLost>::default(),
                Box::<flag_turns_back::FlagTurnsBack>::default(),
                Box::<damage_turns_back::DamageTurnsBack>::default(),
            ],
        }
    }
}

impl Invariants {
    /// Takes in one more fact.
    ///
    /// # Errors
    /// The first invariant that it breaks.
    pub fn see(&mut self, now: Timestamp, fact: Fact<'_>) -> Result<(), Violation> {
        for checker in &mut self.checkers {
            checker
                .see(&self.ledger, now, fact)
                .map_err(|text| Violation { invariant: checker.name(), text })?;
        }
        self.ledger.fold(now, fact);
        Ok(())
    }

    /// The model of what was seen.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// The nonce of a lease in an answer.
fn nonce_of(outcome: &Outcome) -> Option<&String> {
    if let Outcome::Done(Evidence::Lease { nonce, .. }) = outcome { Some(nonce) } else { None }
}
