//! The database: opening it, its two ways in (one writer, several readers), and in the modules
//! below every SQL statement of the service, by table.
//!
//! What the rows mean is decided elsewhere; here they are only written and read. Each machine has
//! a file of its own under `DATA_DIR`.

mod approvals;
mod audit;
mod messages;
mod migrations;
mod outbox;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Row, Transaction};

pub(crate) use approvals::{
    Decision, NewApproval, approval_by_id, decide, end_approved, insert_approval, supersede,
};
pub(crate) use audit::{last_decision, record};
pub(crate) use messages::{delay_message, finish_message, insert_message};
pub(crate) use outbox::{delay_reply, enqueue, mark_failed, mark_sending, mark_sent};

/// How long a statement waits for another process that holds the database's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a connection before it is answered 503.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Readers share one file's cache; more of them than this only wait for the same two cores.
const READERS: u32 = 4;

/// The open database.
#[derive(Debug, Clone)]
pub(crate) struct Storage {
    /// One connection: SQLite has one writer, and who waits here waits in order.
    writer: SqlitePool,
    readers: SqlitePool,
}

/// What failed in the database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    #[error(
        "can't create the data directory `{path}`: {source}\nhint: set `DATA_DIR` to a directory that this process may write"
    )]
    Directory { path: PathBuf, source: std::io::Error },
    #[error(
        "can't open the database `{path}`: {source}\nhint: set `DATA_DIR` to a directory that this process may write"
    )]
    Open { path: PathBuf, source: sqlx::Error },
    #[error(
        "can't bring the database `{path}` up to date: {source}\nhint: this version of the service is older than the database; start the newer one, or give it another `DATA_DIR`"
    )]
    Migrate { path: PathBuf, source: MigrateError },
    #[error("can't {operation}: {source}")]
    Query { operation: &'static str, source: sqlx::Error },
    #[error("can't read {column} of {object}: it holds `{value}`")]
    Value { object: &'static str, column: &'static str, value: String },
}

/// A transaction that holds the write lock from its first statement.
pub(crate) type Writing = Transaction<'static, Sqlite>;

impl Storage {
    /// Opens `agent-service.sqlite` in `directory`, making both when they aren't there, and brings
    /// its tables up to date.
    ///
    /// Every commit is on the disk before it returns (`synchronous = FULL`).
    pub(crate) async fn open(directory: &Path) -> Result<Self, StorageError> {
        std::fs::create_dir_all(directory)
            .map_err(|source| StorageError::Directory { path: directory.to_owned(), source })?;
        let path = directory.join("agent-service.sqlite");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let failed = |source| StorageError::Open { path: path.clone(), source };
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.clone())
            .await
            .map_err(failed)?;
        migrations::migrator()
            .run(&writer)
            .await
            .map_err(|source| StorageError::Migrate { path: path.clone(), source })?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.pragma("query_only", "ON"))
            .await
            .map_err(failed)?;
        Ok(Self { writer, readers })
    }

    /// Begins a transaction that writes. Dropping it undoes it.
    pub(crate) async fn write(&self) -> Result<Writing, StorageError> {
        let begun = self.writer.begin_with("BEGIN IMMEDIATE").await;
        begun.map_err(failed("begin a write"))
    }

    /// Whether the database answers.
    pub(crate) async fn check(&self) -> Result<(), StorageError> {
        let asked = sqlx::query("SELECT 1").fetch_one(&self.readers).await;
        asked.map(drop).map_err(failed("ask the database"))
    }

    /// Closes every connection, after the statements that run.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// How many rows each table has in each state, and the oldest time among the pending approvals.
    pub(crate) async fn counts(&self) -> Result<Counts, StorageError> {
        let statement = "
            SELECT 'messages' AS what, state, count(*) AS count, 0 AS oldest
                FROM messages GROUP BY state
            UNION ALL
            SELECT 'approvals', state, count(*), min(created_at_ms) FROM approvals GROUP BY state
            UNION ALL
            SELECT 'outbox', state, count(*), 0 FROM outbox GROUP BY state";
        let operation = "count the rows by state";
        let rows = sqlx::query(statement).fetch_all(&self.readers).await;
        let mut counts = Counts::default();
        for row in rows.map_err(failed(operation))? {
            let what: String = row.try_get("what").map_err(failed(operation))?;
            let state: String = row.try_get("state").map_err(failed(operation))?;
            let count: i64 = row.try_get("count").map_err(failed(operation))?;
            if what == "approvals" && state == "pending" {
                counts.oldest_pending_ms = row.try_get("oldest").map_err(failed(operation))?;
            }
            counts.rows.push((what, state, count));
        }
        Ok(counts)
    }
}

/// How many rows there are, by table and state.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Table, state, number of rows; a state without rows is absent.
    pub(crate) rows: Vec<(String, String, i64)>,
    /// When the oldest pending approval was made.
    pub(crate) oldest_pending_ms: Option<i64>,
}

/// Makes what is written durable.
pub(crate) async fn commit(writing: Writing, operation: &'static str) -> Result<(), StorageError> {
    writing.commit().await.map_err(failed(operation))
}

fn failed(operation: &'static str) -> impl Fn(sqlx::Error) -> StorageError {
    move |source| StorageError::Query { operation, source }
}

/// The number that the last inserted row got.
fn last_number(done: &sqlx::sqlite::SqliteQueryResult) -> i64 {
    done.last_insert_rowid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_opens_twice_with_what_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::open(directory.path()).await.unwrap();
        storage.close().await;
        let storage = Storage::open(directory.path()).await.unwrap();
        storage.check().await.unwrap();
        assert!(storage.counts().await.unwrap().rows.is_empty());
    }

    #[tokio::test]
    async fn a_directory_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Storage::open(&file.path().join("data")).await.unwrap_err().to_string();
        assert!(error.contains("can't create the data directory"), "{error}");
        assert!(error.contains("hint: set `DATA_DIR`"), "{error}");
    }
}
