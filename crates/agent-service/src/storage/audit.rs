//! The rows of the audit trail.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Storage, StorageError, failed};
use crate::audit::{Entry, NewEntry};
use crate::clock;

/// Adds an entry.
pub(crate) async fn record(
    connection: &mut SqliteConnection,
    entry: &NewEntry<'_>,
) -> Result<(), StorageError> {
    let statement = "
        INSERT INTO audit (approval_id, at_ms, actor, action, version, details)
        VALUES (?, ?, ?, ?, ?, ?)";
    let done = sqlx::query(statement)
        .bind(entry.approval_id)
        .bind(entry.at_ms)
        .bind(entry.actor)
        .bind(entry.action.name())
        .bind(entry.version)
        .bind(entry.details.to_string())
        .execute(connection)
        .await;
    done.map(drop).map_err(failed("write the audit trail"))
}

/// The last thing that a person or a customer did to an approval.
pub(crate) async fn last_decision(
    connection: &mut SqliteConnection,
    approval_id: &str,
) -> Result<Option<Entry>, StorageError> {
    let statement = "
        SELECT * FROM audit WHERE approval_id = ?
            AND action IN ('edited', 'approved', 'rejected', 'superseded')
        ORDER BY number DESC LIMIT 1";
    let operation = "read who decided";
    let row = sqlx::query(statement).bind(approval_id).fetch_optional(connection).await;
    let row = row.map_err(failed(operation))?;
    row.as_ref().map(entry).transpose().map_err(failed(operation))
}

impl Storage {
    /// Everything that was done to an approval, oldest first.
    pub(crate) async fn audit_of(&self, approval_id: &str) -> Result<Vec<Entry>, StorageError> {
        let statement = "SELECT * FROM audit WHERE approval_id = ? ORDER BY number";
        let operation = "read the audit trail";
        let rows = sqlx::query(statement).bind(approval_id).fetch_all(&self.readers).await;
        let rows = rows.map_err(failed(operation))?;
        rows.iter().map(entry).collect::<Result<_, _>>().map_err(failed(operation))
    }
}

fn entry(row: &SqliteRow) -> Result<Entry, sqlx::Error> {
    let details: String = row.try_get("details")?;
    Ok(Entry {
        number: row.try_get("number")?,
        at: clock::rfc3339(row.try_get("at_ms")?),
        actor: row.try_get("actor")?,
        action: row.try_get("action")?,
        version: row.try_get("version")?,
        details: serde_json::from_str(&details).unwrap_or(serde_json::Value::String(details)),
    })
}
