//! Makes, keeps and opens the searchable form of a corpus.
//!
//! An index is immutable and lives in a folder named by the content it holds, made under another
//! name and then renamed: a folder with the right name is always whole. Which index is served is
//! decided by `library`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tantivy::schema::{
    Field, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions, Value,
};
use tantivy::{DocAddress, ReloadPolicy, Searcher, TantivyDocument, TantivyError};

use crate::analysis;
use crate::chunk;
use crate::clock;
use crate::corpus::Corpus;

/// Changes whenever the schema, the analysis or the cutting does, so that a newer binary does
/// not open an index that an older one made.
const FORMAT: u32 = 1;
/// What the writer may buffer; tantivy asks for at least 15 MB per thread.
const WRITER_BYTES: usize = 20_000_000;
const MANIFEST: &str = "manifest.json";
const BUILDING: &str = ".building-";

/// A searchable corpus, open for reading.
pub struct Index {
    searcher: Searcher,
    fields: Fields,
    manifest: Manifest,
}

/// What an index holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// Hash of the corpus, as in [`Corpus::content_hash`].
    pub content_hash: String,
    /// Content hash of each article by its path.
    pub articles: BTreeMap<String, String>,
    /// How many passages are indexed.
    pub passages: u64,
    /// When it was made.
    pub built_at: Timestamp,
}

/// A passage as the index keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPassage {
    /// Title of its article.
    pub title: String,
    /// Path of its article inside the docs folder.
    pub path: String,
    /// The headings above it.
    pub heading: String,
    /// First character in the article.
    pub start: u64,
    /// One past the last character in the article.
    pub end: u64,
    /// The text of that range.
    pub text: String,
}

/// The three fields that are searched, and the stored ones.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    /// Title of the article, indexed with each of its passages.
    pub title: Field,
    /// Headings above the passage.
    pub heading: Field,
    /// The passage itself.
    pub text: Field,
    path: Field,
    start: Field,
    end: Field,
}

/// Why an index could not be made or kept.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The folder did not take it.
    #[error("cannot keep the index in `{}`: {cause}\nhint: name a writable folder with `--index DIR` or `INDEX_DIR=DIR`", .folder.display())]
    Folder {
        /// Where it was to be kept.
        folder: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The search library refused.
    #[error("cannot index the articles: {0}")]
    Engine(#[from] TantivyError),
}

impl Index {
    /// Opens the index of this very content under `index_folder`; none when there is none.
    ///
    /// A damaged one (checksum, count, unreadable manifest) counts as none, and is told in the log.
    pub fn open(index_folder: &Path, content_hash: &str) -> Option<Self> {
        let folder = index_folder.join(folder_name(content_hash));
        if !folder.is_dir() {
            return None;
        }
        match Self::open_folder(&folder, content_hash) {
            Ok(index) => Some(index),
            Err(damage) => {
                tracing::warn!(folder = %folder.display(), %damage, "index is damaged, it will be built anew");
                None
            }
        }
    }

    /// Makes the index of `corpus` under `index_folder`, replacing a damaged one.
    ///
    /// # Errors
    /// [`IndexError::Folder`] when the folder cannot be written.
    pub fn build(index_folder: &Path, corpus: &Corpus) -> Result<Self, IndexError> {
        let failed = |cause| IndexError::Folder { folder: index_folder.to_owned(), cause };
        let building = index_folder.join(format!("{BUILDING}{}", ulid::Ulid::generate()));
        fs::create_dir_all(&building).map_err(failed)?;
        let manifest = write(&tantivy::Index::create_in_dir(&building, schema().0)?, corpus)?;
        write_manifest(&building, &manifest).map_err(failed)?;
        let folder = index_folder.join(folder_name(&corpus.content_hash));
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(failed)?;
        }
        fs::rename(&building, &folder).map_err(failed)?;
        Self::open_folder(&folder, &corpus.content_hash)
            .map_err(|damage| failed(io::Error::other(damage)))
    }

    /// Makes the index in memory, for a service whose index folder cannot be written.
    ///
    /// # Errors
    /// [`IndexError::Engine`].
    pub fn build_in_memory(corpus: &Corpus) -> Result<Self, IndexError> {
        let index = tantivy::Index::create_in_ram(schema().0);
        let manifest = write(&index, corpus)?;
        Ok(Self::reading(&index, manifest)?)
    }

    /// What it holds.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// For searching it.
    pub fn searcher(&self) -> &Searcher {
        &self.searcher
    }

    /// The fields to search in.
    pub fn fields(&self) -> Fields {
        self.fields
    }

    /// Fetches a passage that a search has found.
    ///
    /// # Errors
    /// When the file under the index cannot be read any more.
    pub fn passage(&self, address: DocAddress) -> Result<StoredPassage, TantivyError> {
        let document: TantivyDocument = self.searcher.doc(address)?;
        let text = |field| {
            let value = document.get_first(field).and_then(|value| value.as_str());
            value.unwrap_or_default().to_owned()
        };
        let number =
            |field| document.get_first(field).and_then(|value| value.as_u64()).unwrap_or_default();
        Ok(StoredPassage {
            title: text(self.fields.title),
            path: text(self.fields.path),
            heading: text(self.fields.heading),
            start: number(self.fields.start),
            end: number(self.fields.end),
            text: text(self.fields.text),
        })
    }

    fn open_folder(folder: &Path, content_hash: &str) -> Result<Self, String> {
        let bytes = fs::read(folder.join(MANIFEST)).map_err(|cause| cause.to_string())?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|cause| cause.to_string())?;
        if manifest.format != FORMAT || manifest.content_hash != content_hash {
            return Err("its manifest names other content".to_owned());
        }
        let index = tantivy::Index::open_in_dir(folder).map_err(|cause| cause.to_string())?;
        let broken = index.validate_checksum().map_err(|cause| cause.to_string())?;
        if let Some(file) = broken.iter().next() {
            return Err(format!("the checksum of `{}` is wrong", file.display()));
        }
        let expected = manifest.passages;
        let index = Self::reading(&index, manifest).map_err(|cause| cause.to_string())?;
        let found = index.searcher.num_docs();
        if found != expected {
            return Err(format!("it holds {found} passages, not {expected}"));
        }
        Ok(index)
    }

    fn reading(index: &tantivy::Index, manifest: Manifest) -> Result<Self, TantivyError> {
        index.tokenizers().register(analysis::ANALYZER, analysis::analyzer());
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { searcher: reader.searcher(), fields: schema().1, manifest })
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Index").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

/// Removes what earlier builds left under `index_folder`: indexes of other content, and builds
/// that were killed. Files of any other name are not touched.
///
/// # Errors
/// When the folder cannot be listed or a leftover cannot be removed.
pub fn remove_leftovers(index_folder: &Path, keep_content_hash: &str) -> io::Result<()> {
    let keep = folder_name(keep_content_hash);
    for entry in fs::read_dir(index_folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != keep && (name.starts_with(BUILDING) || is_index_folder(&name)) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn folder_name(content_hash: &str) -> String {
    let short = content_hash.get(..16).unwrap_or(content_hash);
    format!("index-v{FORMAT}-{short}")
}

fn is_index_folder(name: &str) -> bool {
    name.strip_prefix("index-v").and_then(|rest| rest.split_once('-')).is_some_and(
        |(format, hash)| {
            format.bytes().all(|byte| byte.is_ascii_digit())
                && hash.len() == 16
                && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        },
    )
}

fn schema() -> (Schema, Fields) {
    let searched = TextOptions::default().set_stored().set_indexing_options(
        TextFieldIndexing::default()
            .set_tokenizer(analysis::ANALYZER)
            .set_index_option(IndexRecordOption::WithFreqs),
    );
    let mut builder = Schema::builder();
    let fields = Fields {
        title: builder.add_text_field("title", searched.clone()),
        heading: builder.add_text_field("heading", searched.clone()),
        text: builder.add_text_field("text", searched),
        path: builder.add_text_field("path", STORED),
        start: builder.add_u64_field("start", STORED),
        end: builder.add_u64_field("end", STORED),
    };
    (builder.build(), fields)
}

fn write(index: &tantivy::Index, corpus: &Corpus) -> Result<Manifest, TantivyError> {
    index.tokenizers().register(analysis::ANALYZER, analysis::analyzer());
    let (_, fields) = schema();
    // One thread makes one segment in the order of the corpus: equal content, equal scores.
    let mut writer = index.writer_with_num_threads(1, WRITER_BYTES)?;
    let mut passages = 0;
    for article in &corpus.articles {
        let outline = chunk::outline(&article.path, &article.text);
        for passage in outline.passages {
            let mut document = TantivyDocument::default();
            document.add_text(fields.title, &outline.title);
            document.add_text(fields.heading, &passage.heading);
            document.add_text(fields.text, &passage.text);
            document.add_text(fields.path, &article.path);
            document.add_u64(fields.start, passage.range.start as u64);
            document.add_u64(fields.end, passage.range.end as u64);
            writer.add_document(document)?;
            passages += 1;
        }
    }
    writer.commit()?;
    writer.wait_merging_threads()?;
    let articles = corpus
        .articles
        .iter()
        .map(|article| (article.path.clone(), article.hash.clone()))
        .collect();
    let content_hash = corpus.content_hash.clone();
    Ok(Manifest { format: FORMAT, content_hash, articles, passages, built_at: clock::now() })
}

fn write_manifest(folder: &Path, manifest: &Manifest) -> io::Result<()> {
    let mut file = fs::File::create(folder.join(MANIFEST))?;
    file.write_all(&serde_json::to_vec_pretty(manifest)?)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Article;

    fn corpus(text: &str) -> Corpus {
        let article = |path: &str, text: &str| Article {
            path: path.to_owned(),
            text: text.to_owned(),
            hash: format!("hash of {text}"),
        };
        let articles = vec![article("a.md", text), article("b.md", "# B\n\nOther text.")];
        let content_hash = format!("{:0>64x}", text.len());
        Corpus { articles, content_hash }
    }

    #[test]
    fn a_kept_index_is_opened_again_and_only_for_its_own_content() {
        let folder = tempfile::tempdir().expect("folder");
        let corpus = corpus("# A\n\nSome text.");
        let built = Index::build(folder.path(), &corpus).expect("built");
        let opened = Index::open(folder.path(), &corpus.content_hash).expect("opened");
        assert_eq!(opened.manifest(), built.manifest());
        assert_eq!(opened.manifest().passages, 2);
        assert!(Index::open(folder.path(), &"f".repeat(64)).is_none());
    }

    #[test]
    fn a_damaged_index_counts_as_none_and_is_replaced() {
        let folder = tempfile::tempdir().expect("folder");
        let corpus = corpus("# A\n\nSome text.");
        Index::build(folder.path(), &corpus).expect("built");
        let inside = folder.path().join(folder_name(&corpus.content_hash));
        for entry in fs::read_dir(&inside).expect("listed") {
            let path = entry.expect("entry").path();
            if path.extension().is_some_and(|ending| ending == "store") {
                let mut bytes = fs::read(&path).expect("read");
                bytes[3] ^= 0xff;
                fs::write(&path, bytes).expect("written");
            }
        }
        assert!(Index::open(folder.path(), &corpus.content_hash).is_none());
        Index::build(folder.path(), &corpus).expect("built anew");
        assert!(Index::open(folder.path(), &corpus.content_hash).is_some());
    }

    #[test]
    fn leftovers_go_and_foreign_files_stay() {
        let folder = tempfile::tempdir().expect("folder");
        let (first, second) = (corpus("# A\n\nOld."), corpus("# A\n\nNewer text."));
        Index::build(folder.path(), &first).expect("built");
        Index::build(folder.path(), &second).expect("built");
        fs::create_dir(folder.path().join(format!("{BUILDING}killed"))).expect("made");
        fs::create_dir(folder.path().join("photos")).expect("made");
        remove_leftovers(folder.path(), &second.content_hash).expect("removed");
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .expect("listed")
            .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, [folder_name(&second.content_hash), "photos".to_owned()]);
    }
}
