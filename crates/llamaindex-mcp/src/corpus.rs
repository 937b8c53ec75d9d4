//! Reads the folder of Markdown articles: their texts, titles and content hashes.
//!
//! It does not cut them into passages (`chunk`) and does not index them (`index`).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Longer articles are refused: a support article is a few pages, a megabyte is a mistake.
const MAX_ARTICLE_BYTES: u64 = 1_000_000;
/// More files than this are not a support knowledge base, and would not fit the memory budget.
const MAX_ARTICLES: usize = 20_000;
/// Deeper folders are refused; it also ends a walk through a link that points at its own parent.
const MAX_DEPTH: usize = 16;

/// One Markdown file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Article {
    /// Path inside the docs folder, with `/` between its parts.
    pub path: String,
    /// The whole text, as in the file.
    pub text: String,
    /// SHA-256 of the text, in hex.
    pub hash: String,
}

/// All articles, sorted by path, with the hash that names exactly this content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corpus {
    /// Sorted by path.
    pub articles: Vec<Article>,
    /// SHA-256 over paths and article hashes, in hex.
    pub content_hash: String,
}

/// Why the articles could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The folder does not exist.
    #[error(
        "cannot read the articles: there is no folder `{}`\nhint: name the folder with `--docs \
         DIR` or `DOCS_DIR=DIR`",
        .0.display()
    )]
    Missing(PathBuf),
    /// The path is something else than a folder.
    #[error(
        "cannot read the articles: `{}` is not a folder\nhint: `--docs` takes the folder that \
         holds the `.md` files",
        .0.display()
    )]
    NotAFolder(PathBuf),
    /// No Markdown file in the folder.
    #[error(
        "cannot read the articles: `{}` holds no `.md` file\nhint: put at least one Markdown \
         article there, or name another folder with `--docs DIR`",
        .0.display()
    )]
    Empty(PathBuf),
    /// A file or folder could not be read.
    #[error("cannot read `{}`: {cause}\nhint: make it readable for the user who runs the service", .path.display())]
    Read {
        /// What was being read.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file is not text.
    #[error("cannot read the article `{}`: it is not valid UTF-8\nhint: save it as UTF-8, or move it out of the docs folder", .0.display())]
    NotText(PathBuf),
    /// A limit was passed.
    #[error(
        "cannot read the articles: {what}\nhint: split or move what is too large; the limits are {MAX_ARTICLES} articles of {MAX_ARTICLE_BYTES} bytes, {MAX_DEPTH} folders deep"
    )]
    TooLarge {
        /// What passed which limit.
        what: String,
    },
}

/// Reads every `.md` file under `folder`; hidden files and folders are left out.
///
/// # Errors
/// [`CorpusError`] names the file or folder. One bad article fails the whole reading, so that
/// an index never silently lacks one.
pub fn read(folder: &Path) -> Result<Corpus, CorpusError> {
    match fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(CorpusError::NotAFolder(folder.to_owned())),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return Err(CorpusError::Missing(folder.to_owned()));
        }
        Err(cause) => return Err(CorpusError::Read { path: folder.to_owned(), cause }),
    }
    let mut files = BTreeMap::new();
    collect(folder, "", 0, &mut files)?;
    if files.is_empty() {
        return Err(CorpusError::Empty(folder.to_owned()));
    }
    let articles = files
        .into_iter()
        .map(|(path, file)| read_article(path, &file))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Corpus { content_hash: content_hash(&articles), articles })
}

fn collect(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut BTreeMap<String, PathBuf>,
) -> Result<(), CorpusError> {
    if depth > MAX_DEPTH {
        let what = format!("`{}` lies more than {MAX_DEPTH} folders deep", folder.display());
        return Err(CorpusError::TooLarge { what });
    }
    let failed = |path: &Path, cause| CorpusError::Read { path: path.to_owned(), cause };
    for entry in fs::read_dir(folder).map_err(|cause| failed(folder, cause))? {
        let path = entry.map_err(|cause| failed(folder, cause))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let inside = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let metadata = fs::metadata(&path).map_err(|cause| failed(&path, cause))?;
        if metadata.is_dir() {
            collect(&path, &inside, depth + 1, files)?;
        } else if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("md")) {
            if metadata.len() > MAX_ARTICLE_BYTES {
                let what = format!("`{}` has {} bytes", path.display(), metadata.len());
                return Err(CorpusError::TooLarge { what });
            }
            files.insert(inside, path);
            if files.len() > MAX_ARTICLES {
                let what = format!("there are more than {MAX_ARTICLES} articles");
                return Err(CorpusError::TooLarge { what });
            }
        }
    }
    Ok(())
}

fn read_article(path: String, file: &Path) -> Result<Article, CorpusError> {
    let bytes =
        fs::read(file).map_err(|cause| CorpusError::Read { path: file.to_owned(), cause })?;
    let hash = hex::encode(Sha256::digest(&bytes));
    let Ok(text) = String::from_utf8(bytes) else {
        return Err(CorpusError::NotText(file.to_owned()));
    };
    Ok(Article { path, text, hash })
}

fn content_hash(articles: &[Article]) -> String {
    let mut hasher = Sha256::new();
    for article in articles {
        // Lengths first, so that no two different lists give the same bytes.
        hasher.update((article.path.len() as u64).to_le_bytes());
        hasher.update(article.path.as_bytes());
        hasher.update(article.hash.as_bytes());
    }
    hex::encode(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("folder");
        for (path, bytes) in files {
            let file = folder.path().join(path);
            fs::create_dir_all(file.parent().expect("parent")).expect("parent made");
            fs::write(file, bytes).expect("file written");
        }
        folder
    }

    #[test]
    fn articles_come_sorted_and_other_files_are_left_out() {
        let folder = folder_with(&[
            ("b.md", b"# B"),
            ("a/c.md", b"# C"),
            ("notes.txt", b"no"),
            (".git/x.md", b"no"),
        ]);
        let corpus = read(folder.path()).expect("read");
        let paths: Vec<_> = corpus.articles.iter().map(|article| article.path.as_str()).collect();
        assert_eq!(paths, ["a/c.md", "b.md"]);
    }

    #[test]
    fn the_content_hash_changes_with_a_text_and_with_a_name() {
        let hash =
            |files: &[(&str, &[u8])]| read(folder_with(files).path()).expect("read").content_hash;
        let first = hash(&[("a.md", b"# A")]);
        assert_eq!(first, hash(&[("a.md", b"# A")]));
        assert_ne!(first, hash(&[("a.md", b"# B")]));
        assert_ne!(first, hash(&[("b.md", b"# A")]));
    }

    #[test]
    fn each_wrong_folder_is_told_with_a_hint() {
        let empty = folder_with(&[("x.txt", b"")]);
        let binary = folder_with(&[("x.md", &[0xff, 0xfe])]);
        let missing = empty.path().join("missing");
        let file = empty.path().join("x.txt");
        for (path, words) in [
            (missing.as_path(), "there is no folder"),
            (file.as_path(), "is not a folder"),
            (empty.path(), "holds no `.md` file"),
            (binary.path(), "not valid UTF-8"),
        ] {
            let message = read(path).expect_err("refused").to_string();
            assert!(message.contains(words) && message.contains("hint:"), "{message}");
        }
    }

    #[test]
    fn a_link_to_its_own_parent_ends_the_walk() {
        let folder = folder_with(&[("a.md", b"# A")]);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).expect("link");
        assert!(matches!(read(folder.path()), Err(CorpusError::TooLarge { .. })));
    }
}
