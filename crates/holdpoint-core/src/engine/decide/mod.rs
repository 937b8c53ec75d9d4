//! Compares state with the time and says what happens next, as events. One file per life cycle.
//!
//! Each call returns the events of one decision; the engine folds them and asks again until there
//! is none. Nothing here changes state or does anything.

pub(super) mod announcement;
mod delivery;
pub(crate) mod escalation;
mod flag;
pub(super) mod hold;
mod incident;
mod messages;
mod release;
mod rollback;
pub(super) mod rollout;
pub(super) mod soak;

use jiff::Timestamp;

use crate::event::Event;
use crate::state::State;

pub(super) use escalation::{tell_incident, write_report};
pub(super) use flag::raise as raise_flag;
pub(super) use rollback::{Cause, roll_back};

/// The next decision, or nothing. What becomes of messages comes after the release: it never
/// waits for them.
pub(super) fn decide(state: &State, now: Timestamp) -> Vec<Event> {
    let rules =
        [incident::breach, hold::expire_approval, release::go_on, announcement::regular_update];
    let release = state.active().map(|release| rules.map(|rule| move || rule(state, release, now)));
    let decided = release.into_iter().flatten().map(|rule| rule());
    let rules =
        [escalation::tell_opened, escalation::call, escalation::tell_closed, delivery::give_up];
    let after = rules.into_iter().map(|rule| rule(state, now));
    decided.chain(after).find(|events| !events.is_empty()).unwrap_or_default()
}
