//! Runs the engine against a seeded world of machines, traffic, people and faults, with a
//! conductor that dies and comes back, and checks what must always be true. A run has two parts:
//! in safety mode everything may go wrong; then the world is healed and every release must end.
//!
//! It is deterministic: a seed is a run. It is never shipped.

pub mod conductor;
pub mod invariants;
pub mod liveness;
pub mod people;
pub mod run;
pub mod seed;
pub mod story;
pub mod world;
