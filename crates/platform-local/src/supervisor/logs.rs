//! Keeps the log file of a machine from growing without end: a large one is put aside when the
//! machine starts, and the one before it goes.

use std::{fs, io, path::Path};

/// A log larger than this is put aside.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// Puts the log aside if it is large.
pub(crate) fn rotate(log: &Path) -> io::Result<()> {
    match fs::metadata(log) {
        Ok(metadata) if metadata.len() > LOG_BYTES_MAX => {
            fs::rename(log, log.with_extension("log.1"))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_large_log_is_put_aside() {
        let directory = tempfile::tempdir().expect("directory");
        let log = directory.path().join("machine.log");
        rotate(&log).expect("nothing to do");
        fs::write(&log, "short").expect("written");
        rotate(&log).expect("nothing to do");
        assert!(log.exists());
        let file = fs::File::options().write(true).open(&log).expect("opened");
        file.set_len(LOG_BYTES_MAX + 1).expect("grown");
        rotate(&log).expect("put aside");
        assert!(!log.exists() && directory.path().join("machine.log.1").exists());
    }
}
