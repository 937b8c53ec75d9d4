//! The part of a file that Holdpoint writes, between two markers on lines of their own. What
//! people write around it stays as it is, byte for byte.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::files;

/// The line before the section.
pub const BEGIN: &str = "<!-- holdpoint:begin -->";
/// The line after it.
pub const END: &str = "<!-- holdpoint:end -->";

/// The largest file that is changed, in bytes: no person writes a longer document.
const FILE_LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// Why a section was not written.
#[derive(Debug, Error)]
pub enum SectionError {
    /// The markers are not as they must be.
    #[error("`{path}:{line}`: {problem}")]
    Markers {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and the mend.
        problem: MarkerProblem,
    },
    /// The file can't be read or written.
    #[error(
        "could not write the section of `{path}`: {source}\nhint: check that the file is there and may be written"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What is wrong with the markers of a file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MarkerProblem {
    /// One is not there.
    #[error(
        "the line `{marker}` is missing\nhint: write `{BEGIN}` and `{END}` on lines of their own where the section shall stand"
    )]
    Missing {
        /// Which.
        marker: &'static str,
    },
    /// One is there more than once.
    #[error(
        "there is a second `{marker}`, the first is on line {first}\nhint: keep one section, and remove the other's two markers"
    )]
    Doubled {
        /// Which.
        marker: &'static str,
        /// The first one's line.
        first: usize,
    },
    /// The end comes before the beginning.
    #[error("`{END}` stands before `{BEGIN}`\nhint: exchange the two lines")]
    Reversed,
}

/// Writes the text between the markers of a file. A file that is not there is made, where there is
/// a text to stand around the section.
pub fn write(
    path: &Path,
    text: &str,
    around: Option<&(String, String)>,
) -> Result<(), SectionError> {
    let failed = |source| SectionError::File { path: path.to_owned(), source };
    let old = match read(path) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound && around.is_some() => {
            let (before, after) = around.cloned().unwrap_or_default();
            format!("{before}{BEGIN}\n{END}\n{after}")
        }
        Err(error) => return Err(failed(error)),
    };
    let new = replaced(&old, text).map_err(|(line, problem)| SectionError::Markers {
        path: path.to_owned(),
        line,
        problem,
    })?;
    if new == old && path.exists() {
        return Ok(());
    }
    files::replace(path, new.as_bytes()).map_err(failed)
}

fn read(path: &Path) -> io::Result<String> {
    let bytes = fs::metadata(path)?.len();
    if bytes > FILE_LIMIT_BYTES {
        let text = format!("it has {bytes} bytes, and at most {FILE_LIMIT_BYTES} are read");
        return Err(io::Error::other(text));
    }
    fs::read_to_string(path)
}

/// The text with another section; the line of the first problem where its markers are not right.
pub fn replaced(old: &str, section: &str) -> Result<String, (usize, MarkerProblem)> {
    let (mut begin, mut end): (Option<Marker>, Option<Marker>) = (None, None);
    let mut start = 0;
    let mut lines = 0;
    for line in old.split_inclusive('\n') {
        lines += 1;
        let marker = Marker { line: lines, start, after: start + line.len() };
        for (word, place) in [(BEGIN, &mut begin), (END, &mut end)] {
            if line.trim() != word {
                continue;
            }
            match place {
                Some(first) => {
                    let first = first.line;
                    return Err((lines, MarkerProblem::Doubled { marker: word, first }));
                }
                None => *place = Some(marker),
            }
        }
        start += line.len();
    }
    let missing = |marker| (lines.max(1), MarkerProblem::Missing { marker });
    let begin = begin.ok_or_else(|| missing(BEGIN))?;
    let end = end.ok_or_else(|| missing(END))?;
    if end.start < begin.start {
        return Err((end.line, MarkerProblem::Reversed));
    }
    let (before, after) = (old.get(..begin.after), old.get(end.start..));
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    let newline = if before.ends_with("\r\n") { "\r\n" } else { "\n" };
    let lines: String = section.lines().flat_map(|line| [line, newline]).collect();
    Ok(format!("{before}{lines}{after}"))
}

/// A line that is a marker.
#[derive(Clone, Copy, Debug)]
struct Marker {
    line: usize,
    start: usize,
    after: usize,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_persons_text_stays_byte_for_byte_also_with_the_line_ends_of_windows() {
        let old =
            "# Mine\r\n  <!-- holdpoint:begin -->\r\nold\r\n<!-- holdpoint:end -->\t\r\nno end";
        let new = replaced(old, "one\ntwo\n").expect("markers in order");
        let expected = "# Mine\r\n  <!-- holdpoint:begin -->\r\none\r\ntwo\r\n<!-- holdpoint:end -->\t\r\nno end";
        assert_eq!(new, expected);
        assert_eq!(replaced(&new, "one\ntwo").expect("again"), new);
    }

    #[test]
    fn markers_that_are_not_right_are_told_with_their_line() {
        let told = |text: String| match replaced(&text, "") {
            Ok(text) => format!("accepted: {text}"),
            Err((line, problem)) => format!("{line}: {problem}"),
        };
        let texts = [
            String::new(),
            format!("a\n{BEGIN}\nb\n"),
            format!("{END}\n"),
            format!("{BEGIN}\n{END}\n\n{BEGIN}\n"),
            format!("{BEGIN}\n{END}\n{END}\n"),
            format!("a\n{END}\n{BEGIN}\n"),
            format!("a {BEGIN}\n{END}\n"),
        ];
        insta::assert_snapshot!(texts.map(told).join("\n\n"));
    }

    #[test]
    fn a_file_is_made_once_and_what_people_write_into_it_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("INC-1/report.md");
        let around = ("# INC-1\n\n".to_owned(), "\n## Cause\n\nto be filled in\n".to_owned());
        write(&path, "open", Some(&around)).expect("made");
        let text = fs::read_to_string(&path).expect("read").replace("to be filled in", "the moon");
        fs::write(&path, &text).expect("written");
        write(&path, "closed", Some(&around)).expect("changed");
        let expected = format!("# INC-1\n\n{BEGIN}\nclosed\n{END}\n\n## Cause\n\nthe moon\n");
        assert_eq!(fs::read_to_string(&path).expect("read"), expected);
        let error = write(&folder.path().join("none.md"), "text", None).expect_err("not there");
        assert!(error.to_string().contains("none.md"), "{error}");
    }

    proptest! {
        #[test]
        fn nothing_outside_the_markers_ever_changes(
            before in "[a-z\r\n<!-]{0,40}", after in "[a-z\r\n<!-]{0,40}", text in "[a-z\n]{0,40}",
        ) {
            let old = format!("{before}\n{BEGIN}\nold\n{END}\n{after}");
            let new = replaced(&old, &text).expect("markers in order");
            let (start, end) = (format!("{before}\n{BEGIN}\n"), format!("{END}\n{after}"));
            prop_assert!(new.starts_with(&start) && new.ends_with(&end));
        }
    }
}
