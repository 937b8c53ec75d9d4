//! The record of a drill: a JSON file under `artifacts/drills` that says what was broken on
//! purpose, and how long it took to notice and to recover. Pre-flight reads it; people keep it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use holdpoint_core::id::Environment;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::adapter::files;

/// Where records are, relative to the project's file.
pub const FOLDER: &str = "artifacts/drills";

/// The drill of rolling back.
pub const ROLLBACK: &str = "rollback";

/// Nobody drills so often; what else is in the folder is not looked at.
const RECORDS_MAX: usize = 10_000;

/// A record has some hundred bytes.
const RECORD_BYTES_MAX: u64 = 64 * 1024;

/// How a drill went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillRecord {
    /// What was drilled, as the command names it.
    pub drill: String,
    /// Where.
    pub environment: Environment,
    /// The person who started it.
    pub by: String,
    /// When something was broken.
    pub started_at: Timestamp,
    /// When all was well again, or the drill was given up.
    pub ended_at: Timestamp,
    /// Whether it was noticed and mended in time.
    pub passed: bool,
    /// How long it took to notice, in real milliseconds.
    pub detected_after_ms: u64,
    /// How long it took from there until all was well, in real milliseconds.
    pub recovered_after_ms: u64,
    /// The service that was broken.
    #[serde(default)]
    pub service: String,
    /// What ran, by service: its version, or its image where no version is known.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// What noticed it.
    #[serde(default)]
    pub noticed: Option<String>,
    /// What did not go as it should.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// Writes a record into the project's folder of records; gives its file.
///
/// # Errors
/// When it can't be written.
pub fn write(project_root: &Path, record: &DrillRecord) -> io::Result<PathBuf> {
    let stamp = record.started_at.strftime("%Y%m%dT%H%M%SZ");
    let path = project_root.join(FOLDER).join(format!("{stamp}-{}.json", record.drill));
    let text = serde_json::to_string_pretty(record)?;
    files::replace(&path, format!("{text}\n").as_bytes())?;
    Ok(path)
}

/// Every record of a folder, and what is wrong with the files that are none. A folder that is not
/// there holds none.
pub fn read_all(folder: &Path) -> (Vec<DrillRecord>, Vec<String>) {
    let (mut records, mut problems) = (Vec::new(), Vec::new());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (records, problems),
        Err(error) => return (records, vec![format!("`{FOLDER}` can't be read: {error}")]),
    };
    let files = entries.flatten().map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    for path in files.take(RECORDS_MAX) {
        match read(&path) {
            Ok(record) => records.push(record),
            Err(error) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                problems.push(format!("`{FOLDER}/{name}` is no record of a drill: {error}"));
            }
        }
    }
    problems.sort();
    (records, problems)
}

fn read(path: &Path) -> io::Result<DrillRecord> {
    if fs::metadata(path)?.len() > RECORD_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {RECORD_BYTES_MAX} bytes")));
    }
    serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_other_files_are_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = DrillRecord {
            drill: ROLLBACK.to_owned(),
            environment: Environment::Staging,
            by: "ada".to_owned(),
            started_at: Timestamp::UNIX_EPOCH,
            ended_at: Timestamp::UNIX_EPOCH,
            passed: true,
            detected_after_ms: 1,
            recovered_after_ms: 2,
            service: "web".to_owned(),
            versions: BTreeMap::new(),
            noticed: None,
            problems: Vec::new(),
        };
        let root = tempfile::tempdir().expect("a folder");
        let written = write(root.path(), &record).expect("written");
        assert!(written.ends_with("artifacts/drills/19700101T000000Z-rollback.json"));
        fs::copy(written, folder.path().join("one.json")).expect("copied");
        fs::write(folder.path().join("two.json"), "{\"drill\": 1}").expect("written");
        fs::write(folder.path().join("notes.md"), "it went well").expect("written");
        let (records, problems) = read_all(folder.path());
        assert_eq!(records, [record]);
        assert!(problems.len() == 1 && problems[0].contains("two.json"), "{problems:?}");
        assert_eq!(read_all(&folder.path().join("absent")), (Vec::new(), Vec::new()));
    }
}
