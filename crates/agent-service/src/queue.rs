//! The durable queue of customers' messages that wait for a draft: what a message is, and when a
//! failed attempt is tried again.
//!
//! It doesn't make drafts; `drafting::worker` works it off. A message leaves it by being drafted,
//! or by being merged into a newer message of the same conversation, whose draft answers both.

use serde::Serialize;

/// Who wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Customer {
    pub(crate) name: Option<String>,
    pub(crate) email: Option<String>,
}

/// A message as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IncomingMessage {
    pub(crate) account_id: i64,
    pub(crate) message_id: i64,
    pub(crate) conversation_id: i64,
    pub(crate) customer: Customer,
    pub(crate) content: String,
}

/// A message that waits for its draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WaitingMessage {
    /// Its place in the queue.
    pub(crate) number: i64,
    pub(crate) message: IncomingMessage,
    /// How many attempts have failed.
    pub(crate) attempts: i64,
    pub(crate) received_at_ms: i64,
}

/// The first wait after a failed attempt.
const FIRST_WAIT_MS: i64 = 500;
/// The longest one: a server that comes back is noticed within this time.
const LONGEST_WAIT_MS: i64 = 15_000;

/// How long to wait after `attempts` failed ones, in milliseconds: doubling, with a bound.
pub(crate) fn wait_after_ms(attempts: i64) -> i64 {
    let doublings = u32::try_from(attempts.saturating_sub(1).clamp(0, 16)).unwrap_or(0);
    FIRST_WAIT_MS.saturating_mul(2_i64.saturating_pow(doublings)).min(LONGEST_WAIT_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound() {
        let waits: Vec<i64> = (1..=7).map(wait_after_ms).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
        assert_eq!(wait_after_ms(i64::MAX), LONGEST_WAIT_MS);
    }
}
