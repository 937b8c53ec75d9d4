//! Keeps what the platform has accepted: one SQLite file, write-ahead log, synchronous FULL.
//!
//! When a method that writes has returned, the write survives a crash of the platform and of the
//! computer. What the documents mean is not known here.

mod releases;
mod schema;
mod writer;

use std::{path::Path, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{
    Connection as _, Row as _, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::Mutex;

use writer::{Statement, Writer};

/// A store that is busy for so long is on a broken disk.
const BUSY_MAX: Duration = Duration::from_secs(30);

/// Events of a machine that are kept; the API shows at most 50.
pub(crate) const EVENTS_MAX: u32 = 100;

/// Versions of a machine that are kept, so that a machine updated for years stays small.
const VERSIONS_MAX: u32 = 200;

/// Versions of an app's secrets that are kept: enough for every way back that somebody may want.
pub(crate) const SECRETS_VERSIONS_MAX: u32 = 50;

/// Why something could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "cannot {operation} the platform's store: {source}\nhint: check that the disk is not full \
         and that the state directory may be written"
    )]
    Database { operation: &'static str, source: sqlx::Error },
    #[error(
        "the platform's store holds {table} that cannot be read: {source}\nhint: was the state directory made by another version? choose another one"
    )]
    Document { table: &'static str, source: serde_json::Error },
    #[error(
        "the state directory was made by a newer platform (store version {found}, this one knows \
         {known})\nhint: use the newer program, or choose another state directory"
    )]
    Newer { found: i64, known: i64 },
}

/// SQLite's code for a disk, or a store, that is full.
const CODE_FULL: &str = "13";

impl StoreError {
    /// Whether there was no room. What was stored before is still there.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Database { source, .. } => source
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .is_some_and(|code| code == CODE_FULL),
            Self::Document { .. } | Self::Newer { .. } => false,
        }
    }
}

/// The store, opened.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    /// For reading; every write goes through the writer.
    pool: SqlitePool,
    writer: Writer,
    /// Held while a release is read and then written by what was read.
    releases: Arc<Mutex<()>>,
}

/// All that one change of a machine writes, in one transaction.
#[derive(Debug)]
pub(crate) struct MachineWrite<'a, R, E, V> {
    pub(crate) id: &'a str,
    pub(crate) app: &'a str,
    pub(crate) record: &'a R,
    /// New events, oldest first.
    pub(crate) events: &'a [E],
    /// A new version and what it is.
    pub(crate) version: Option<(&'a str, &'a V)>,
}

impl Store {
    /// Opens the store, and makes it if it is not there.
    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_MAX);
        let writing = SqliteConnection::connect_with(&options).await.map_err(database("open"))?;
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(BUSY_MAX)
            .connect_with(options)
            .await
            .map_err(database("open"))?;
        prepare(&pool).await?;
        // One writer: writes are in one order, and a read sees every write that was answered.
        Ok(Self { pool, writer: Writer::new(writing), releases: Arc::default() })
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) async fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar("SELECT value FROM meta WHERE key = ?")
            .bind(key)
            .fetch_optional(&self.pool)
            .await
            .map_err(database("read"))
    }

    pub(crate) async fn set_meta(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let statement = Statement::new(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        );
        self.writer.write(vec![statement.text(key).text(value)]).await
    }

    pub(crate) async fn save_app(
        &self,
        name: &str,
        app: &impl Serialize,
    ) -> Result<(), StoreError> {
        let statement = Statement::new(
            "INSERT INTO apps (name, document) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET document = excluded.document",
        );
        self.writer.write(vec![statement.text(name).text(to_json("apps", app)?)]).await
    }

    /// Saves an app whose secrets changed, and keeps them as they are at `version`.
    pub(crate) async fn save_secrets(
        &self,
        name: &str,
        app: &impl Serialize,
        version: u64,
        secrets: &impl Serialize,
    ) -> Result<(), StoreError> {
        let version = i64::try_from(version).unwrap_or(i64::MAX);
        let changed = Statement::new("UPDATE apps SET document = ? WHERE name = ?")
            .text(to_json("apps", app)?)
            .text(name);
        let kept = Statement::new("INSERT INTO secrets (app, version, document) VALUES (?, ?, ?)")
            .text(name)
            .number(version)
            .text(to_json("secrets", secrets)?);
        let fewer = Statement::new("DELETE FROM secrets WHERE app = ?1 AND version NOT IN (SELECT version FROM secrets WHERE app = ?1 ORDER BY version DESC LIMIT ?2)")
            .text(name)
            .number(i64::from(SECRETS_VERSIONS_MAX));
        self.writer.write(vec![changed, kept, fewer]).await
    }

    /// An app's secrets as they were at a version, if that is kept.
    pub(crate) async fn secrets<T: DeserializeOwned>(
        &self,
        app: &str,
        version: u64,
    ) -> Result<Option<T>, StoreError> {
        let document: Option<String> =
            sqlx::query_scalar("SELECT document FROM secrets WHERE app = ? AND version = ?")
                .bind(app)
                .bind(i64::try_from(version).unwrap_or(i64::MAX))
                .fetch_optional(&self.pool)
                .await
                .map_err(database("read"))?;
        document.map(|document| from_json("secrets", &document)).transpose()
    }

    pub(crate) async fn delete_app(&self, name: &str) -> Result<(), StoreError> {
        let statements = ["DELETE FROM apps WHERE name = ?", "DELETE FROM secrets WHERE app = ?"];
        self.writer.write(statements.map(|sql| Statement::new(sql).text(name)).into()).await
    }

    pub(crate) async fn apps<T: DeserializeOwned>(&self) -> Result<Vec<T>, StoreError> {
        let documents: Vec<String> = sqlx::query_scalar("SELECT document FROM apps ORDER BY name")
            .fetch_all(&self.pool)
            .await
            .map_err(database("read"))?;
        documents.iter().map(|document| from_json("apps", document)).collect()
    }

    pub(crate) async fn save_machine<R: Serialize, E: Serialize, V: Serialize>(
        &self,
        write: &MachineWrite<'_, R, E, V>,
    ) -> Result<(), StoreError> {
        let saved = Statement::new("INSERT INTO machines (id, app, document) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET document = excluded.document")
            .text(write.id)
            .text(write.app)
            .text(to_json("machines", write.record)?);
        let mut statements = vec![saved];
        for event in write.events {
            let kept = Statement::new("INSERT INTO events (machine, document) VALUES (?, ?)");
            statements.push(kept.text(write.id).text(to_json("events", event)?));
        }
        if !write.events.is_empty() {
            statements.push(Statement::new("DELETE FROM events WHERE machine = ?1 AND sequence NOT IN (SELECT sequence FROM events WHERE machine = ?1 ORDER BY sequence DESC LIMIT ?2)")
                .text(write.id)
                .number(i64::from(EVENTS_MAX)));
        }
        if let Some((version, document)) = write.version {
            let kept = "INSERT INTO versions (machine, version, document) VALUES (?, ?, ?)";
            statements.push(
                Statement::new(kept)
                    .text(write.id)
                    .text(version)
                    .text(to_json("versions", document)?),
            );
            statements.push(Statement::new("DELETE FROM versions WHERE machine = ?1 AND sequence NOT IN (SELECT sequence FROM versions WHERE machine = ?1 ORDER BY sequence DESC LIMIT ?2)")
                .text(write.id)
                .number(i64::from(VERSIONS_MAX)));
        }
        self.writer.write(statements).await
    }

    /// Removes all that is known of a machine.
    pub(crate) async fn forget_machine(&self, id: &str) -> Result<(), StoreError> {
        let statements = [
            "DELETE FROM machines WHERE id = ?",
            "DELETE FROM events WHERE machine = ?",
            "DELETE FROM versions WHERE machine = ?",
        ];
        self.writer.write(statements.map(|sql| Statement::new(sql).text(id)).into()).await
    }

    pub(crate) async fn machines<T: DeserializeOwned>(&self) -> Result<Vec<T>, StoreError> {
        let documents: Vec<String> =
            sqlx::query_scalar("SELECT document FROM machines ORDER BY id")
                .fetch_all(&self.pool)
                .await
                .map_err(database("read"))?;
        documents.iter().map(|document| from_json("machines", document)).collect()
    }

    /// The events of a machine, newest first.
    pub(crate) async fn events<T: DeserializeOwned>(
        &self,
        machine: &str,
    ) -> Result<Vec<T>, StoreError> {
        let documents: Vec<String> = sqlx::query_scalar(
            "SELECT document FROM events WHERE machine = ? ORDER BY sequence DESC LIMIT ?",
        )
        .bind(machine)
        .bind(EVENTS_MAX)
        .fetch_all(&self.pool)
        .await
        .map_err(database("read"))?;
        documents.iter().map(|document| from_json("events", document)).collect()
    }

    /// The versions of a machine, newest first.
    pub(crate) async fn versions<T: DeserializeOwned>(
        &self,
        machine: &str,
    ) -> Result<Vec<(String, T)>, StoreError> {
        let rows = sqlx::query(
            "SELECT version, document FROM versions WHERE machine = ? ORDER BY sequence DESC",
        )
        .bind(machine)
        .fetch_all(&self.pool)
        .await
        .map_err(database("read"))?;
        rows.iter()
            .map(|row| {
                let version = row.try_get("version").map_err(database("read"))?;
                let document: String = row.try_get("document").map_err(database("read"))?;
                Ok((version, from_json("versions", &document)?))
            })
            .collect()
    }

    pub(crate) async fn save_volume(
        &self,
        id: &str,
        volume: &impl Serialize,
    ) -> Result<(), StoreError> {
        let statement = Statement::new(
            "INSERT INTO volumes (id, document) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET document = excluded.document",
        );
        self.writer.write(vec![statement.text(id).text(to_json("volumes", volume)?)]).await
    }

    pub(crate) async fn forget_volume(&self, id: &str) -> Result<(), StoreError> {
        self.writer.write(vec![Statement::new("DELETE FROM volumes WHERE id = ?").text(id)]).await
    }

    pub(crate) async fn volumes<T: DeserializeOwned>(&self) -> Result<Vec<T>, StoreError> {
        let documents: Vec<String> = sqlx::query_scalar("SELECT document FROM volumes ORDER BY id")
            .fetch_all(&self.pool)
            .await
            .map_err(database("read"))?;
        documents.iter().map(|document| from_json("volumes", document)).collect()
    }

    pub(crate) async fn set_tag(
        &self,
        repository: &str,
        tag: &str,
        digest: &str,
    ) -> Result<(), StoreError> {
        let statement = Statement::new(
            "INSERT INTO tags (repository, tag, digest) VALUES (?, ?, ?) ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest",
        );
        self.writer.write(vec![statement.text(repository).text(tag).text(digest)]).await
    }

    pub(crate) async fn tag(
        &self,
        repository: &str,
        tag: &str,
    ) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar("SELECT digest FROM tags WHERE repository = ? AND tag = ?")
            .bind(repository)
            .bind(tag)
            .fetch_optional(&self.pool)
            .await
            .map_err(database("read"))
    }
}

/// Makes what is missing of the tables.
async fn prepare(pool: &SqlitePool) -> Result<(), StoreError> {
    let found: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(pool)
        .await
        .map_err(database("read"))?;
    if found > schema::VERSION {
        return Err(StoreError::Newer { found, known: schema::VERSION });
    }
    for statement in schema::STATEMENTS {
        sqlx::query(*statement).execute(pool).await.map_err(database("prepare"))?;
    }
    if found != schema::VERSION {
        sqlx::query("PRAGMA user_version = 1").execute(pool).await.map_err(database("prepare"))?;
    }
    Ok(())
}

fn database(operation: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Database { operation, source }
}

fn to_json(table: &'static str, document: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(document).map_err(|source| StoreError::Document { table, source })
}

fn from_json<T: DeserializeOwned>(table: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Document { table, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_saved_is_there_after_opening_again() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("store.sqlite");
        let store = Store::open(&path).await.expect("opened");
        let write = MachineWrite {
            id: "m1",
            app: "a",
            record: &"first",
            events: &["older", "newer"],
            version: Some(("v1", &"config")),
        };
        store.save_machine(&write).await.expect("saved");
        store.close().await;
        let store = Store::open(&path).await.expect("opened again");
        assert_eq!(store.machines::<String>().await.expect("read"), ["first"]);
        assert_eq!(store.events::<String>("m1").await.expect("read"), ["newer", "older"]);
        let versions = store.versions::<String>("m1").await.expect("read");
        assert_eq!(versions, [("v1".to_owned(), "config".to_owned())]);
    }

    #[tokio::test]
    async fn a_full_disk_refuses_a_write_with_its_cause_and_loses_nothing() {
        let directory = tempfile::tempdir().expect("directory");
        let store = Store::open(&directory.path().join("store.sqlite")).await.expect("opened");
        store.save_app("kept", &"first").await.expect("saved");
        // To the database this is a disk without room.
        let limit = Statement::new("PRAGMA max_page_count = 40");
        store.writer.write(vec![limit]).await.expect("limited");
        let large = "x".repeat(1 << 20);
        let error = store.save_app("large", &large).await.expect_err("there is no room");
        assert!(error.is_full(), "{error}");
        let refusal = crate::error::Refusal::from(error);
        assert_eq!(refusal.status.as_u16(), 507);
        assert!(refusal.message.contains("full"), "{}", refusal.message);
        assert_eq!(store.apps::<String>().await.expect("read"), ["first"]);
        store.save_app("small", &"second").await.expect("what fits is stored");
    }

    #[tokio::test]
    async fn old_events_go_when_there_are_too_many() {
        let directory = tempfile::tempdir().expect("directory");
        let store = Store::open(&directory.path().join("store.sqlite")).await.expect("opened");
        let events: Vec<u32> = (0..EVENTS_MAX + 10).collect();
        let write = MachineWrite::<_, _, ()> {
            id: "m1",
            app: "a",
            record: &"r",
            events: &events,
            version: None,
        };
        store.save_machine(&write).await.expect("saved");
        let kept = store.events::<u32>("m1").await.expect("read");
        assert_eq!(kept.len(), EVENTS_MAX as usize);
        assert_eq!(kept.first(), Some(&(EVENTS_MAX + 9)));
    }

    #[tokio::test]
    async fn writes_of_many_are_all_there_and_one_that_fails_takes_no_other_with_it() {
        let directory = tempfile::tempdir().expect("directory");
        let store = Store::open(&directory.path().join("store.sqlite")).await.expect("opened");
        let ids: Vec<String> = (0..300).map(|number| format!("m{number:03}")).collect();
        let writes = ids.iter().map(|id| {
            let store = store.clone();
            async move {
                let write = MachineWrite::<_, (), ()> {
                    id,
                    app: "a",
                    record: id,
                    events: &[],
                    version: None,
                };
                store.save_machine(&write).await
            }
        });
        let damaged = store.writer.write(vec![Statement::new("INSERT INTO nowhere VALUES (1)")]);
        let (saved, refused) = tokio::join!(futures::future::join_all(writes), damaged);
        assert!(saved.iter().all(Result::is_ok), "{saved:?}");
        assert!(refused.is_err());
        assert_eq!(store.machines::<String>().await.expect("read"), ids);
    }
}
