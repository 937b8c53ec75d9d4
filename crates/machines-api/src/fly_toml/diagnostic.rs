//! One problem of a `fly.toml`: where it stands, what is wrong, and the edit that mends it. How
//! the edit is made is the business of `repair`.

use std::fmt;
use std::ops::Range;

use super::repair::Repair;

/// A file with more problems of one severity than this is judged no further: the first ones count.
const MAX_PROBLEMS: usize = 50;

/// Whether Fly's client would go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is taken, but means something else than it seems to.
    Warning,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// In bytes of the text.
    pub span: Range<usize>,
    pub message: String,
    pub hint: String,
    pub(super) repair: Option<Repair>,
}

impl Diagnostic {
    /// Whether [`super::fix`] knows the one edit that mends it.
    pub const fn is_fixable(&self) -> bool {
        self.repair.is_some()
    }

    pub(super) fn new(text: &str, problem: Problem) -> Self {
        let Problem { severity, span, message, hint, repair } = problem;
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |end_of_line| end_of_line + 1);
        Self {
            severity,
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            span,
            message,
            hint,
            repair,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, line, column, span: _, message, hint, repair: _ } = self;
        let word = match severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        write!(formatter, "{line}:{column}: {word}{message}\nhint: {hint}")
    }
}

impl std::error::Error for Diagnostic {}

/// A problem whose place is not yet counted in lines.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) severity: Severity,
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) hint: String,
    pub(super) repair: Option<Repair>,
}

impl Problem {
    pub(super) fn error(
        span: &Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let (message, hint) = (message.into(), hint.into());
        Self { severity: Severity::Error, span: span.clone(), message, hint, repair: None }
    }

    pub(super) fn warning(
        span: &Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message, hint) }
    }

    pub(super) fn mended_by(self, repair: impl Into<Option<Repair>>) -> Self {
        Self { repair: repair.into(), ..self }
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(Problem::error(span, message, hint));
    }

    pub(super) fn push(&mut self, problem: Problem) {
        if self.has_room(problem.severity) {
            self.0.push(problem);
        }
    }

    /// Whether one more of this severity is told. They are counted apart, so that many warnings
    /// never hide an error.
    pub(super) fn has_room(&self, severity: Severity) -> bool {
        self.0.iter().filter(|known| known.severity == severity).count() < MAX_PROBLEMS
    }

    /// The problems in the order of the text.
    pub(super) fn into_diagnostics(self, text: &str) -> Vec<Diagnostic> {
        let mut diagnostics: Vec<Diagnostic> =
            self.0.into_iter().map(|problem| Diagnostic::new(text, problem)).collect();
        diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
        diagnostics
    }
}
