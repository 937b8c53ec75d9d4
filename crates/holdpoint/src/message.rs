//! What a person is told when a verb can't do what was asked: the error, its causes, and the
//! hints that mend it, in one shape for all verbs. It also owns writing to the two standard
//! streams: data goes to stdout, all else to stderr.

use std::error::Error;
use std::io::{self, Write};

use holdpoint_core::command::Rejection;

use crate::exit_code::ExitCode;

/// The most causes that are shown. A longer chain says the same thing again.
const CAUSES_MAX: usize = 8;

/// The beginning of a line that says how to mend something; errors may carry such lines in their
/// text, and they are printed apart from it.
const HINT: &str = "hint: ";

/// Why a verb could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The status that the process ends with.
    pub exit: ExitCode,
    /// What was refused or failed, in one sentence.
    pub error: String,
    /// Why, the nearest cause first.
    pub causes: Vec<String>,
    /// The places in files that it is about, drawn.
    pub excerpts: String,
    /// What mends it: commands or edits.
    pub hints: Vec<String>,
}

impl Problem {
    /// A problem without causes and hints.
    pub fn new(exit: ExitCode, error: impl Into<String>) -> Self {
        let mut problem = Self {
            exit,
            error: String::new(),
            causes: Vec::new(),
            excerpts: String::new(),
            hints: Vec::new(),
        };
        problem.error = problem.take_hints(&error.into());
        problem
    }

    /// The problem that an error means, under a sentence that says what could not be done.
    pub fn because(
        exit: ExitCode,
        error: impl Into<String>,
        cause: &(dyn Error + 'static),
    ) -> Self {
        let mut problem = Self::new(exit, error);
        problem.add_causes(cause);
        problem
    }

    /// The same problem with one more cause.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        let cause = self.take_hints(&cause.into());
        self.causes.push(cause);
        self
    }

    /// The same problem with one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same problem with excerpts of files.
    #[must_use]
    pub fn excerpts(mut self, excerpts: String) -> Self {
        self.excerpts = excerpts;
        self
    }

    /// The same problem with another exit status.
    #[must_use]
    pub fn exit(mut self, exit: ExitCode) -> Self {
        self.exit = exit;
        self
    }

    /// The text for people, ending in a line break.
    pub fn text(&self) -> String {
        let mut lines = vec![format!("error: {}", indented(&self.error, "  "))];
        let causes = self.causes.iter();
        lines.extend(causes.map(|cause| format!("  cause: {}", indented(cause, "    "))));
        if !self.excerpts.is_empty() {
            lines.extend([String::new(), self.excerpts.trim_end().to_owned()]);
        }
        if !self.hints.is_empty() {
            lines.push(String::new());
        }
        let hints = self.hints.iter();
        lines.extend(hints.map(|hint| format!("{HINT}{}", indented(hint, "  "))));
        lines.push(String::new());
        lines.join("\n")
    }

    fn add_causes(&mut self, error: &(dyn Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = self.take_hints(&error.to_string());
            // many errors repeat their source's text in their own
            let told = self.causes.last().unwrap_or(&self.error).contains(&text);
            if !told && self.causes.len() < CAUSES_MAX {
                self.causes.push(text);
            }
            next = error.source();
        }
    }

    /// Moves the hint lines of a text to the hints and returns the rest.
    fn take_hints(&mut self, text: &str) -> String {
        let mut rest = Vec::new();
        for line in text.trim_end().lines() {
            match line.trim_start().strip_prefix(HINT) {
                Some(hint) if !self.hints.iter().any(|known| known == hint) => {
                    self.hints.push(hint.to_owned());
                }
                Some(_) => {}
                None => rest.push(line),
            }
        }
        rest.join("\n").trim_end().to_owned()
    }
}

/// An error that reaches the command line is unexpected until somebody says otherwise.
impl<E: Error + 'static> From<E> for Problem {
    fn from(error: E) -> Self {
        let mut problem = Self::new(ExitCode::Unexpected, error.to_string());
        if let Some(source) = error.source() {
            problem.add_causes(source);
        }
        problem
    }
}

/// What the engine's refusal of a command means on the command line.
pub fn refused(action: impl Into<String>, rejection: &Rejection) -> Problem {
    Problem::new(ExitCode::Refused, action).cause(rejection.to_string()).hint(rejection.hint())
}

/// Writes data for people or programs to stdout. A reader that has gone away is nothing to tell
/// anybody about: there is nobody left to read it.
pub fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    drop(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
}

/// Writes a word beside the data to stderr.
pub fn tell(text: &str) {
    let mut stderr = io::stderr().lock();
    drop(stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()));
}

fn indented(text: &str, indent: &str) -> String {
    text.lines().collect::<Vec<_>>().join(&format!("\n{indent}"))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to append record 812 to `journal.db`\nhint: free some space")]
    struct Outer {
        #[source]
        source: io::Error,
    }

    #[test]
    fn a_problem_names_the_error_the_causes_and_then_what_mends_it() {
        let outer = Outer { source: io::Error::other("no space left on device") };
        let problem = Problem::because(ExitCode::Unexpected, "cannot go on with release-3", &outer)
            .hint("then `holdpoint resume`");
        insta::assert_snapshot!(problem.text(), @r"
        error: cannot go on with release-3
          cause: failed to append record 812 to `journal.db`
          cause: no space left on device

        hint: free some space
        hint: then `holdpoint resume`
        ");
    }

    #[test]
    fn a_refusal_says_what_would_be_accepted() {
        let problem = refused("cannot halt", &Rejection::NoRelease);
        insta::assert_snapshot!(problem.text(), @r"
        error: cannot halt
          cause: no release is under way

        hint: start one with `holdpoint release VERSION`
        ");
        assert_eq!(problem.exit, ExitCode::Refused);
    }

    #[test]
    fn a_cause_that_repeats_the_error_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read `a.toml`: {0}")]
        struct Repeating(#[source] io::Error);
        let problem = Problem::from(Repeating(io::Error::other("not there")));
        assert!(problem.causes.is_empty(), "{problem:?}");
    }
}
