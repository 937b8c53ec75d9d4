//! One problem of a `fly.toml`: where it stands, what is wrong, and the edit that mends it.

use std::fmt;
use std::ops::Range;

/// A file with more problems than this is read no further: the first ones count.
const MAX_PROBLEMS: usize = 50;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// In bytes of the text.
    pub span: Range<usize>,
    pub message: String,
    pub hint: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, span: _, message, hint } = self;
        write!(formatter, "{line}:{column}: {message}\nhint: {hint}")
    }
}

impl std::error::Error for Diagnostic {}

impl Diagnostic {
    pub(super) fn new(text: &str, span: Range<usize>, message: String, hint: String) -> Self {
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |end_of_line| end_of_line + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            span,
            message,
            hint,
        }
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<(Range<usize>, String, String)>);

impl Problems {
    pub(super) fn add(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        if self.0.len() < MAX_PROBLEMS {
            self.0.push((span.clone(), message.into(), hint.into()));
        }
    }

    /// The problems in the order of the text.
    pub(super) fn into_diagnostics(self, text: &str) -> Vec<Diagnostic> {
        let mut diagnostics: Vec<Diagnostic> = self
            .0
            .into_iter()
            .map(|(span, message, hint)| Diagnostic::new(text, span, message, hint))
            .collect();
        diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
        diagnostics
    }
}
