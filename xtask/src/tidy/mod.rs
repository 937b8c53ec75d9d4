//! The rules of this repository that no other tool knows. It reports; it mends nothing.

mod arrows;
mod markdown;
mod source;

use std::fmt;
use std::fs;

use crate::failure::Failure;
use crate::process::{Invocation, repository_root};

/// One broken rule, at the place where it is broken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    file: String,
    /// Counted from 1.
    line: usize,
    what: String,
    why: &'static str,
    mend: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, what, why, mend } = self;
        write!(formatter, "{file}:{line}: {what}, {why}\n  hint: {mend}")
    }
}

/// A file of the repository with its path from the root.
struct TextFile {
    path: String,
    text: String,
}

/// Prints every finding, then fails if there was any.
#[expect(clippy::print_stdout, reason = "the findings are the result of this verb")]
pub(crate) fn run() -> Result<(), Failure> {
    let findings = findings()?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        format!("{} rules of this repository are broken", findings.len()),
        "mend the lines above, then run `cargo xtask tidy`",
    ))
}

/// Whether any example in the documentation is code that runs as a test.
pub(crate) fn documentation_has_tests() -> Result<bool, Failure> {
    Ok(text_files()?.iter().any(|file| source::has_documentation_test(&file.path, &file.text)))
}

fn findings() -> Result<Vec<Finding>, Failure> {
    let mut findings = arrows::findings()?;
    for file in text_files()? {
        findings.extend(source::findings(&file.path, &file.text));
        findings.extend(markdown::findings(&file.path, &file.text));
    }
    Ok(findings)
}

/// Every file that git knows or would take, except those that are not text.
fn text_files() -> Result<Vec<TextFile>, Failure> {
    let question = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listing = Invocation::new("git", &question).output()?;
    let root = repository_root();
    let paths = listing.split('\0').filter(|path| !path.is_empty());
    Ok(paths
        .filter_map(|path| {
            let text = fs::read_to_string(root.join(path)).ok()?;
            Some(TextFile { path: path.to_owned(), text })
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let findings = findings().unwrap();
        let text = findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(findings.is_empty(), "{text}");
    }

    #[test]
    fn a_finding_says_where_what_why_and_how_to_mend_it() {
        let finding = Finding {
            file: "a.rs".to_owned(),
            line: 3,
            what: "too long".to_owned(),
            why: "nobody reads it",
            mend: "cut it",
        };
        assert_eq!(finding.to_string(), "a.rs:3: too long, nobody reads it\n  hint: cut it");
    }
}
