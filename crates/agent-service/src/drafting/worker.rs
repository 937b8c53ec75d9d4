//! Works off the message queue: takes what is due, has it drafted, puts the draft into the
//! approval queue. A failed attempt is put off in the queue itself; a stop or a crash at any
//! point leaves the message there.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;

use super::{DraftError, Drafter, instead};
use crate::approvals::{self, Draft};
use crate::audit::{Action, NewEntry, SERVICE};
use crate::queue::{WaitingMessage, wait_after_ms};
use crate::storage::{self, NewApproval, StorageError};
use crate::{Service, clock};

/// Messages that are drafted at once: one slow answer must not hold up the next customer, and a
/// knowledge server of one core must not be drowned.
const AT_ONCE: u32 = 4;
/// How long to wait when the database refuses.
const STORAGE_WAIT_MS: i64 = 1_000;
/// The longest error that is kept with a message.
const ERROR_MAX_CHARS: usize = 500;

/// The worker.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    service: Arc<Service>,
    drafter: Arc<Drafter>,
    started_at_ms: i64,
}

impl Worker {
    /// A worker that starts now.
    pub(crate) fn new(service: Arc<Service>) -> Result<Self, reqwest::Error> {
        let drafter = Arc::new(Drafter::new(service.clone())?);
        Ok(Self { service, drafter, started_at_ms: clock::now_ms() })
    }

    /// Works until the service stops; what is half drafted then is drafted after the next start.
    pub(crate) async fn run(self) {
        let service = self.service.clone();
        let mut drafting: JoinSet<i64> = JoinSet::new();
        let mut in_hand: BTreeSet<i64> = BTreeSet::new();
        while !service.stopping.is_cancelled() {
            let next_due_ms = match self.start_due(&mut drafting, &mut in_hand).await {
                Ok(next_due_ms) => next_due_ms,
                Err(error) => {
                    tracing::error!(error = %error, "can't read the message queue");
                    Some(clock::now_ms() + STORAGE_WAIT_MS)
                }
            };
            tokio::select! {
                () = service.stopping.cancelled() => break,
                Some(ended) = drafting.join_next(), if !drafting.is_empty() => match ended {
                    Ok(number) => drop(in_hand.remove(&number)),
                    Err(error) => {
                        tracing::error!(error = %error, "drafting broke off");
                        // Which message it was isn't told; those still drafted are only drafted
                        // twice, and stored once.
                        in_hand.clear();
                    }
                },
                () = clock::wait_until(next_due_ms, &service.new_message) => {}
            }
        }
    }

    /// Starts what is due, as far as there is room; tells when the next message will be.
    async fn start_due(
        &self,
        drafting: &mut JoinSet<i64>,
        in_hand: &mut BTreeSet<i64>,
    ) -> Result<Option<i64>, StorageError> {
        let now_ms = clock::now_ms();
        // Those in hand are due too: twice the number shows enough of the others.
        let due = self.service.storage.due_messages(now_ms, AT_ONCE * 2).await?;
        for message in due {
            let full = in_hand.len() >= usize::try_from(AT_ONCE).unwrap_or(1);
            if full || !in_hand.insert(message.number) {
                continue;
            }
            let worker = self.clone();
            drafting.spawn(async move {
                let number = message.number;
                if let Err(error) = Box::pin(worker.work(&message)).await {
                    tracing::error!(message_number = number, error = %error, "can't store the draft");
                    // The message is due still; without a pause it would be taken up at once.
                    let wait = clock::now_ms() + STORAGE_WAIT_MS;
                    clock::wait_until(Some(wait), &tokio::sync::Notify::new()).await;
                }
                number
            });
        }
        self.service.storage.next_message_due_ms(now_ms).await
    }

    async fn work(&self, message: &WaitingMessage) -> Result<(), StorageError> {
        let question = self.service.storage.unanswered(message).await?.join("\n\n");
        let customer = &message.message.customer;
        let error = match self.drafter.draft(customer, &question).await {
            Ok(draft) => return self.keep(message, &question, &draft).await,
            Err(error) => error,
        };
        let now_ms = clock::now_ms();
        // Patience begins with the service: after a restart of everything, the knowledge server
        // may be a moment later than this one.
        let waits_since_ms = message.received_at_ms.max(self.started_at_ms);
        let give_up_at_ms = waits_since_ms + self.service.settings.draft_patience_ms;
        if now_ms >= give_up_at_ms {
            tracing::warn!(message_number = message.number, error = %error, "drafted without");
            return self.keep(message, &question, &instead(customer, &error)).await;
        }
        let next_attempt_at_ms = (now_ms + wait_after_ms(message.attempts + 1)).min(give_up_at_ms);
        self.put_off(message, &error, next_attempt_at_ms).await
    }

    async fn put_off(
        &self,
        message: &WaitingMessage,
        error: &DraftError,
        next_attempt_at_ms: i64,
    ) -> Result<(), StorageError> {
        let cause: String = error.to_string().chars().take(ERROR_MAX_CHARS).collect();
        let next = clock::rfc3339(next_attempt_at_ms);
        tracing::warn!(message_number = message.number, error = cause, next, "draft put off");
        let mut writing = self.service.storage.write().await?;
        storage::delay_message(&mut writing, message.number, next_attempt_at_ms, &cause).await?;
        storage::commit(writing, "put the message off").await
    }

    /// Takes the message out of the queue and puts its draft before a person, in one transaction;
    /// or drops the draft, when the customer wrote again meanwhile.
    async fn keep(
        &self,
        message: &WaitingMessage,
        question: &str,
        draft: &Draft,
    ) -> Result<(), StorageError> {
        let now_ms = clock::now_ms();
        let id = approvals::new_id(self.service.settings.machine_id.as_deref());
        let mut writing = self.service.storage.write().await?;
        if !storage::finish_message(&mut writing, message.number).await? {
            tracing::info!(message_number = message.number, "draft dropped: the customer went on");
            return Ok(());
        }
        let new = NewApproval {
            id: &id,
            message,
            customer_text: question,
            draft,
            channel: self.service.channel(),
            now_ms,
        };
        storage::insert_approval(&mut writing, &new).await?;
        let entry = NewEntry {
            approval_id: &id,
            at_ms: now_ms,
            actor: SERVICE,
            action: Action::Drafted,
            version: 1,
            details: json!({ "kind": draft.kind, "note": draft.note }),
        };
        storage::record(&mut writing, &entry).await?;
        storage::commit(writing, "store the draft").await?;
        self.service.metrics.draft(draft.kind);
        let waited_ms = now_ms.saturating_sub(message.received_at_ms);
        tracing::info!(approval_id = id, kind = draft.kind.name(), waited_ms, "draft waits");
        Ok(())
    }
}
