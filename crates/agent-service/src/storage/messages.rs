//! The rows of the message queue.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Storage, StorageError, failed, last_number};
use crate::queue::{Customer, IncomingMessage, WaitingMessage};

/// A conversation's unanswered messages that one draft answers, at most; older ones are left out.
const UNANSWERED_MAX: i64 = 20;

/// Adds a message to the queue and merges the conversation's waiting ones into it; `None` when it
/// is there already.
pub(crate) async fn insert_message(
    connection: &mut SqliteConnection,
    message: &IncomingMessage,
    now_ms: i64,
) -> Result<Option<i64>, StorageError> {
    let statement = "
        INSERT INTO messages (account_id, message_id, conversation_id, customer_name,
            customer_email, content, state, next_attempt_at_ms, received_at_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'waiting', ?7, ?7)
        ON CONFLICT (account_id, message_id) DO NOTHING";
    let done = sqlx::query(statement)
        .bind(message.account_id)
        .bind(message.message_id)
        .bind(message.conversation_id)
        .bind(&message.customer.name)
        .bind(&message.customer.email)
        .bind(&message.content)
        .bind(now_ms)
        .execute(&mut *connection)
        .await
        .map_err(failed("store the message"))?;
    if done.rows_affected() == 0 {
        return Ok(None);
    }
    let number = last_number(&done);
    let statement = "
        UPDATE messages SET state = 'merged'
        WHERE account_id = ?1 AND conversation_id = ?2 AND state = 'waiting' AND number < ?3";
    sqlx::query(statement)
        .bind(message.account_id)
        .bind(message.conversation_id)
        .bind(number)
        .execute(connection)
        .await
        .map_err(failed("merge the earlier messages"))?;
    Ok(Some(number))
}

/// Takes a message out of the queue; `false` when it no longer waits, because the customer wrote
/// again meanwhile.
pub(crate) async fn finish_message(
    connection: &mut SqliteConnection,
    number: i64,
) -> Result<bool, StorageError> {
    let statement = "UPDATE messages SET state = 'drafted' WHERE number = ? AND state = 'waiting'";
    let done = sqlx::query(statement).bind(number).execute(connection).await;
    Ok(done.map_err(failed("take the message out of the queue"))?.rows_affected() == 1)
}

/// Puts a message off after a failed attempt.
pub(crate) async fn delay_message(
    connection: &mut SqliteConnection,
    number: i64,
    next_attempt_at_ms: i64,
    error: &str,
) -> Result<(), StorageError> {
    let statement = "
        UPDATE messages SET attempts = attempts + 1, next_attempt_at_ms = ?, last_error = ?
        WHERE number = ? AND state = 'waiting'";
    let done = sqlx::query(statement)
        .bind(next_attempt_at_ms)
        .bind(error)
        .bind(number)
        .execute(connection)
        .await;
    done.map(drop).map_err(failed("put the message off"))
}

impl Storage {
    /// The messages that are due, oldest first.
    pub(crate) async fn due_messages(
        &self,
        now_ms: i64,
        limit: u32,
    ) -> Result<Vec<WaitingMessage>, StorageError> {
        let statement = "
            SELECT * FROM messages WHERE state = 'waiting' AND next_attempt_at_ms <= ?
            ORDER BY number LIMIT ?";
        let operation = "read the due messages";
        let rows = sqlx::query(statement).bind(now_ms).bind(limit).fetch_all(&self.readers).await;
        let rows = rows.map_err(failed(operation))?;
        rows.iter().map(waiting_message).collect::<Result<_, _>>().map_err(failed(operation))
    }

    /// When the next message after now will be due, in milliseconds since the epoch.
    pub(crate) async fn next_message_due_ms(
        &self,
        now_ms: i64,
    ) -> Result<Option<i64>, StorageError> {
        let statement = "
            SELECT min(next_attempt_at_ms) FROM messages
            WHERE state = 'waiting' AND next_attempt_at_ms > ?";
        let due = sqlx::query_scalar(statement).bind(now_ms).fetch_one(&self.readers).await;
        due.map_err(failed("read when the next message is due"))
    }

    /// What the customer wrote since the last message on which a person decided, oldest first,
    /// up to the message `number`.
    pub(crate) async fn unanswered(
        &self,
        message: &WaitingMessage,
    ) -> Result<Vec<String>, StorageError> {
        let statement = "
            SELECT content FROM messages
            WHERE account_id = ?1 AND conversation_id = ?2 AND number <= ?3 AND number > coalesce((
                SELECT max(message_number) FROM approvals
                WHERE account_id = ?1 AND conversation_id = ?2
                    AND state IN ('approved', 'rejected', 'executed', 'failed')), 0)
            ORDER BY number DESC LIMIT ?4";
        let rows: Result<Vec<String>, _> = sqlx::query_scalar(statement)
            .bind(message.message.account_id)
            .bind(message.message.conversation_id)
            .bind(message.number)
            .bind(UNANSWERED_MAX)
            .fetch_all(&self.readers)
            .await;
        let mut contents = rows.map_err(failed("read the conversation's open messages"))?;
        contents.reverse();
        Ok(contents)
    }
}

fn waiting_message(row: &SqliteRow) -> Result<WaitingMessage, sqlx::Error> {
    Ok(WaitingMessage {
        number: row.try_get("number")?,
        attempts: row.try_get("attempts")?,
        received_at_ms: row.try_get("received_at_ms")?,
        message: IncomingMessage {
            account_id: row.try_get("account_id")?,
            message_id: row.try_get("message_id")?,
            conversation_id: row.try_get("conversation_id")?,
            customer: Customer {
                name: row.try_get("customer_name")?,
                email: row.try_get("customer_email")?,
            },
            content: row.try_get("content")?,
        },
    })
}
