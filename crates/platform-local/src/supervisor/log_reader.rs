//! Reads what a machine's program has written to its log since the last look, across a rotation
//! of the file. It never reads more than a little at once, however much there is.

use std::{
    fs::{File, Metadata},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use jiff::Timestamp;

/// What is read at the first look at a file that is there already: its newest lines.
const FIRST_BYTES: u64 = 64 << 10;

/// What is read in one look; a program that writes faster loses lines here, not in its file.
const LOOK_BYTES_MAX: u64 = 512 << 10;

/// A line without an end that is longer than this is taken as it is.
const LINE_BYTES_MAX: usize = 16 << 10;

/// How far a log has been read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LogPlace {
    /// The file, whatever its name is by now; 0 before the first look.
    inode: u64,
    offset: u64,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WrittenLine {
    /// When it was written at the latest: when the file last was, as the look began. For the last
    /// line of a look that is exact, for those before it as exact as looks are frequent.
    pub(crate) at: Option<Timestamp>,
    pub(crate) text: String,
}

/// The lines that are complete and were not read before. A log that is not there has none.
pub(crate) fn read_log(log: &Path, place: &mut LogPlace) -> io::Result<Vec<WrittenLine>> {
    let mut lines = Vec::new();
    let Some((file, metadata)) = open(log)? else {
        return Ok(lines);
    };
    if place.inode == 0 {
        *place =
            LogPlace { inode: metadata.ino(), offset: metadata.len().saturating_sub(FIRST_BYTES) };
        let starts_inside = place.offset > 0;
        read_on(file, &metadata, place, &mut lines, starts_inside)?;
        return Ok(lines);
    }
    if place.inode != metadata.ino() {
        if let Some((old, of_old)) = open(&log.with_extension("log.1"))?
            && of_old.ino() == place.inode
        {
            read_on(old, &of_old, place, &mut lines, false)?;
        }
        *place = LogPlace { inode: metadata.ino(), offset: 0 };
    } else if metadata.len() < place.offset {
        // Emptied by hand.
        place.offset = 0;
    }
    read_on(file, &metadata, place, &mut lines, false)?;
    Ok(lines)
}

fn open(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    match File::open(path) {
        Ok(file) => {
            let metadata = file.metadata()?;
            Ok(Some((file, metadata)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_on(
    mut file: File,
    metadata: &Metadata,
    place: &mut LogPlace,
    lines: &mut Vec<WrittenLine>,
    mut starts_inside: bool,
) -> io::Result<()> {
    if metadata.len() <= place.offset {
        return Ok(());
    }
    let behind = metadata.len() - place.offset;
    if behind > LOOK_BYTES_MAX {
        place.offset = metadata.len() - LOOK_BYTES_MAX;
        starts_inside = true;
    }
    file.seek(SeekFrom::Start(place.offset))?;
    let mut bytes = Vec::new();
    file.take(LOOK_BYTES_MAX).read_to_end(&mut bytes)?;
    let at = metadata.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (line, taken) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => rest.split_at(end + 1),
            None if rest.len() > LINE_BYTES_MAX => rest.split_at(rest.len()),
            None => break,
        };
        place.offset += line.len() as u64;
        rest = taken;
        if std::mem::take(&mut starts_inside) {
            // The rest of a line whose beginning was left out.
            continue;
        }
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches(['\n', '\r']).to_owned();
        lines.push(WrittenLine { at, text });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, path::PathBuf};

    use super::*;

    fn append(log: &Path, text: &str) {
        let mut file = File::options().create(true).append(true).open(log).expect("opened");
        file.write_all(text.as_bytes()).expect("written");
    }

    fn read(log: &Path, place: &mut LogPlace) -> Vec<String> {
        let lines = read_log(log, place).expect("read");
        lines.into_iter().map(|line| line.text).collect()
    }

    fn log() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("machine.log");
        (directory, log)
    }

    #[test]
    fn each_line_is_read_once_and_only_when_it_is_complete() {
        let (_directory, log) = log();
        let mut place = LogPlace::default();
        assert!(read(&log, &mut place).is_empty(), "there is no file yet");
        append(&log, "one\ntw");
        assert_eq!(read(&log, &mut place), ["one"]);
        append(&log, "o\r\nthree\n");
        assert_eq!(read(&log, &mut place), ["two", "three"]);
        assert!(read(&log, &mut place).is_empty());
    }

    #[test]
    fn a_line_has_the_time_at_which_it_was_written_and_not_that_of_the_look() {
        let (_directory, log) = log();
        append(&log, "one\n");
        let written = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_hours(24);
        let file = File::options().write(true).open(&log).expect("opened");
        file.set_modified(written).expect("aged");
        let lines = read_log(&log, &mut LogPlace::default()).expect("read");
        let at = lines.first().and_then(|line| line.at).expect("a time");
        assert_eq!(at, Timestamp::from_second(86_400).expect("a time"));
    }

    #[test]
    fn a_rotation_between_two_looks_loses_nothing() {
        let (_directory, log) = log();
        let mut place = LogPlace::default();
        append(&log, "one\n");
        assert_eq!(read(&log, &mut place), ["one"]);
        append(&log, "two\n");
        fs::rename(&log, log.with_extension("log.1")).expect("rotated");
        append(&log, "three\n");
        assert_eq!(read(&log, &mut place), ["two", "three"]);
    }

    #[test]
    fn of_a_large_file_only_the_newest_whole_lines_are_read() {
        let (_directory, log) = log();
        for number in 0..20_000 {
            append(&log, &format!("line number {number}\n"));
        }
        let mut place = LogPlace::default();
        let lines = read(&log, &mut place);
        assert_eq!(lines.last().map(String::as_str), Some("line number 19999"));
        assert!(lines.len() < 5_000 && lines.iter().all(|line| line.starts_with("line number ")));
    }

    #[test]
    fn a_line_without_an_end_is_given_out_when_it_is_long() {
        let (_directory, log) = log();
        let mut place = LogPlace::default();
        append(&log, &"x".repeat(LINE_BYTES_MAX + 1));
        assert_eq!(read(&log, &mut place).len(), 1);
        append(&log, "\u{fffd}\n");
        assert_eq!(read(&log, &mut place), ["\u{fffd}"]);
    }
}
