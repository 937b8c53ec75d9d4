//! The rows of the outbox: replies that a person approved, until they are sent.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Storage, StorageError, failed};
use crate::approvals::{Approval, Channel};
use crate::clock;
use crate::outbox::{DueReply, Sent};

/// Adds the reply of an item that is being approved in this transaction.
pub(crate) async fn enqueue(
    connection: &mut SqliteConnection,
    approval: &Approval,
    arguments: &str,
    digest: &str,
    now_ms: i64,
) -> Result<(), StorageError> {
    let statement = "
        INSERT INTO outbox
            (approval_id, channel, arguments, digest, state, next_attempt_at_ms, created_at_ms)
        VALUES (?1, ?2, ?3, ?4, 'waiting', ?5, ?5)";
    let done = sqlx::query(statement)
        .bind(&approval.id)
        .bind(approval.channel.name())
        .bind(arguments)
        .bind(digest)
        .bind(now_ms)
        .execute(connection)
        .await;
    done.map(drop).map_err(failed("put the reply into the outbox"))
}

/// Marks a reply as being sent, before anything is sent. Whoever finds it so after
/// `look_at_ms` doesn't know whether it was.
pub(crate) async fn mark_sending(
    connection: &mut SqliteConnection,
    number: i64,
    look_at_ms: i64,
) -> Result<(), StorageError> {
    let statement = "
        UPDATE outbox SET state = 'sending', attempts = attempts + 1, next_attempt_at_ms = ?
        WHERE number = ?";
    let done = sqlx::query(statement).bind(look_at_ms).bind(number).execute(connection).await;
    done.map(drop).map_err(failed("mark the reply as being sent"))
}

/// Puts a reply off. `unknown` says that it may have been sent, so it must be looked for first.
pub(crate) async fn delay_reply(
    connection: &mut SqliteConnection,
    number: i64,
    unknown: bool,
    next_attempt_at_ms: i64,
    error: &str,
) -> Result<(), StorageError> {
    let statement =
        "UPDATE outbox SET state = ?, next_attempt_at_ms = ?, last_error = ? WHERE number = ?";
    let done = sqlx::query(statement)
        .bind(if unknown { "sending" } else { "waiting" })
        .bind(next_attempt_at_ms)
        .bind(error)
        .bind(number)
        .execute(connection)
        .await;
    done.map(drop).map_err(failed("put the reply off"))
}

/// Records that a reply was sent.
pub(crate) async fn mark_sent(
    connection: &mut SqliteConnection,
    number: i64,
    receipt: Option<&str>,
    now_ms: i64,
) -> Result<(), StorageError> {
    let statement = "
        UPDATE outbox SET state = 'sent', receipt = ?, sent_at_ms = ?, last_error = NULL
        WHERE number = ?";
    let done =
        sqlx::query(statement).bind(receipt).bind(now_ms).bind(number).execute(connection).await;
    done.map(drop).map_err(failed("record the sent reply"))
}

/// Records that a reply will never be sent.
pub(crate) async fn mark_failed(
    connection: &mut SqliteConnection,
    number: i64,
    error: &str,
) -> Result<(), StorageError> {
    let statement = "UPDATE outbox SET state = 'failed', last_error = ? WHERE number = ?";
    let done = sqlx::query(statement).bind(error).bind(number).execute(connection).await;
    done.map(drop).map_err(failed("record the failed reply"))
}

impl Storage {
    /// The reply that has been due for longest.
    pub(crate) async fn due_reply(&self, now_ms: i64) -> Result<Option<DueReply>, StorageError> {
        let statement = "
            SELECT o.*, a.approved_digest, a.version AS version, a.decided_at_ms AS decided_at_ms
            FROM outbox o JOIN approvals a ON a.id = o.approval_id
            WHERE o.state IN ('waiting', 'sending') AND o.next_attempt_at_ms <= ?
            ORDER BY o.next_attempt_at_ms, o.number LIMIT 1";
        let operation = "read the due replies";
        let row = sqlx::query(statement).bind(now_ms).fetch_optional(&self.readers).await;
        let row = row.map_err(failed(operation))?;
        row.as_ref().map(due_reply).transpose().map_err(failed(operation))
    }

    /// When the next reply is due, in milliseconds since the epoch.
    pub(crate) async fn next_reply_due_ms(&self) -> Result<Option<i64>, StorageError> {
        let statement =
            "SELECT min(next_attempt_at_ms) FROM outbox WHERE state IN ('waiting', 'sending')";
        let due = sqlx::query_scalar(statement).fetch_one(&self.readers).await;
        due.map_err(failed("read when the next reply is due"))
    }

    /// At most `limit` sent replies after the one numbered `after`, oldest first.
    pub(crate) async fn sent(&self, after: i64, limit: u32) -> Result<Vec<Sent>, StorageError> {
        let statement =
            "SELECT * FROM outbox WHERE state = 'sent' AND number > ? ORDER BY number LIMIT ?";
        let operation = "list the sent replies";
        let rows = sqlx::query(statement).bind(after).bind(limit).fetch_all(&self.readers).await;
        let rows = rows.map_err(failed(operation))?;
        rows.iter().map(sent).collect::<Result<_, _>>().map_err(failed(operation))
    }
}

fn due_reply(row: &SqliteRow) -> Result<DueReply, sqlx::Error> {
    let state: String = row.try_get("state")?;
    let channel: String = row.try_get("channel")?;
    Ok(DueReply {
        number: row.try_get("number")?,
        approval_id: row.try_get("approval_id")?,
        channel: Channel::named(&channel)
            .ok_or_else(|| sqlx::Error::Decode(format!("`{channel}` is no channel").into()))?,
        arguments: row.try_get("arguments")?,
        digest: row.try_get("digest")?,
        approved_digest: row.try_get("approved_digest")?,
        version: row.try_get("version")?,
        interrupted: state == "sending",
        attempts: row.try_get("attempts")?,
        approved_at_ms: row.try_get("created_at_ms")?,
    })
}

fn sent(row: &SqliteRow) -> Result<Sent, sqlx::Error> {
    let arguments: String = row.try_get("arguments")?;
    let sent_at_ms: Option<i64> = row.try_get("sent_at_ms")?;
    Ok(Sent {
        number: row.try_get("number")?,
        approval_id: row.try_get("approval_id")?,
        channel: row.try_get("channel")?,
        arguments: serde_json::from_str(&arguments).unwrap_or(serde_json::Value::String(arguments)),
        digest: row.try_get("digest")?,
        receipt: row.try_get("receipt")?,
        at: sent_at_ms.map(clock::rfc3339),
    })
}
