//! The releases that clients say they make: who deploys first notes a release here, then changes
//! the machines, then notes how it ended. The fleet keeps the notes and does nothing by them.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AppRecord, Fleet};
use crate::{clock, error::Refusal, identity};

/// A strategy's name is longer than this in nobody's client.
const STRATEGY_BYTES_MAX: usize = 40;

/// Where a release is, in the words that Fly's client writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReleaseStatus {
    Pending,
    Running,
    Complete,
    Failed,
    Interrupted,
}

impl ReleaseStatus {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A release.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReleaseRecord {
    pub(crate) id: String,
    /// Counts the releases of the app, from 1.
    pub(crate) version: u64,
    pub(crate) status: ReleaseStatus,
    pub(crate) strategy: String,
    pub(crate) user: String,
    pub(crate) image_ref: String,
    /// The whole `fly.toml` as the client read it, as JSON.
    pub(crate) definition: Value,
    pub(crate) created_at: Timestamp,
    /// Whatever the client notes about how it ended.
    #[serde(default)]
    pub(crate) metadata: Value,
}

impl ReleaseRecord {
    pub(crate) fn is_stable(&self) -> bool {
        self.status == ReleaseStatus::Complete
    }

    pub(crate) fn is_in_progress(&self) -> bool {
        matches!(self.status, ReleaseStatus::Pending | ReleaseStatus::Running)
    }
}

/// What a client says of a release that it begins.
#[derive(Debug, Default)]
pub(crate) struct NewRelease {
    pub(crate) strategy: String,
    pub(crate) image_ref: String,
    pub(crate) definition: Value,
    pub(crate) user: String,
}

impl Fleet {
    pub(crate) async fn add_release(
        &self,
        app: &str,
        release: NewRelease,
    ) -> Result<ReleaseRecord, Refusal> {
        let NewRelease { strategy, image_ref, definition, user } = release;
        if strategy.len() > STRATEGY_BYTES_MAX {
            return Err(Refusal::unprocessable(format!("there is no strategy `{strategy}`")));
        }
        let strategy =
            if strategy.is_empty() { "ROLLING".to_owned() } else { strategy.to_ascii_uppercase() };
        // An app must not vanish between the look and the note.
        let _turn = self.membership.lock().await;
        let app = self.app(app)?;
        let id = identity::version().to_ascii_lowercase();
        let make = |version| ReleaseRecord {
            id: id.clone(),
            version,
            status: ReleaseStatus::Pending,
            strategy,
            user,
            image_ref,
            definition,
            created_at: clock::now(),
            metadata: Value::Null,
        };
        Ok(self.context.store.add_release(&app.id, &id, make).await?)
    }

    /// Notes where a release is now.
    pub(crate) async fn update_release(
        &self,
        id: &str,
        status: &str,
        metadata: Value,
    ) -> Result<ReleaseRecord, Refusal> {
        let status: ReleaseStatus =
            serde_json::from_value(Value::from(status)).map_err(|_unknown| {
                Refusal::unprocessable(format!(
                    "a release cannot be `{status}`\nhint: it is pending, running, complete, \
                     failed or interrupted"
                ))
            })?;
        let change = |release: &mut ReleaseRecord| {
            release.status = status;
            if !metadata.is_null() {
                release.metadata = metadata;
            }
        };
        let changed = self.context.store.change_release(id, change).await?;
        changed.ok_or_else(|| {
            Refusal::new(StatusCode::NOT_FOUND, format!("there is no release `{id}`"))
        })
    }

    /// The newest releases of an app, newest first.
    pub(crate) async fn releases(
        &self,
        app: &AppRecord,
        count_max: u32,
    ) -> Result<Vec<ReleaseRecord>, Refusal> {
        Ok(self.context.store.releases(&app.id, count_max).await?)
    }

    pub(crate) async fn newest_release(
        &self,
        app: &AppRecord,
    ) -> Result<Option<ReleaseRecord>, Refusal> {
        Ok(self.releases(app, 1).await?.pop())
    }

    /// The newest release of each app, by the app's name.
    pub(crate) async fn newest_releases(&self) -> Result<Vec<(String, ReleaseRecord)>, Refusal> {
        let apps = self.apps();
        let found: Vec<(String, ReleaseRecord)> = self.context.store.newest_releases().await?;
        let named = found.into_iter().filter_map(|(id, release)| {
            let app = apps.iter().find(|app| app.id == id)?;
            Some((app.name.clone(), release))
        });
        Ok(named.collect())
    }

    /// The app's status in Fly's words. An app that was released and has no machine now is
    /// `suspended`: Fly's client takes one that is `pending` for one that never ran.
    pub(crate) async fn app_status(&self, app: &AppRecord) -> Result<&'static str, Refusal> {
        if !self.machines_of(&app.name).is_empty() {
            return Ok("deployed");
        }
        let released = self.newest_release(app).await?.is_some();
        Ok(if released { "suspended" } else { "pending" })
    }
}
