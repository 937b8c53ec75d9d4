//! Decides which index is served, and swaps in a newer one.
//!
//! Readers take the current index and keep it for as long as they need; a refresh replaces it for
//! those who come later. A refresh that fails changes nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::clock::Stopwatch;
use crate::corpus::{self, Corpus, CorpusError};
use crate::index::{self, Index, IndexError, Manifest};

/// The index that is being served.
#[derive(Debug)]
pub struct Library {
    docs_folder: PathBuf,
    index_folder: PathBuf,
    current: RwLock<Arc<Index>>,
    /// Held while refreshing: two at once would do the same work twice.
    refreshing: Mutex<()>,
}

/// What a refresh found and did.
#[derive(Debug, Clone, PartialEq)]
pub struct Refresh {
    /// Paths that were not in the index before.
    pub added: Vec<String>,
    /// Paths whose content has changed.
    pub changed: Vec<String>,
    /// Paths that are gone.
    pub removed: Vec<String>,
    /// What is served now.
    pub manifest: Manifest,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
}

/// Why the articles cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// They could not be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// They could not be indexed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl Library {
    /// Reads the articles; opens their index when it is kept already, makes it when not.
    ///
    /// # Errors
    /// When the articles cannot be read. An index folder that cannot be written is told in the
    /// log, and the index then lives in memory.
    pub fn open(docs_folder: PathBuf, index_folder: PathBuf) -> Result<Self, LibraryError> {
        let stopwatch = Stopwatch::start();
        let corpus = corpus::read(&docs_folder)?;
        let kept = Index::open(&index_folder, &corpus.content_hash);
        let opened = kept.is_some();
        let index = match kept {
            Some(index) => index,
            None => build(&index_folder, &corpus)?,
        };
        tracing::info!(
            articles = index.manifest().articles.len(),
            passages = index.manifest().passages,
            content_hash = index.manifest().content_hash,
            took_ms = stopwatch.elapsed_ms(),
            source = if opened { "kept" } else { "built" },
            "index is ready"
        );
        let current = RwLock::new(Arc::new(index));
        Ok(Self { docs_folder, index_folder, current, refreshing: Mutex::new(()) })
    }

    /// The index to answer with.
    pub fn current(&self) -> Arc<Index> {
        // Nothing panics while holding this lock, and an `Arc` is never half written.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the articles anew, and serves their index when it differs. Blocks its thread.
    ///
    /// # Errors
    /// When the articles cannot be read or indexed; the old index goes on serving.
    pub fn refresh(&self) -> Result<Refresh, LibraryError> {
        let _one_at_a_time = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let stopwatch = Stopwatch::start();
        let corpus = corpus::read(&self.docs_folder)?;
        let before = self.current();
        if corpus.content_hash != before.manifest().content_hash {
            let index = match Index::open(&self.index_folder, &corpus.content_hash) {
                Some(index) => index,
                None => build(&self.index_folder, &corpus)?,
            };
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(index);
        }
        let after = self.current();
        Ok(compare(before.manifest(), after.manifest(), stopwatch.elapsed_ms()))
    }
}

fn build(index_folder: &std::path::Path, corpus: &Corpus) -> Result<Index, IndexError> {
    match Index::build(index_folder, corpus) {
        Ok(index) => {
            if let Err(cause) = index::remove_leftovers(index_folder, &corpus.content_hash) {
                tracing::warn!(%cause, "old indexes could not be removed");
            }
            Ok(index)
        }
        Err(cause) => {
            tracing::warn!(%cause, "index cannot be kept, it will live in memory");
            Index::build_in_memory(corpus)
        }
    }
}

fn compare(before: &Manifest, after: &Manifest, took_ms: f64) -> Refresh {
    let mut added = Vec::new();
    let mut changed = Vec::new();
    for (path, hash) in &after.articles {
        match before.articles.get(path) {
            None => added.push(path.clone()),
            Some(old) if old != hash => changed.push(path.clone()),
            Some(_) => {}
        }
    }
    let removed = before
        .articles
        .keys()
        .filter(|path| !after.articles.contains_key(*path))
        .cloned()
        .collect();
    Refresh { added, changed, removed, manifest: after.clone(), took_ms }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn library(folder: &Path) -> Library {
        fs::create_dir_all(folder.join("docs")).expect("made");
        fs::write(folder.join("docs/a.md"), "# A\n\nOld words.").expect("written");
        fs::write(folder.join("docs/b.md"), "# B\n\nOther words.").expect("written");
        Library::open(folder.join("docs"), folder.join("index")).expect("opened")
    }

    #[test]
    fn a_refresh_tells_what_changed_and_readers_keep_what_they_hold() {
        let folder = tempfile::tempdir().expect("folder");
        let library = library(folder.path());
        let held = library.current();
        fs::write(folder.path().join("docs/a.md"), "# A\n\nNew words.").expect("written");
        fs::write(folder.path().join("docs/c.md"), "# C\n\nMore words.").expect("written");
        fs::remove_file(folder.path().join("docs/b.md")).expect("removed");
        let refresh = library.refresh().expect("refreshed");
        assert_eq!(refresh.added, ["c.md"]);
        assert_eq!(refresh.changed, ["a.md"]);
        assert_eq!(refresh.removed, ["b.md"]);
        assert_ne!(held.manifest().content_hash, library.current().manifest().content_hash);
        let old = crate::search::search(&held, "other words", 5).expect("the old index answers");
        assert!(!old.passages.is_empty());
    }

    #[test]
    fn a_refresh_of_the_same_articles_changes_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let library = library(folder.path());
        let before = library.current();
        let refresh = library.refresh().expect("refreshed");
        assert!(refresh.added.is_empty() && refresh.changed.is_empty());
        assert!(Arc::ptr_eq(&before, &library.current()));
    }

    #[test]
    fn a_failed_refresh_leaves_the_old_index_serving() {
        let folder = tempfile::tempdir().expect("folder");
        let library = library(folder.path());
        let before = library.current();
        fs::write(folder.path().join("docs/a.md"), [0xff]).expect("written");
        library.refresh().expect_err("refused");
        assert!(Arc::ptr_eq(&before, &library.current()));
    }

    #[test]
    fn an_index_folder_that_cannot_be_made_is_survived_in_memory() {
        let folder = tempfile::tempdir().expect("folder");
        library(folder.path());
        fs::write(folder.path().join("file"), "").expect("written");
        let library = Library::open(folder.path().join("docs"), folder.path().join("file/index"))
            .expect("opened");
        assert_eq!(library.current().manifest().passages, 2);
    }
}
