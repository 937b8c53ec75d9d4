//! Messages that can't be delivered: they are given up after some tries, and the first one of a
//! channel that is down is told on the others. No release waits for any of this.

use jiff::Timestamp;

use super::messages::{Draft, Messages};
use crate::event::Event;
use crate::notice::NoticeKind;
use crate::state::{Content, End, State};

/// Gives up the first message whose tries are used up.
pub(super) fn give_up(state: &State, now: Timestamp) -> Vec<Event> {
    let used_up = state.outbox.iter().find_map(|(id, message)| match &message.attempt.end {
        Some(End::Failed(reason) | End::Blocked(reason)) => Some((id, message, reason)),
        Some(End::Done) | None => None,
    });
    let Some((effect, message, reason)) = used_up else {
        return Vec::new();
    };
    let to = message.recipient();
    let given_up = Event::DeliveryGivenUp {
        effect: effect.clone(),
        to: to.to_owned(),
        reason: reason.clone(),
    };
    let mut events = vec![given_up];
    if !state.delivery_troubles.contains_key(to) {
        let what = match &message.content {
            Content::Notice(_) => "the channel",
            Content::Lines { .. } | Content::Document(_) => "the document",
        };
        let text = format!(
            "{what} `{to}` takes no messages: {reason}; the release goes on, and `holdpoint \
             timeline` has every message"
        );
        let mut silent: Vec<&str> = state.delivery_troubles.keys().map(String::as_str).collect();
        silent.push(to);
        let messages = Messages::of_newest(state, now);
        let told = messages.tell_except(Draft::new(NoticeKind::Delivery, text), &silent);
        events.extend(told.events());
    }
    events
}
