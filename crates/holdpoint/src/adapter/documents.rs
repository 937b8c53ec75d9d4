//! Appends to the reliability log. It writes what it is given, once; what the lines say is the
//! core's decision.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// How far back from the end lines are looked for: hundreds of releases, in bytes.
const SEARCHED_BYTES: u64 = 1024 * 1024;

/// Why lines could not be appended.
#[derive(Debug, Error)]
#[error(
    "could not append to the reliability log `{path}`: {source}\nhint: check that the file may be written and the disk is not full"
)]
pub struct DocumentError {
    /// The log.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// Appends the lines to the file in one write, and makes the file if it is missing. Lines that
/// stand there already, one after the other, are not written again: a block begins with its
/// time, so it is the same only when it is the same entry.
pub fn append(path: &Path, lines: &[String]) -> Result<(), DocumentError> {
    append_block(path, lines).map_err(|source| DocumentError { path: path.to_owned(), source })
}

fn append_block(path: &Path, lines: &[String]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let tail = read_tail(&mut file)?;
    let block = lines.join("\n");
    if format!("\n{tail}\n").contains(&format!("\n{block}\n")) {
        return Ok(());
    }
    let before = if tail.is_empty() || tail.ends_with('\n') { "" } else { "\n" };
    file.write_all(format!("{before}{block}\n").as_bytes())?;
    file.sync_all()
}

fn read_tail(file: &mut File) -> io::Result<String> {
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(SEARCHED_BYTES)))?;
    let mut tail = Vec::new();
    file.take(SEARCHED_BYTES).read_to_end(&mut tail)?;
    Ok(String::from_utf8_lossy(&tail).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn an_entry_is_written_once_however_often_it_is_asked_for() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("feedback/reliability.md");
        let first = lines(&["[2026-11-24T16:00:00Z] COMPLETE", "Health: PASSING"]);
        let second = lines(&["[2026-11-25T16:00:00Z] COMPLETE", "Health: PASSING"]);
        for block in [&first, &first, &second, &first, &second] {
            append(&path, block).expect("appended");
        }
        let text = fs::read_to_string(&path).expect("read");
        let expected = [first, second].concat().join("\n") + "\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_last_line_without_an_end_is_not_continued() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("log.md");
        fs::write(&path, "# Log").expect("written");
        append(&path, &lines(&["entry"])).expect("appended");
        assert_eq!(fs::read_to_string(&path).expect("read"), "# Log\nentry\n");
    }

    #[test]
    fn a_log_that_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().expect("directory");
        let error = append(directory.path(), &lines(&["entry"])).expect_err("a directory");
        assert!(error.to_string().contains("hint: "), "{error}");
    }
}
