//! One driver per project: whoever drives it holds a lock on a file in the state directory, and
//! the file says who that is. The system lets go of the lock when its holder dies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The file's name in the state directory.
const FILE: &str = "driver.lock";

/// Who drives a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The person's name.
    pub who: String,
    /// Their process.
    pub process_id: u32,
    /// Since when, in real time.
    pub since: Timestamp,
    /// What they run.
    pub command: String,
}

/// The right to drive a project, for as long as this value lives.
#[derive(Debug)]
pub struct DriverLock {
    file: File,
}

/// Why a project can't be driven.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else drives it.
    #[error(
        "the project is driven already{}\nhint: talk to that driver (`holdpoint status`, `holdpoint halt`), or stop it first",
        described(holder.as_ref())
    )]
    Held {
        /// Who, where the file says it.
        holder: Option<Holder>,
    },
    /// The file can't be made or locked.
    #[error(
        "could not {operation} `{path}`: {source}\nhint: check that the state directory may be written and the disk is not full"
    )]
    File {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl DriverLock {
    /// Takes the lock of the project whose state is kept here.
    pub fn acquire(state_dir: &Path, holder: &Holder) -> Result<Self, LockError> {
        let path = state_dir.join(FILE);
        let failed = |operation: &'static str| {
            let path = path.clone();
            move |source: io::Error| LockError::File { operation, path, source }
        };
        fs::create_dir_all(state_dir).map_err(failed("create the state directory for"))?;
        let mut options = OpenOptions::new();
        // The content is replaced only once the lock is held.
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed("open the driver's lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { holder: self::holder(state_dir) });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        let text = serde_json::to_string(holder).map_err(io::Error::other);
        text.and_then(|text| {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(failed("write the driver's name to"))?;
        Ok(Self { file })
    }
}

impl Drop for DriverLock {
    fn drop(&mut self) {
        if let Err(error) = self.file.set_len(0).and_then(|()| self.file.unlock()) {
            tracing::debug!(%error, "the driver's lock goes with the process");
        }
    }
}

/// Who last took the lock of the project and did not give it back; they may have died since.
pub fn holder(state_dir: &Path) -> Option<Holder> {
    let text = fs::read(state_dir.join(FILE)).ok()?;
    serde_json::from_slice(&text).ok()
}

fn described(holder: Option<&Holder>) -> String {
    holder.map_or_else(String::new, |Holder { who, process_id, since, command }| {
        format!(" by `{who}` with `{command}` (process {process_id}, since {since})")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> Holder {
        Holder {
            who: "ada".to_owned(),
            process_id: 42,
            since: Timestamp::UNIX_EPOCH,
            command: "holdpoint release 1.0.0".to_owned(),
        }
    }

    #[test]
    fn a_second_driver_is_told_who_drives() {
        let directory = tempfile::tempdir().expect("directory");
        let lock = DriverLock::acquire(directory.path(), &ada()).expect("the lock");
        let refused = DriverLock::acquire(directory.path(), &ada()).expect_err("held");
        let text = refused.to_string();
        assert!(text.contains("by `ada` with `holdpoint release 1.0.0` (process 42"), "{text}");
        drop(lock);
        assert_eq!(holder(directory.path()), None);
        drop(DriverLock::acquire(directory.path(), &ada()).expect("free again"));
    }

    #[test]
    fn what_a_dead_driver_left_does_not_lock() {
        let directory = tempfile::tempdir().expect("directory");
        let left = serde_json::to_string(&ada()).expect("text");
        fs::write(directory.path().join(FILE), left).expect("written");
        drop(DriverLock::acquire(directory.path(), &ada()).expect("nobody holds it"));
    }
}
