//! Sends what a person approved, once. A reply is marked before its request leaves and recorded
//! after; one that is found marked may have been sent, so it is looked for at Chatwoot before it
//! is sent again. Without Chatwoot a reply is only recorded, to be read at `GET /sent`.
//!
//! What is sent are the stored arguments, and only when their digest is the approved one.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::approvals::{Channel, ReplyArguments, State, digest};
use crate::audit::{Action, NewEntry, SERVICE};
use crate::chatwoot::client::{Client, ClientError};
use crate::queue::wait_after_ms;
use crate::storage::{self, StorageError};
use crate::{Service, clock};

/// How long to wait when the database refuses.
const STORAGE_WAIT_MS: i64 = 1_000;
/// The longest error that is kept with a reply.
const ERROR_MAX_CHARS: usize = 500;

/// A reply that is due.
#[derive(Debug, Clone)]
pub(crate) struct DueReply {
    pub(crate) number: i64,
    pub(crate) approval_id: String,
    pub(crate) channel: Channel,
    /// The arguments as they were approved, in their stored form.
    pub(crate) arguments: String,
    pub(crate) digest: String,
    /// The digest that the approval itself holds.
    pub(crate) approved_digest: Option<String>,
    /// The approval's version.
    pub(crate) version: i64,
    /// Whether an earlier attempt may have sent it.
    pub(crate) interrupted: bool,
    pub(crate) attempts: i64,
    pub(crate) approved_at_ms: i64,
}

/// A reply that was sent.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sent {
    #[serde(skip)]
    pub(crate) number: i64,
    pub(crate) approval_id: String,
    pub(crate) channel: String,
    pub(crate) arguments: Value,
    pub(crate) digest: String,
    /// The message's id at Chatwoot.
    pub(crate) receipt: Option<String>,
    /// RFC 3339.
    #[serde(rename = "sent_at")]
    pub(crate) at: Option<String>,
}

/// How an attempt ended.
#[derive(Debug)]
enum Outcome {
    Sent {
        receipt: Option<String>,
    },
    /// An interrupted attempt had sent it.
    Found {
        receipt: String,
    },
    NotDone {
        error: String,
    },
    Unknown {
        error: String,
    },
    Refused {
        error: String,
    },
}

/// The sender.
#[derive(Debug)]
pub(crate) struct Sender {
    service: Arc<Service>,
    client: Option<Client>,
}

impl Sender {
    /// A sender by the way that the settings name.
    pub(crate) fn new(service: Arc<Service>) -> Result<Self, reqwest::Error> {
        let client = service.settings.chatwoot.as_ref().map(Client::new).transpose()?;
        Ok(Self { service, client })
    }

    /// Sends until the service stops; the reply that is being sent then is finished first.
    pub(crate) async fn run(self) {
        while !self.service.stopping.is_cancelled() {
            let next_due_ms = match self.send_next().await {
                Ok(Next::Again) => continue,
                Ok(Next::At(due_ms)) => due_ms,
                Err(error) => {
                    tracing::error!(error = %error, "can't work off the outbox");
                    Some(clock::now_ms() + STORAGE_WAIT_MS)
                }
            };
            tokio::select! {
                () = self.service.stopping.cancelled() => {}
                () = clock::wait_until(next_due_ms, &self.service.new_reply) => {}
            }
        }
    }

    async fn send_next(&self) -> Result<Next, StorageError> {
        let storage = &self.service.storage;
        let Some(reply) = storage.due_reply(clock::now_ms()).await? else {
            return Ok(Next::At(storage.next_reply_due_ms().await?));
        };
        let outcome = self.attempt(&reply).await?;
        self.record(&reply, outcome).await?;
        Ok(Next::Again)
    }

    async fn attempt(&self, reply: &DueReply) -> Result<Outcome, StorageError> {
        let computed = digest(&reply.arguments);
        if reply.digest != computed || reply.approved_digest.as_deref() != Some(&computed) {
            let error = format!("the stored reply has the digest {computed}, not the approved one");
            return Ok(Outcome::Refused { error });
        }
        let arguments: ReplyArguments = match serde_json::from_str(&reply.arguments) {
            Ok(arguments) => arguments,
            Err(error) => {
                let error = format!("the stored reply can't be read: {error}");
                return Ok(Outcome::Refused { error });
            }
        };
        let client = match (reply.channel, &self.client) {
            (Channel::Log, _) => return Ok(Outcome::Sent { receipt: None }),
            (Channel::Chatwoot, Some(client)) => client,
            (Channel::Chatwoot, None) => {
                let error =
                    "the reply was approved for Chatwoot, and `CHATWOOT_BASE_URL` isn't set";
                return Ok(Outcome::NotDone { error: error.to_owned() });
            }
        };
        let key = &reply.approval_id;
        if reply.interrupted {
            match client.find(&arguments, key, reply.approved_at_ms).await {
                Ok(Some(receipt)) => return Ok(Outcome::Found { receipt }),
                Ok(None) => {}
                // Nothing was learnt: whether it was sent is as unknown as before.
                Err(ClientError::NotDone(error) | ClientError::Unknown(error)) => {
                    return Ok(Outcome::Unknown { error });
                }
                Err(ClientError::Refused(error)) => return Ok(Outcome::Refused { error }),
            }
        }
        self.mark_sending(reply).await?;
        Ok(match client.send(&arguments, key).await {
            Ok(receipt) => Outcome::Sent { receipt },
            Err(ClientError::NotDone(error)) => Outcome::NotDone { error },
            Err(ClientError::Unknown(error)) => Outcome::Unknown { error },
            Err(ClientError::Refused(error)) => Outcome::Refused { error },
        })
    }

    /// On the disk before anything leaves.
    async fn mark_sending(&self, reply: &DueReply) -> Result<(), StorageError> {
        let now_ms = clock::now_ms();
        let look_at_ms = now_ms + self.service.settings.send_settle_ms;
        let mut writing = self.service.storage.write().await?;
        storage::mark_sending(&mut writing, reply.number, look_at_ms).await?;
        // The trail tells the first attempt and those after an interruption; a server that is
        // down for hours must not fill it.
        if reply.attempts == 0 || reply.interrupted {
            let details = json!({ "channel": reply.channel, "attempt": reply.attempts + 1 });
            let entry = entry(reply, now_ms, Action::Sending, reply.version, details);
            storage::record(&mut writing, &entry).await?;
        }
        storage::commit(writing, "mark the reply as being sent").await
    }

    async fn record(&self, reply: &DueReply, outcome: Outcome) -> Result<(), StorageError> {
        match outcome {
            Outcome::Sent { receipt } => {
                self.service.metrics.send("sent");
                self.record_sent(reply, receipt.as_deref(), false).await
            }
            Outcome::Found { receipt } => {
                self.service.metrics.send("found");
                self.record_sent(reply, Some(&receipt), true).await
            }
            Outcome::NotDone { error } => {
                let wait_ms = wait_after_ms(reply.attempts + 1);
                self.put_off(reply, reply.interrupted, wait_ms, &error).await
            }
            Outcome::Unknown { error } => {
                let wait_ms = self.service.settings.send_settle_ms;
                self.put_off(reply, true, wait_ms, &error).await
            }
            Outcome::Refused { error } => self.record_failed(reply, &error).await,
        }
    }

    async fn record_sent(
        &self,
        reply: &DueReply,
        receipt: Option<&str>,
        found: bool,
    ) -> Result<(), StorageError> {
        let now_ms = clock::now_ms();
        let id = &reply.approval_id;
        let mut writing = self.service.storage.write().await?;
        storage::mark_sent(&mut writing, reply.number, receipt, now_ms).await?;
        let version =
            storage::end_approved(&mut writing, id, State::Executed, None, now_ms).await?;
        let details =
            json!({ "channel": reply.channel, "receipt": receipt, "digest": reply.digest });
        if found {
            let entry = entry(reply, now_ms, Action::Found, reply.version, details.clone());
            storage::record(&mut writing, &entry).await?;
        }
        let entry = entry(reply, now_ms, Action::Executed, version, details);
        storage::record(&mut writing, &entry).await?;
        storage::commit(writing, "record the sent reply").await?;
        tracing::info!(approval_id = id, channel = reply.channel.name(), receipt, found, "sent");
        Ok(())
    }

    async fn put_off(
        &self,
        reply: &DueReply,
        unknown: bool,
        wait_ms: i64,
        error: &str,
    ) -> Result<(), StorageError> {
        self.service.metrics.send("delayed");
        let error: String = error.chars().take(ERROR_MAX_CHARS).collect();
        let next_ms = clock::now_ms() + wait_ms;
        let next = clock::rfc3339(next_ms);
        tracing::warn!(approval_id = reply.approval_id, error, unknown, next, "sending put off");
        let mut writing = self.service.storage.write().await?;
        storage::delay_reply(&mut writing, reply.number, unknown, next_ms, &error).await?;
        storage::commit(writing, "put the reply off").await
    }

    async fn record_failed(&self, reply: &DueReply, error: &str) -> Result<(), StorageError> {
        self.service.metrics.send("failed");
        let now_ms = clock::now_ms();
        let error: String = error.chars().take(ERROR_MAX_CHARS).collect();
        let id = &reply.approval_id;
        tracing::error!(approval_id = id, error, "sending failed for good");
        let mut writing = self.service.storage.write().await?;
        storage::mark_failed(&mut writing, reply.number, &error).await?;
        let ended = storage::end_approved(&mut writing, id, State::Failed, Some(&error), now_ms);
        let version = ended.await?;
        let entry = entry(reply, now_ms, Action::Failed, version, json!({ "error": error }));
        storage::record(&mut writing, &entry).await?;
        storage::commit(writing, "record the failed reply").await
    }
}

/// What the sender does next.
#[derive(Debug)]
enum Next {
    /// There may be more that is due.
    Again,
    /// Nothing before this time, if ever.
    At(Option<i64>),
}

fn entry(
    reply: &DueReply,
    at_ms: i64,
    action: Action,
    version: i64,
    details: Value,
) -> NewEntry<'_> {
    NewEntry { approval_id: &reply.approval_id, at_ms, actor: SERVICE, action, version, details }
}
