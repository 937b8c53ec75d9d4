//! The journal in one SQLite file. A record that [`Journal::append`] has accepted is on the disk.
//! It checks that no record is missing; what records mean, and their hashes, are the core's.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdpoint_core::journal::Record;
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use thiserror::Error;

/// The file's name in the state directory.
pub const FILE: &str = "journal.sqlite";

/// The version of the tables. Changing them raises it.
const TABLES_VERSION: i64 = 1;

/// A reader never holds the file for longer than it takes to read it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The stored journal of one project.
#[derive(Clone, Debug)]
pub struct Journal {
    pool: SqlitePool,
    path: PathBuf,
}

/// Why the journal could not be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The state directory can't be made.
    #[error(
        "could not create the state directory `{path}`: {source}\nhint: choose another with `--state-dir`"
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The disk took or gave nothing.
    #[error("could not {operation} the journal `{path}`: {message}\nhint: {hint}")]
    Storage {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        message: String,
        /// How to mend it.
        hint: &'static str,
    },
    /// The tables were made by a newer version.
    #[error(
        "the journal `{path}` has format {found}; this version reads format {TABLES_VERSION}\nhint: use the version of holdpoint that wrote it, or a newer one"
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// A record does not follow the last one.
    #[error(
        "record {seq} does not follow the last record of the journal `{path}`\nhint: another driver may have written to it; run `holdpoint journal verify`, then `holdpoint resume`"
    )]
    Gap {
        /// The record's number.
        seq: u64,
        /// The file.
        path: PathBuf,
    },
    /// A row holds what no record can hold.
    #[error(
        "record {seq} of the journal `{path}` is damaged: {message}\nhint: put back a copy of the state directory"
    )]
    Damaged {
        /// Its number.
        seq: i64,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

impl Journal {
    /// Opens the journal of this state directory for writing; makes both if they are not there.
    pub async fn open(state_dir: &Path) -> Result<Self, JournalError> {
        if let Err(source) = tokio::fs::create_dir_all(state_dir).await {
            return Err(JournalError::Directory { path: state_dir.to_owned(), source });
        }
        let path = state_dir.join(FILE);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode only FULL makes a commit wait for the disk.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let journal = Self::connect(options, path).await?;
        journal.prepare_tables().await?;
        Ok(journal)
    }

    /// Opens the journal of this state directory for reading, beside a driver that writes.
    /// `None` where there is none yet.
    pub async fn open_read_only(state_dir: &Path) -> Result<Option<Self>, JournalError> {
        let path = state_dir.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let options =
            SqliteConnectOptions::new().filename(&path).read_only(true).busy_timeout(BUSY_TIMEOUT);
        let journal = Self::connect(options, path).await?;
        let tables = "SELECT count(*) FROM sqlite_master WHERE name IN ('format', 'record')";
        let tables: i64 = sqlx::query_scalar(tables)
            .fetch_one(&journal.pool)
            .await
            .map_err(journal.failed("read"))?;
        if tables < 2 {
            return Ok(None);
        }
        journal.check_format().await?;
        Ok(Some(journal))
    }

    /// Adds a record. When this returns, it is on the disk.
    pub async fn append(&self, record: &Record) -> Result<(), JournalError> {
        let gap = || JournalError::Gap { seq: record.seq, path: self.path.clone() };
        let seq = i64::try_from(record.seq).map_err(|_too_large| gap())?;
        // One statement, so that no other writer can come between looking and writing.
        let result = sqlx::query(
            "INSERT INTO record (seq, at, previous, body, hash) SELECT ?1, ?2, ?3, ?4, ?5 \
             WHERE (SELECT coalesce(max(seq), 0) FROM record) = ?1 - 1",
        )
        .bind(seq)
        .bind(record.at.to_string())
        .bind(&record.previous)
        .bind(&record.body)
        .bind(&record.hash)
        .execute(&self.pool)
        .await
        .map_err(self.failed("write to"))?;
        if result.rows_affected() == 1 { Ok(()) } else { Err(gap()) }
    }

    /// All records, in order.
    pub async fn read_all(&self) -> Result<Vec<Record>, JournalError> {
        self.read_after(0).await
    }

    /// The records after the one with this number, in order.
    pub async fn read_after(&self, seq: u64) -> Result<Vec<Record>, JournalError> {
        let rows = sqlx::query(
            "SELECT seq, at, previous, body, hash FROM record WHERE seq > ?1 ORDER BY seq",
        )
        .bind(i64::try_from(seq).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await
        .map_err(self.failed("read"))?;
        rows.iter().map(|row| self.record(row)).collect()
    }

    /// Closes the file, so that everything is in it and nothing beside it.
    pub async fn close(self) {
        self.pool.close().await;
    }

    async fn connect(options: SqliteConnectOptions, path: PathBuf) -> Result<Self, JournalError> {
        // One connection: the journal has one writer, and readers have their own process.
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
        let pool = pool.map_err(|error| storage_error("open", &path, &error))?;
        Ok(Self { pool, path })
    }

    async fn prepare_tables(&self) -> Result<(), JournalError> {
        for statement in [
            "CREATE TABLE IF NOT EXISTS format (version INTEGER NOT NULL)",
            "CREATE TABLE IF NOT EXISTS record (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, \
             previous TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL UNIQUE)",
        ] {
            let done = sqlx::query(statement).execute(&self.pool).await;
            done.map_err(self.failed("prepare"))?;
        }
        sqlx::query("INSERT INTO format SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM format)")
            .bind(TABLES_VERSION)
            .execute(&self.pool)
            .await
            .map_err(self.failed("prepare"))?;
        self.check_format().await
    }

    async fn check_format(&self) -> Result<(), JournalError> {
        let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM format")
            .fetch_one(&self.pool)
            .await
            .map_err(self.failed("read"))?;
        match found {
            Some(found) if found > TABLES_VERSION => {
                Err(JournalError::NewerFormat { path: self.path.clone(), found })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn record(&self, row: &SqliteRow) -> Result<Record, JournalError> {
        let seq: i64 = row.try_get(0).map_err(self.failed("read"))?;
        let text = |column: usize| row.try_get::<String, _>(column);
        let damaged = |message: String| {
            let path = self.path.clone();
            JournalError::Damaged { seq, path, message }
        };
        let at: Timestamp = text(1)
            .map_err(self.failed("read"))?
            .parse()
            .map_err(|error: jiff::Error| damaged(error.to_string()))?;
        Ok(Record {
            seq: u64::try_from(seq).map_err(|error| damaged(error.to_string()))?,
            at,
            previous: text(2).map_err(self.failed("read"))?,
            body: text(3).map_err(self.failed("read"))?,
            hash: text(4).map_err(self.failed("read"))?,
        })
    }

    fn failed(&self, operation: &'static str) -> impl Fn(sqlx::Error) -> JournalError + '_ {
        move |error| storage_error(operation, &self.path, &error)
    }
}

fn storage_error(operation: &'static str, path: &Path, error: &sqlx::Error) -> JournalError {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    // SQLite's extended result codes carry the primary one in their low byte.
    let hint = match code.map(|code| code & 0xff) {
        Some(3 | 8 | 14) => {
            "make the state directory writable, or choose another with `--state-dir`"
        }
        Some(13) => "free space on the disk, then run `holdpoint resume`: nothing is lost",
        Some(11 | 26) => "the file is damaged: put back a copy of the state directory",
        Some(5 | 6) => "another process holds the file: stop it, then repeat",
        Some(_) | None => "check the disk, then run `holdpoint resume`",
    };
    JournalError::Storage { operation, path: path.to_owned(), message: error.to_string(), hint }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::journal::GENESIS;

    use super::*;

    fn records(count: u64) -> Vec<Record> {
        let mut records: Vec<Record> = Vec::new();
        for seq in 0..count {
            let previous = records.last().map_or(GENESIS, |record| record.hash.as_str());
            let at = Timestamp::new(1_700_000_000, 123_456_789).expect("a time");
            records.push(Record::following(seq, previous, at, Vec::new()));
        }
        records
    }

    #[tokio::test]
    async fn what_was_appended_is_read_by_the_next_process() {
        let directory = tempfile::tempdir().expect("directory");
        let written = records(3);
        let journal = Journal::open(directory.path()).await.expect("opened");
        for record in &written {
            journal.append(record).await.expect("appended");
        }
        // A reader beside the writer sees the same.
        let reader = Journal::open_read_only(directory.path()).await.expect("opened");
        assert_eq!(reader.expect("there").read_all().await.expect("read"), written);
        journal.close().await;
        let journal = Journal::open(directory.path()).await.expect("opened again");
        assert_eq!(journal.read_all().await.expect("read"), written);
        assert_eq!(journal.read_after(2).await.expect("read"), written[2..]);
    }

    #[tokio::test]
    async fn a_gap_and_a_second_record_of_one_number_are_refused() {
        let directory = tempfile::tempdir().expect("directory");
        let journal = Journal::open(directory.path()).await.expect("opened");
        let records = records(3);
        journal.append(&records[0]).await.expect("appended");
        for wrong in [&records[2], &records[0]] {
            let refused = journal.append(wrong).await.expect_err("refused");
            assert!(matches!(refused, JournalError::Gap { .. }), "{refused}");
        }
    }

    #[tokio::test]
    async fn no_journal_is_not_an_error_for_a_reader() {
        let directory = tempfile::tempdir().expect("directory");
        assert!(Journal::open_read_only(directory.path()).await.expect("asked").is_none());
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_written_is_told_with_its_mend() {
        let directory = tempfile::tempdir().expect("directory");
        let file = directory.path().join("file");
        std::fs::write(&file, "not a directory").expect("written");
        let error = Journal::open(&file.join("state")).await.expect_err("refused").to_string();
        assert!(error.contains("hint: choose another with `--state-dir`"), "{error}");
    }

    #[tokio::test]
    async fn a_journal_of_a_newer_version_is_not_touched() {
        let directory = tempfile::tempdir().expect("directory");
        let journal = Journal::open(directory.path()).await.expect("opened");
        sqlx::query("UPDATE format SET version = 99").execute(&journal.pool).await.expect("set");
        journal.close().await;
        let refused = Journal::open(directory.path()).await.expect_err("refused");
        assert!(matches!(refused, JournalError::NewerFormat { found: 99, .. }), "{refused}");
    }

    #[tokio::test]
    async fn a_file_that_is_no_journal_is_told() {
        let directory = tempfile::tempdir().expect("directory");
        std::fs::write(directory.path().join(FILE), "x".repeat(5000)).expect("written");
        let error = Journal::open(directory.path()).await.expect_err("refused").to_string();
        assert!(error.contains("hint: the file is damaged"), "{error}");
    }

    #[tokio::test]
    async fn a_full_disk_and_a_read_only_one_lose_no_record_and_tell_their_mend() {
        let directory = tempfile::tempdir().expect("directory");
        let journal = Journal::open(directory.path()).await.expect("opened");
        let records = records(2);
        journal.append(&records[0]).await.expect("appended");
        for (make, undo, hint) in [
            ("PRAGMA query_only = 1", "PRAGMA query_only = 0", "make the state directory writable"),
            ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 100000", "free space"),
        ] {
            sqlx::query(make).execute(&journal.pool).await.expect("set");
            let mut large = records[1].clone();
            large.body = "x".repeat(1024 * 1024);
            let error = journal.append(&large).await.expect_err("refused").to_string();
            assert!(error.contains(&format!("hint: {hint}")), "{error}");
            sqlx::query(undo).execute(&journal.pool).await.expect("set");
        }
        assert_eq!(journal.read_all().await.expect("read"), records[..1]);
        journal.append(&records[1]).await.expect("appended after all");
    }
}
