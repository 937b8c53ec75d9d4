//! The one writer of the store. Changes that come while one commit is under way go into the next
//! together: each is answered only when it is on the disk, but they share the waiting for it.

use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::StoreError;

/// Changes that wait at once; further ones wait to be taken.
const WAITING_MAX: usize = 1024;

/// Changes in one commit: enough to share a disk's slowness, few enough to answer soon.
const TOGETHER_MAX: usize = 128;

/// One statement of a change, with what stands for its question marks.
#[derive(Debug)]
pub(super) struct Statement {
    sql: &'static str,
    values: Vec<Value>,
}

#[derive(Debug)]
enum Value {
    Text(String),
    Number(i64),
}

impl Statement {
    pub(super) fn new(sql: &'static str) -> Self {
        Self { sql, values: Vec::new() }
    }

    pub(super) fn text(mut self, value: impl Into<String>) -> Self {
        self.values.push(Value::Text(value.into()));
        self
    }

    pub(super) fn number(mut self, value: i64) -> Self {
        self.values.push(Value::Number(value));
        self
    }
}

/// The statements that are done together or not at all, and who is told how it went.
#[derive(Debug)]
struct Change {
    statements: Vec<Statement>,
    done: oneshot::Sender<Result<(), sqlx::Error>>,
}

/// Where changes are handed in. Cheap to clone; when the last one is gone, the writer ends.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    changes: mpsc::Sender<Change>,
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection) -> Self {
        let (changes, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(write(connection, waiting));
        Self { changes }
    }

    /// Carries out a change. When this returns, it is on the disk, or nothing of it is.
    pub(super) async fn write(&self, statements: Vec<Statement>) -> Result<(), StoreError> {
        let failed = |source| StoreError::Database { operation: "write", source };
        let (done, told) = oneshot::channel();
        let handed = self.changes.send(Change { statements, done }).await;
        handed.map_err(|_ended| failed(sqlx::Error::PoolClosed))?;
        told.await.map_err(|_ended| failed(sqlx::Error::PoolClosed))?.map_err(failed)
    }
}

async fn write(mut connection: SqliteConnection, mut waiting: mpsc::Receiver<Change>) {
    let mut together = Vec::new();
    while waiting.recv_many(&mut together, TOGETHER_MAX).await > 0 {
        let all_done = commit(&mut connection, &together).await;
        for change in together.drain(..) {
            let result = match &all_done {
                Ok(()) => Ok(()),
                // One of them failed: each by itself, so that only that one is refused.
                Err(_) => commit(&mut connection, std::slice::from_ref(&change)).await,
            };
            if change.done.send(result).is_err() {
                tracing::debug!("nobody waits for a change any more");
            }
        }
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the store was not closed in order");
    }
}

/// Carries the changes out in one transaction, or none of them.
async fn commit(connection: &mut SqliteConnection, changes: &[Change]) -> Result<(), sqlx::Error> {
    let done = carry_out(connection, changes).await;
    if done.is_err()
        && let Err(error) = sqlx::query("ROLLBACK").execute(connection).await
    {
        // A full disk makes SQLite roll back by itself, and there is nothing left to undo. That is
        // why the library's own transactions, which count how deep they are, are not used here.
        tracing::debug!(%error, "a transaction was undone already");
    }
    done
}

async fn carry_out(
    connection: &mut SqliteConnection,
    changes: &[Change],
) -> Result<(), sqlx::Error> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    for statement in changes.iter().flat_map(|change| &change.statements) {
        let mut query = sqlx::query(statement.sql);
        for value in &statement.values {
            query = match value {
                Value::Text(text) => query.bind(text.as_str()),
                Value::Number(number) => query.bind(*number),
            };
        }
        query.execute(&mut *connection).await?;
    }
    sqlx::query("COMMIT").execute(connection).await?;
    Ok(())
}
