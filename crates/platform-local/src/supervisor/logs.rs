//! Keeps the log of a machine from growing without end. A large one is put aside when the machine
//! starts, and the one before it goes. While the machine runs, the disk under the oldest part is
//! given back: the file's length stays, so that neither the program, which goes on appending, nor
//! whoever counts its bytes takes notice, and no line is lost on the way.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use rustix::fs::{FallocateFlags, fallocate};

/// A log larger than this is put aside.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// The unit in which the disk is given back.
const BLOCK_BYTES: u64 = 4096;

/// The unit in which the kernel tells what a file takes on disk.
const SECTOR_BYTES: u64 = 512;

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

/// Gives back the disk under all but the newest part of a log that takes much of it.
pub(crate) fn trim(log: &Path) -> io::Result<()> {
    trim_to(log, LOG_BYTES_MAX)
}

fn trim_to(log: &Path, bytes_max: u64) -> io::Result<()> {
    let metadata = match fs::metadata(log) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    // Seldom, not with every line: only when it takes twice as much as is kept.
    if metadata.blocks() * SECTOR_BYTES <= bytes_max * 2 {
        return Ok(());
    }
    let old = metadata.len().saturating_sub(bytes_max) / BLOCK_BYTES * BLOCK_BYTES;
    if old == 0 {
        return Ok(());
    }
    let file = fs::File::options().write(true).open(log)?;
    fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, old)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::Write as _,
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
        thread,
    };

    use super::*;
    use crate::supervisor::log_reader::{LogPlace, WrittenLine, read_log};

    #[test]
    fn only_a_large_log_is_put_aside() {
        let directory = tempfile::tempdir().expect("directory");
        let log = directory.path().join("machine.log");
        rotate(&log).expect("nothing to do");
        fs::write(&log, "short").expect("written");
        rotate(&log).expect("nothing to do");
        assert!(log.exists());
        let file = File::options().write(true).open(&log).expect("opened");
        file.set_len(LOG_BYTES_MAX + 1).expect("grown");
        rotate(&log).expect("put aside");
        assert!(!log.exists() && directory.path().join("machine.log.1").exists());
    }

    #[test]
    fn the_log_of_a_program_that_goes_on_writing_stays_small_and_no_line_is_lost() {
        const LINES: usize = 20_000;
        const KEPT_BYTES: u64 = 256 << 10;
        // The reader is no further behind than that, in lines of some hundred bytes.
        const BEHIND_MAX: usize = 1000;
        let directory = tempfile::tempdir().expect("directory");
        let log = directory.path().join("machine.log");
        trim(&log).expect("there is none yet");
        // As the supervisor opens it for a program.
        let mut file = File::options().create(true).append(true).open(&log).expect("opened");
        let (mut place, mut seen) = (LogPlace::default(), Vec::new());
        let read = AtomicUsize::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..LINES {
                    while number > read.load(SeqCst) + BEHIND_MAX {
                        thread::yield_now();
                    }
                    writeln!(file, "{number} {}", "x".repeat(90)).expect("written");
                }
            });
            while seen.len() < LINES {
                seen.extend(read_log(&log, &mut place).expect("read"));
                trim_to(&log, KEPT_BYTES).expect("trimmed");
                read.store(seen.len(), SeqCst);
            }
        });
        let metadata = fs::metadata(&log).expect("there");
        let on_disk = metadata.blocks() * SECTOR_BYTES;
        assert!(metadata.len() > 1_900_000 && on_disk <= KEPT_BYTES * 3, "{on_disk} bytes on disk");
        let number =
            |line: &WrittenLine| line.text.split(' ').next().and_then(|it| it.parse().ok());
        let numbers: Vec<Option<usize>> = seen.iter().map(number).collect();
        assert_eq!(numbers, (0..LINES).map(Some).collect::<Vec<_>>(), "each line once, in order");
    }
}
