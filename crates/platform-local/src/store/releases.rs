//! Keeps the releases of each app: the newest ones, each with its number, which is never given
//! twice. They belong to the app's id and not to its name, which another app may get later.

use serde::{Serialize, de::DeserializeOwned};
use sqlx::Row as _;

use super::{Store, StoreError, database, from_json, to_json, writer::Statement};

/// Releases of an app that are kept: a year of daily ones is looked at by nobody.
const RELEASES_MAX: u32 = 200;

impl Store {
    /// Saves the next release of an app, which `make` makes from its number.
    pub(crate) async fn add_release<R: Serialize>(
        &self,
        app_id: &str,
        id: &str,
        make: impl FnOnce(u64) -> R + Send,
    ) -> Result<R, StoreError> {
        let _turn = self.releases.lock().await;
        let newest: Option<i64> =
            sqlx::query_scalar("SELECT max(version) FROM releases WHERE app = ?")
                .bind(app_id)
                .fetch_one(&self.pool)
                .await
                .map_err(database("read"))?;
        let version = newest.unwrap_or(0) + 1;
        let release = make(u64::try_from(version).unwrap_or(u64::MAX));
        let added = "INSERT INTO releases (app, version, id, document) VALUES (?, ?, ?, ?)";
        let added = Statement::new(added)
            .text(app_id)
            .number(version)
            .text(id)
            .text(to_json("releases", &release)?);
        let fewer = Statement::new("DELETE FROM releases WHERE app = ? AND version <= ?")
            .text(app_id)
            .number(version - i64::from(RELEASES_MAX));
        self.writer.write(vec![added, fewer]).await?;
        Ok(release)
    }

    /// Changes a release; gives it as it is then, if there is one of this id.
    pub(crate) async fn change_release<R: Serialize + DeserializeOwned + Send>(
        &self,
        id: &str,
        change: impl FnOnce(&mut R) + Send,
    ) -> Result<Option<R>, StoreError> {
        let _turn = self.releases.lock().await;
        let document: Option<String> =
            sqlx::query_scalar("SELECT document FROM releases WHERE id = ?")
                .bind(id)
                .fetch_optional(&self.pool)
                .await
                .map_err(database("read"))?;
        let Some(document) = document else {
            return Ok(None);
        };
        let mut release = from_json("releases", &document)?;
        change(&mut release);
        let changed = Statement::new("UPDATE releases SET document = ? WHERE id = ?")
            .text(to_json("releases", &release)?)
            .text(id);
        self.writer.write(vec![changed]).await?;
        Ok(Some(release))
    }

    /// The newest releases of an app, newest first.
    pub(crate) async fn releases<R: DeserializeOwned>(
        &self,
        app_id: &str,
        count_max: u32,
    ) -> Result<Vec<R>, StoreError> {
        let documents: Vec<String> = sqlx::query_scalar(
            "SELECT document FROM releases WHERE app = ? ORDER BY version DESC LIMIT ?",
        )
        .bind(app_id)
        .bind(count_max)
        .fetch_all(&self.pool)
        .await
        .map_err(database("read"))?;
        documents.iter().map(|document| from_json("releases", document)).collect()
    }

    /// The newest release of each app that has one, by the app's id.
    pub(crate) async fn newest_releases<R: DeserializeOwned>(
        &self,
    ) -> Result<Vec<(String, R)>, StoreError> {
        let rows = sqlx::query(
            "SELECT app, document FROM releases AS one WHERE version = \
             (SELECT max(version) FROM releases WHERE app = one.app) ORDER BY app",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(database("read"))?;
        rows.iter()
            .map(|row| {
                let app = row.try_get("app").map_err(database("read"))?;
                let document: String = row.try_get("document").map_err(database("read"))?;
                Ok((app, from_json("releases", &document)?))
            })
            .collect()
    }

    pub(crate) async fn forget_releases(&self, app_id: &str) -> Result<(), StoreError> {
        let gone = Statement::new("DELETE FROM releases WHERE app = ?").text(app_id);
        self.writer.write(vec![gone]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn numbers_go_on_after_opening_again_and_old_releases_go() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("store.sqlite");
        let store = Store::open(&path).await.expect("opened");
        for number in 0..RELEASES_MAX {
            let id = format!("r{number}");
            store.add_release("a", &id, |version| version).await.expect("added");
        }
        assert_eq!(store.add_release("b", "other", |version| version).await.expect("added"), 1);
        store.close().await;
        let store = Store::open(&path).await.expect("opened again");
        let next = u64::from(RELEASES_MAX) + 1;
        assert_eq!(store.add_release("a", "next", |version| version).await.expect("added"), next);
        let all: Vec<u64> = store.releases("a", 1_000).await.expect("read");
        assert_eq!((all.len(), all.first()), (RELEASES_MAX as usize, Some(&next)));
        let newest: Vec<(String, u64)> = store.newest_releases().await.expect("read");
        assert_eq!(newest, [("a".to_owned(), next), ("b".to_owned(), 1)]);
        let changed = store.change_release("next", |release: &mut u64| *release = 7).await;
        assert_eq!(changed.expect("changed"), Some(7));
        let absent = store.change_release("absent", |_: &mut u64| {}).await;
        assert_eq!(absent.expect("looked"), None);
    }

    #[tokio::test]
    async fn releases_that_are_noted_at_once_have_numbers_of_their_own() {
        let directory = tempfile::tempdir().expect("directory");
        let store = Store::open(&directory.path().join("store.sqlite")).await.expect("opened");
        let ids: Vec<String> = (0..50).map(|number| format!("r{number}")).collect();
        let added = ids.iter().map(|id| store.add_release("a", id, |version| version));
        let mut numbers: Vec<u64> = futures::future::join_all(added)
            .await
            .into_iter()
            .map(|it| it.expect("added"))
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
    }
}
