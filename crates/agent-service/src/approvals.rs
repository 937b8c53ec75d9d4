//! The approval queue: what an item is, which states it goes through, and how a person's decision
//! is taken. Every decision names the version that the person saw, so that of two people who act
//! at once exactly one wins, and the other is told who acted and when.
//!
//! Sending is not done here: an approval writes the outbox's row in its own transaction, and
//! `outbox` takes it from there.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::audit::{Action, NewEntry};
use crate::queue::Customer;
use crate::storage::{self, Decision, Storage, StorageError};

/// Longest reply, in characters. Chatwoot takes 150,000; a person reads a draft before it is sent.
const TEXT_MAX_CHARS: usize = 20_000;
/// Longest actor and reason, in characters.
const ACTOR_MAX_CHARS: usize = 200;
const REASON_MAX_CHARS: usize = 2_000;

/// Where an item stands. All but the first two are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Waits for a person.
    Pending,
    /// A person said yes; the reply is on its way.
    Approved,
    Rejected,
    /// The reply was sent.
    Executed,
    /// The reply was refused and will not be sent.
    Failed,
    /// The customer wrote again before anybody decided.
    Superseded,
}

impl State {
    /// Every state, in the order of an item's life.
    pub(crate) const ALL: [Self; 6] = [
        Self::Pending,
        Self::Approved,
        Self::Rejected,
        Self::Executed,
        Self::Failed,
        Self::Superseded,
    ];

    /// Its name in the database and in the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Executed => "executed",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }

    /// The state of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// How a draft was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DraftKind {
    /// The best passage, quoted.
    Extractive,
    /// Written by a model from the passages.
    Chat,
    /// There's no answer; a person must write one.
    Unanswered,
}

impl DraftKind {
    /// Its name in the database, the API and the metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Extractive => "extractive",
            Self::Chat => "chat",
            Self::Unanswered => "unanswered",
        }
    }

    /// The kind of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Extractive, Self::Chat, Self::Unanswered]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// A passage that a draft rests on, so that it can be checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Citation {
    pub(crate) title: String,
    /// The document's path or URL.
    pub(crate) path: String,
    pub(crate) heading: Option<String>,
    /// The passage's place in the document, in characters, end exclusive.
    pub(crate) start: Option<u64>,
    pub(crate) end: Option<u64>,
    pub(crate) score: Option<f64>,
    pub(crate) text: String,
}

/// What was drafted, before anybody touched it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Draft {
    pub(crate) kind: DraftKind,
    /// Empty when the draft is unanswered.
    pub(crate) text: String,
    /// What the approver should know, for example why there's no answer.
    pub(crate) note: Option<String>,
    pub(crate) citations: Vec<Citation>,
}

/// By which way a reply leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Channel {
    /// Through Chatwoot's API.
    Chatwoot,
    /// Only recorded, to be read at `GET /sent`.
    Log,
}

impl Channel {
    /// Its name in the database and in the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chatwoot => "chatwoot",
            Self::Log => "log",
        }
    }

    /// The channel of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Chatwoot, Self::Log].into_iter().find(|channel| channel.name() == name)
    }
}

/// What executing an item does: the conversation is the webhook's, never a model's choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplyArguments {
    pub(crate) account_id: i64,
    pub(crate) conversation_id: i64,
    pub(crate) content: String,
}

impl ReplyArguments {
    /// As it is stored and hashed.
    pub(crate) fn canonical(&self) -> String {
        let object = json!({
            "account_id": self.account_id,
            "content": self.content,
            "conversation_id": self.conversation_id,
        });
        object.to_string()
    }
}

/// The digest of stored arguments, `sha256:` and 64 hex digits.
pub(crate) fn digest(canonical_arguments: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(canonical_arguments.as_bytes())))
}

/// How the sending of an approved reply stands.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Delivery {
    /// `waiting`, `sending`, `sent` or `failed`.
    pub(crate) state: String,
    pub(crate) attempts: i64,
    pub(crate) last_error: Option<String>,
    /// The message's id at Chatwoot.
    pub(crate) receipt: Option<String>,
    pub(crate) sent_at: Option<String>,
}

/// An item of the queue.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Approval {
    pub(crate) id: String,
    #[serde(skip)]
    pub(crate) number: i64,
    pub(crate) state: State,
    /// Grows with every change; a decision names the one that was seen.
    pub(crate) version: i64,
    pub(crate) account_id: i64,
    pub(crate) conversation_id: i64,
    /// The customer's newest message that this answers.
    pub(crate) message_id: i64,
    pub(crate) customer: Customer,
    /// The customer's words that have no answer yet.
    pub(crate) customer_text: String,
    pub(crate) draft: Draft,
    /// What approving sends.
    pub(crate) text: String,
    /// The digest of what approving sends, and to which conversation.
    pub(crate) digest: String,
    pub(crate) channel: Channel,
    pub(crate) decided_by: Option<String>,
    pub(crate) decided_at: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
    pub(crate) delivery: Option<Delivery>,
}

impl Approval {
    /// What executing this item would do.
    pub(crate) fn arguments(&self, content: &str) -> ReplyArguments {
        ReplyArguments {
            account_id: self.account_id,
            conversation_id: self.conversation_id,
            content: content.to_owned(),
        }
    }
}

/// What a person wants done with an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Send the text, or this one instead.
    Approve { text: Option<String> },
    /// Replace the text; the item goes on waiting.
    Edit { text: String },
    /// Send nothing.
    Reject { reason: String },
}

/// A person's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) actor: String,
    /// The version that the person saw.
    pub(crate) version: i64,
    pub(crate) verb: Verb,
}

/// Why a decision wasn't taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecideError {
    #[error("there is no approval `{id}`")]
    Unknown { id: String },
    /// Boxed: it carries the item as it stands.
    #[error("{}", lost_message(.0))]
    Lost(Box<Lost>),
    #[error("{field} {problem}\nhint: {hint}")]
    Invalid { field: &'static str, problem: String, hint: &'static str },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Somebody else was quicker.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    pub(crate) approval: Approval,
    /// What was done last, by whom, and when (RFC 3339).
    pub(crate) action: String,
    pub(crate) actor: String,
    pub(crate) at: String,
    pub(crate) seen_version: i64,
}

fn lost_message(lost: &Lost) -> String {
    let Lost { approval, action, actor, at, seen_version } = lost;
    format!(
        "approval `{}` was {action} by {actor} at {at}: it is now {} at version {}, and the request names version {seen_version}\nhint: read the item again before deciding",
        approval.id,
        approval.state.name(),
        approval.version
    )
}

/// Takes a person's decision, or says why not.
///
/// Approving writes the outbox's row in the same transaction, so an approved item is sent even
/// when the process dies now, and what is sent is what was approved.
pub(crate) async fn decide(
    storage: &Storage,
    id: &str,
    request: &Request,
    now_ms: i64,
) -> Result<Approval, DecideError> {
    check(request)?;
    let mut writing = storage.write().await?;
    let found = storage::approval_by_id(&mut writing, id).await?;
    let approval = found.ok_or_else(|| DecideError::Unknown { id: id.to_owned() })?;
    if approval.state != State::Pending || approval.version != request.version {
        return Err(lost(&mut writing, approval, request.version).await?);
    }
    let (decision, action, details) = decision(&approval, &request.verb)?;
    let version = approval.version + 1;
    storage::decide(&mut writing, &approval, &request.actor, now_ms, &decision).await?;
    if let Decision::Approve { arguments, digest, .. } = &decision {
        storage::enqueue(&mut writing, &approval, arguments, digest, now_ms).await?;
    }
    let entry = NewEntry {
        approval_id: id,
        at_ms: now_ms,
        actor: &request.actor,
        action,
        version,
        details,
    };
    storage::record(&mut writing, &entry).await?;
    let after = storage::approval_by_id(&mut writing, id).await?;
    storage::commit(writing, "record the decision").await?;
    after.ok_or_else(|| DecideError::Unknown { id: id.to_owned() })
}

fn decision(
    approval: &Approval,
    verb: &Verb,
) -> Result<(Decision, Action, serde_json::Value), DecideError> {
    match verb {
        Verb::Approve { text } => {
            let content = text.as_deref().unwrap_or(&approval.text).trim();
            if content.is_empty() {
                return Err(DecideError::Invalid {
                    field: "`text`",
                    problem: "is missing, and this item has no text to send".to_owned(),
                    hint: "write the reply and send it as `text`",
                });
            }
            let arguments = approval.arguments(content).canonical();
            let digest = digest(&arguments);
            let details = json!({ "digest": digest, "edited": content != approval.draft.text });
            let text = content.to_owned();
            Ok((Decision::Approve { text, arguments, digest }, Action::Approved, details))
        }
        Verb::Edit { text } => {
            let text = text.trim().to_owned();
            let details = json!({ "before": approval.text, "after": text });
            Ok((Decision::Edit { text }, Action::Edited, details))
        }
        Verb::Reject { reason } => {
            let reason = reason.trim().to_owned();
            let details = json!({ "reason": reason });
            Ok((Decision::Reject { reason }, Action::Rejected, details))
        }
    }
}

async fn lost(
    connection: &mut sqlx::SqliteConnection,
    approval: Approval,
    seen_version: i64,
) -> Result<DecideError, StorageError> {
    let last = storage::last_decision(connection, &approval.id).await?;
    let (action, actor, at) = match last {
        Some(entry) => (entry.action, entry.actor, entry.at),
        None => {
            ("drafted".to_owned(), crate::audit::SERVICE.to_owned(), approval.created_at.clone())
        }
    };
    Ok(DecideError::Lost(Box::new(Lost { approval, action, actor, at, seen_version })))
}

fn check(request: &Request) -> Result<(), DecideError> {
    check_text("`actor`", &request.actor, ACTOR_MAX_CHARS, "name the person who decides")?;
    if request.actor.chars().any(char::is_control) {
        return Err(DecideError::Invalid {
            field: "`actor`",
            problem: "holds a control character".to_owned(),
            hint: "name the person who decides on one line",
        });
    }
    match &request.verb {
        Verb::Approve { text: None } => Ok(()),
        Verb::Approve { text: Some(text) } | Verb::Edit { text } => {
            check_text("`text`", text, TEXT_MAX_CHARS, "give the reply as it shall be sent")
        }
        Verb::Reject { reason } => {
            check_text("`reason`", reason, REASON_MAX_CHARS, "say why the draft is no good")
        }
    }
}

fn check_text(
    field: &'static str,
    text: &str,
    max_chars: usize,
    hint: &'static str,
) -> Result<(), DecideError> {
    if text.trim().is_empty() {
        return Err(DecideError::Invalid { field, problem: "is empty".to_owned(), hint });
    }
    let count = text.chars().count();
    if count > max_chars {
        let problem = format!("has {count} characters, more than {max_chars}");
        return Err(DecideError::Invalid { field, problem, hint });
    }
    Ok(())
}

/// A new item's id: `<machine>-<ulid>`, or the ulid alone where there are no machines.
pub(crate) fn new_id(machine_id: Option<&str>) -> String {
    let ulid = ulid::Ulid::generate().to_string().to_ascii_lowercase();
    match machine_id {
        Some(machine) => format!("{machine}-{ulid}"),
        None => ulid,
    }
}

/// The machine that an id names, when it is an id and names one.
pub(crate) fn machine_of(id: &str) -> Option<&str> {
    let (machine, ulid) = id.rsplit_once('-')?;
    let known = ulid.len() == ulid::ULID_LEN && ulid.parse::<ulid::Ulid>().is_ok();
    (known && crate::settings::is_machine_id(machine)).then_some(machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_its_machine() {
        let id = new_id(Some("9185340f4d6789"));
        assert_eq!(machine_of(&id), Some("9185340f4d6789"));
        assert_eq!(machine_of(&new_id(None)), None);
    }

    #[test]
    fn an_id_that_could_break_a_header_names_no_machine() {
        let id = new_id(Some("a\r\nset-cookie"));
        assert_eq!(machine_of(&id), None);
        assert_eq!(machine_of("abc-def"), None);
    }

    #[test]
    fn the_digest_covers_the_conversation_and_the_words() {
        let reply = |conversation_id, content: &str| ReplyArguments {
            account_id: 1,
            conversation_id,
            content: content.to_owned(),
        };
        let first = digest(&reply(7, "yes").canonical());
        assert_ne!(first, digest(&reply(8, "yes").canonical()));
        assert_ne!(first, digest(&reply(7, "no").canonical()));
        assert_eq!(first, digest(&reply(7, "yes").canonical()));
    }

    #[test]
    fn every_state_is_found_by_its_name() {
        for state in State::ALL {
            assert_eq!(State::named(state.name()), Some(state));
        }
        assert_eq!(State::named("done"), None);
    }
}
