//! Takes in a customer's message: one durable write that stores it, merges the conversation's
//! waiting messages into it and supersedes the conversation's waiting draft.
//!
//! The draft is made later, by `drafting::worker`; Chatwoot gives a webhook five seconds.

use serde_json::json;

use crate::audit::{Action, CUSTOMER, NewEntry};
use crate::queue::IncomingMessage;
use crate::storage::{self, Storage, StorageError};

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is on the disk, in the queue.
    Accepted,
    /// It was there already: Chatwoot sends some messages twice.
    Duplicate,
}

/// Stores a message; when this returns, it is on the disk.
pub(crate) async fn take(
    storage: &Storage,
    message: &IncomingMessage,
    now_ms: i64,
) -> Result<Taken, StorageError> {
    let mut writing = storage.write().await?;
    if storage::insert_message(&mut writing, message, now_ms).await?.is_none() {
        return Ok(Taken::Duplicate);
    }
    let IncomingMessage { account_id, conversation_id, message_id, .. } = *message;
    let superseded = storage::supersede(&mut writing, account_id, conversation_id, now_ms).await?;
    for (approval_id, version) in superseded {
        let entry = NewEntry {
            approval_id: &approval_id,
            at_ms: now_ms,
            actor: CUSTOMER,
            action: Action::Superseded,
            version,
            details: json!({ "message_id": message_id }),
        };
        storage::record(&mut writing, &entry).await?;
    }
    storage::commit(writing, "store the message").await?;
    Ok(Taken::Accepted)
}
