//! The rows of the approval queue.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Storage, StorageError, failed};
use crate::approvals::{Approval, Channel, Delivery, Draft, DraftKind, State, digest};
use crate::clock;
use crate::queue::{Customer, WaitingMessage};

/// An item to add.
#[derive(Debug)]
pub(crate) struct NewApproval<'a> {
    pub(crate) id: &'a str,
    pub(crate) message: &'a WaitingMessage,
    pub(crate) customer_text: &'a str,
    pub(crate) draft: &'a Draft,
    pub(crate) channel: Channel,
    pub(crate) now_ms: i64,
}

/// What a decision writes.
#[derive(Debug)]
pub(crate) enum Decision {
    Approve { text: String, arguments: String, digest: String },
    Edit { text: String },
    Reject { reason: String },
}

/// An item with how its sending stands: every reader below begins with this.
macro_rules! select_approvals {
    ($rest:literal) => {
        concat!(
            "SELECT a.*, m.message_id AS message_id, o.state AS delivery_state,
                o.attempts AS delivery_attempts, o.last_error AS delivery_error,
                o.receipt AS delivery_receipt, o.sent_at_ms AS delivery_sent_at_ms
            FROM approvals a JOIN messages m ON m.number = a.message_number
            LEFT JOIN outbox o ON o.approval_id = a.id ",
            $rest
        )
    };
}

/// Adds an item in the state pending, at version 1.
pub(crate) async fn insert_approval(
    connection: &mut SqliteConnection,
    new: &NewApproval<'_>,
) -> Result<(), StorageError> {
    let statement = "
        INSERT INTO approvals (id, message_number, account_id, conversation_id, customer_name,
            customer_email, customer_text, draft_kind, draft_text, draft_note, citations, text,
            channel, state, version, created_at_ms, updated_at_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?9, ?12, 'pending', 1, ?13, ?13)";
    let citations = serde_json::json!(new.draft.citations).to_string();
    let message = &new.message.message;
    let done = sqlx::query(statement)
        .bind(new.id)
        .bind(new.message.number)
        .bind(message.account_id)
        .bind(message.conversation_id)
        .bind(&message.customer.name)
        .bind(&message.customer.email)
        .bind(new.customer_text)
        .bind(new.draft.kind.name())
        .bind(&new.draft.text)
        .bind(&new.draft.note)
        .bind(citations)
        .bind(new.channel.name())
        .bind(new.now_ms)
        .execute(connection)
        .await;
    done.map(drop).map_err(failed("store the draft"))
}

/// Supersedes what waits in a conversation; tells the ids and their new versions.
pub(crate) async fn supersede(
    connection: &mut SqliteConnection,
    account_id: i64,
    conversation_id: i64,
    now_ms: i64,
) -> Result<Vec<(String, i64)>, StorageError> {
    let statement = "
        UPDATE approvals SET state = 'superseded', version = version + 1, decided_by = 'customer',
            decided_at_ms = ?3, updated_at_ms = ?3
        WHERE account_id = ?1 AND conversation_id = ?2 AND state = 'pending'
        RETURNING id, version";
    let rows = sqlx::query_as(statement)
        .bind(account_id)
        .bind(conversation_id)
        .bind(now_ms)
        .fetch_all(connection)
        .await;
    rows.map_err(failed("supersede the waiting drafts"))
}

/// Writes a decision on a pending item at the version that was read in this transaction.
pub(crate) async fn decide(
    connection: &mut SqliteConnection,
    approval: &Approval,
    actor: &str,
    now_ms: i64,
    decision: &Decision,
) -> Result<(), StorageError> {
    let (state, text, digest, reason) = match decision {
        Decision::Approve { text, digest, .. } => (State::Approved, Some(text), Some(digest), None),
        Decision::Edit { text } => (State::Pending, Some(text), None, None),
        Decision::Reject { reason } => (State::Rejected, None, None, Some(reason)),
    };
    let decided = state != State::Pending;
    let statement = "
        UPDATE approvals SET state = ?3, version = version + 1, text = coalesce(?4, text),
            approved_digest = ?5, reason = ?6, decided_by = ?7, decided_at_ms = ?8,
            updated_at_ms = ?9
        WHERE id = ?1 AND version = ?2 AND state = 'pending'";
    let done = sqlx::query(statement)
        .bind(&approval.id)
        .bind(approval.version)
        .bind(state.name())
        .bind(text)
        .bind(digest)
        .bind(reason)
        .bind(decided.then_some(actor))
        .bind(decided.then_some(now_ms))
        .bind(now_ms)
        .execute(connection)
        .await
        .map_err(failed("store the decision"))?;
    if done.rows_affected() == 1 {
        Ok(())
    } else {
        Err(StorageError::Query {
            operation: "store the decision",
            source: sqlx::Error::RowNotFound,
        })
    }
}

/// Ends an approved item; tells its new version.
pub(crate) async fn end_approved(
    connection: &mut SqliteConnection,
    id: &str,
    state: State,
    reason: Option<&str>,
    now_ms: i64,
) -> Result<i64, StorageError> {
    let statement = "
        UPDATE approvals SET state = ?2, version = version + 1, reason = coalesce(?3, reason),
            updated_at_ms = ?4
        WHERE id = ?1 AND state = 'approved' RETURNING version";
    let version = sqlx::query_scalar(statement)
        .bind(id)
        .bind(state.name())
        .bind(reason)
        .bind(now_ms)
        .fetch_one(connection)
        .await;
    version.map_err(failed("end the approved item"))
}

/// The item of this id, as the transaction sees it.
pub(crate) async fn approval_by_id(
    connection: &mut SqliteConnection,
    id: &str,
) -> Result<Option<Approval>, StorageError> {
    let statement = select_approvals!("WHERE a.id = ?");
    let row = sqlx::query(statement).bind(id).fetch_optional(connection).await;
    row.map_err(failed("read the approval"))?.as_ref().map(approval).transpose()
}

impl Storage {
    /// The item of this id.
    pub(crate) async fn approval(&self, id: &str) -> Result<Option<Approval>, StorageError> {
        let operation = "read the approval";
        let mut connection = self.readers.acquire().await.map_err(failed(operation))?;
        approval_by_id(&mut connection, id).await
    }

    /// At most `limit` items after the one numbered `after`, oldest first; of one state and of one
    /// conversation where these are given.
    pub(crate) async fn approvals(
        &self,
        state: Option<State>,
        conversation_id: Option<i64>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Approval>, StorageError> {
        let operation = "list the approvals";
        let rows = if let Some(state) = state {
            let statement = select_approvals!(
                "WHERE a.state = ?1 AND a.number > ?2 AND (?4 IS NULL OR a.conversation_id = ?4)
                 ORDER BY a.number LIMIT ?3"
            );
            let query = sqlx::query(statement).bind(state.name()).bind(after).bind(limit);
            query.bind(conversation_id).fetch_all(&self.readers).await
        } else {
            let statement = select_approvals!(
                "WHERE a.number > ?1 AND (?3 IS NULL OR a.conversation_id = ?3)
                 ORDER BY a.number LIMIT ?2"
            );
            let query = sqlx::query(statement).bind(after).bind(limit).bind(conversation_id);
            query.fetch_all(&self.readers).await
        };
        rows.map_err(failed(operation))?.iter().map(approval).collect()
    }
}

fn approval(row: &SqliteRow) -> Result<Approval, StorageError> {
    let state: String = column(row, "state")?;
    let kind: String = column(row, "draft_kind")?;
    let channel: String = column(row, "channel")?;
    let citations: String = column(row, "citations")?;
    let unknown = |column, value: &str| StorageError::Value {
        object: "an approval",
        column,
        value: value.to_owned(),
    };
    let time = |ms: Option<i64>| ms.map(clock::rfc3339);
    let delivery_state: Option<String> = column(row, "delivery_state")?;
    let delivery = match delivery_state {
        None => None,
        Some(state) => Some(Delivery {
            state,
            attempts: column(row, "delivery_attempts")?,
            last_error: column(row, "delivery_error")?,
            receipt: column(row, "delivery_receipt")?,
            sent_at: time(column(row, "delivery_sent_at_ms")?),
        }),
    };
    let mut approval = Approval {
        id: column(row, "id")?,
        number: column(row, "number")?,
        state: State::named(&state).ok_or_else(|| unknown("state", &state))?,
        version: column(row, "version")?,
        account_id: column(row, "account_id")?,
        conversation_id: column(row, "conversation_id")?,
        message_id: column(row, "message_id")?,
        customer: Customer {
            name: column(row, "customer_name")?,
            email: column(row, "customer_email")?,
        },
        customer_text: column(row, "customer_text")?,
        draft: Draft {
            kind: DraftKind::named(&kind).ok_or_else(|| unknown("draft_kind", &kind))?,
            text: column(row, "draft_text")?,
            note: column(row, "draft_note")?,
            citations: serde_json::from_str(&citations)
                .map_err(|_odd: serde_json::Error| unknown("citations", &citations))?,
        },
        text: column(row, "text")?,
        digest: String::new(),
        channel: Channel::named(&channel).ok_or_else(|| unknown("channel", &channel))?,
        decided_by: column(row, "decided_by")?,
        decided_at: time(column(row, "decided_at_ms")?),
        reason: column(row, "reason")?,
        created_at: clock::rfc3339(column(row, "created_at_ms")?),
        updated_at: clock::rfc3339(column(row, "updated_at_ms")?),
        delivery,
    };
    approval.digest = digest(&approval.arguments(&approval.text).canonical());
    Ok(approval)
}

fn column<'r, T>(row: &'r SqliteRow, name: &str) -> Result<T, StorageError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(name).map_err(failed("read an approval's row"))
}
