//! Folds messages into the state: written, tried, given up. That a channel is down is remembered
//! until it takes a message again.

use jiff::Timestamp;

use super::outcome::retry_at;
use crate::document::Document;
use crate::effect::{Delivery, Notice, Outcome};
use crate::id::EffectId;
use crate::state::{Attempt, Content, DeliveryTrouble, End, Message, State};

/// How often a message is sent before it is given up: over some 15 s where each call fails at once.
const DELIVERIES_MAX: u32 = 5;

/// A message goes to each channel by itself, so that none waits for another.
pub(super) fn notice_queued(state: &mut State, number: u64, notice: &Notice, channels: &[String]) {
    let known = state.project().map_or([].as_slice(), |project| &project.notify.channels);
    let wanted: Vec<_> =
        known.iter().filter(|channel| channels.contains(&channel.name)).cloned().collect();
    for channel in wanted {
        let id = EffectId::Delivery { number, channel: channel.name.clone() };
        let delivery = Delivery { channel, notice: notice.clone() };
        let content = Content::Notice(Box::new(delivery));
        state.outbox.insert(id, Message { content, attempt: Attempt::default() });
    }
    count(state, number);
}

/// A project without a reliability log gets none.
pub(super) fn lines_queued(state: &mut State, number: u64, lines: &[String]) {
    if let Some(file) = state.project().and_then(|project| project.reliability_log.clone()) {
        let content = Content::Lines { file, lines: lines.to_vec() };
        let message = Message { content, attempt: Attempt::default() };
        state.outbox.insert(EffectId::Message { number }, message);
    }
    count(state, number);
}

pub(super) fn document_queued(state: &mut State, number: u64, document: &Document) {
    let content = Content::Document(Box::new(document.clone()));
    let message = Message { content, attempt: Attempt::default() };
    state.outbox.insert(EffectId::Message { number }, message);
    count(state, number);
}

fn count(state: &mut State, number: u64) {
    state.next_message = state.next_message.max(number + 1);
}

pub(super) fn ended(state: &mut State, now: Timestamp, id: &EffectId, outcome: &Outcome) {
    let pace = state.active().map_or(1, |release| release.forward.plan.pace);
    let Some(message) = state.outbox.get_mut(id) else { return };
    let to = message.recipient().to_owned();
    let reason = match outcome {
        Outcome::Done(_) => {
            state.outbox.remove(id);
            state.delivery_troubles.remove(&to);
            return;
        }
        // the same request would be refused again
        Outcome::Refused(refusal) => {
            message.attempt.end = Some(End::Failed(refusal.message.clone()));
            return;
        }
        Outcome::Failed(failure) => failure.message.clone(),
        Outcome::Unknown => "no answer within the time limit".to_owned(),
    };
    let tried = message.attempt.number + message.attempt.unknowns;
    // one that is known to be down is tried once for each message, not longer
    let max = if state.delivery_troubles.contains_key(&to) { 1 } else { DELIVERIES_MAX };
    if tried >= max {
        message.attempt.end = Some(End::Failed(reason));
    } else {
        message.attempt.unknowns += 1;
        message.attempt.not_before = Some(retry_at(now, tried, pace));
    }
}

pub(super) fn given_up(
    state: &mut State,
    now: Timestamp,
    effect: &EffectId,
    to: &str,
    reason: &str,
) {
    if state.outbox.remove(effect).is_none() {
        return;
    }
    let trouble = state.delivery_troubles.entry(to.to_owned()).or_insert_with(|| DeliveryTrouble {
        since: now,
        reason: String::new(),
        lost: 0,
    });
    reason.clone_into(&mut trouble.reason);
    trouble.lost += 1;
}
