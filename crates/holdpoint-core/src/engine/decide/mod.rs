//! Compares state with the time and says what happens next, as events. One file per life cycle.
//!
//! Each call returns the events of one decision; the engine folds them and asks again until there
//! is none. Nothing here changes state or does anything.

pub(super) mod announcement;
pub(super) mod hold;
mod incident;
mod release;
mod rollback;
pub(super) mod rollout;
pub(super) mod soak;

use jiff::Timestamp;

use crate::event::Event;
use crate::state::State;

pub(super) use rollback::roll_back;

/// The next decision, or nothing.
pub(super) fn decide(state: &State, now: Timestamp) -> Vec<Event> {
    let Some(release) = state.active() else {
        return Vec::new();
    };
    let rules =
        [incident::breach, hold::expire_approval, release::go_on, announcement::regular_update];
    rules
        .into_iter()
        .map(|rule| rule(state, release, now))
        .find(|events| !events.is_empty())
        .unwrap_or_default()
}
