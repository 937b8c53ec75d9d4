//! The problems of one text as they are found, whatever finds them. It knows
//! places and words, and neither TOML nor any key.

use std::cell::{Cell, RefCell};
use std::ops::Range;

use super::diagnostic::{Diagnostic, Severity};

/// How many findings are told, the first ones; a text with more is something else than a project.
pub(super) const FINDINGS_LIMIT: usize = 200;

/// The problems found so far.
pub(super) struct Report<'a> {
    text: &'a str,
    /// Where the text is not even TOML. What the parser made of these places,
    /// and what seems absent because of them, is not worth a word.
    unreadable: Vec<Range<usize>>,
    errors: Cell<usize>,
    findings: RefCell<Vec<Finding>>,
}

/// A diagnostic whose line and column have not been counted yet.
struct Finding {
    severity: Severity,
    span: Range<usize>,
    message: String,
    hint: String,
}

impl<'a> Report<'a> {
    /// Begins with the syntax errors: their places, messages and hints.
    pub(super) fn new(
        text: &'a str,
        syntax_errors: impl IntoIterator<Item = (Range<usize>, String, String)>,
    ) -> Self {
        let mut report = Self {
            text,
            unreadable: Vec::new(),
            errors: Cell::default(),
            findings: RefCell::default(),
        };
        for (span, message, hint) in syntax_errors.into_iter().take(FINDINGS_LIMIT) {
            report.note(Severity::Error, &span, message, hint);
            report.unreadable.push(span);
        }
        report
    }

    /// How many errors there are so far; unchanged after a read, it was sound.
    pub(super) fn errors(&self) -> usize {
        self.errors.get()
    }

    pub(super) fn error(
        &self,
        span: &Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.note(Severity::Error, span, message.into(), hint.into());
    }

    pub(super) fn warning(
        &self,
        span: &Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.note(Severity::Warning, span, message.into(), hint.into());
    }

    /// An error about something that the text lacks. It says nothing if a
    /// syntax error may have hidden it.
    pub(super) fn absent(
        &self,
        span: &Range<usize>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        if self.unreadable.is_empty() {
            self.error(span, message, hint);
        }
    }

    /// An error for each name that has been given before.
    pub(super) fn distinct<'n>(
        &self,
        what: &str,
        names: impl IntoIterator<Item = (&'n str, &'n Range<usize>)>,
    ) {
        let mut seen: Vec<(&str, &Range<usize>)> = Vec::new();
        for (name, span) in names {
            match seen.iter().find(|(earlier, _)| *earlier == name) {
                Some(_) if name.is_empty() => {}
                Some((_, first)) => self.error(
                    span,
                    format!("there are two {what} called `{name}`"),
                    format!(
                        "rename or remove one of them; the first is on line {}",
                        self.position(first).0
                    ),
                ),
                None => seen.push((name, span)),
            }
        }
    }

    /// The first findings in the order of their places.
    pub(super) fn into_diagnostics(self) -> Vec<Diagnostic> {
        let mut findings = self.findings.take();
        findings.sort_by_key(|finding| (finding.span.start, finding.span.end, finding.severity));
        findings.truncate(FINDINGS_LIMIT);
        findings
            .into_iter()
            .map(|Finding { severity, span, message, hint }| {
                let (line, column) = self.position(&span);
                Diagnostic { severity, line, column, span, message, hint: Some(hint) }
            })
            .collect()
    }

    fn note(&self, severity: Severity, span: &Range<usize>, message: String, hint: String) {
        let overlaps = |other: &Range<usize>| {
            span.start < other.end.max(other.start + 1)
                && other.start < span.end.max(span.start + 1)
        };
        if self.unreadable.iter().any(overlaps) {
            return;
        }
        if severity == Severity::Error {
            self.errors.set(self.errors.get() + 1);
        }
        let finding = Finding { severity, span: span.clone(), message, hint };
        self.findings.borrow_mut().push(finding);
    }

    /// Line and column of a span's first character, from 1.
    fn position(&self, span: &Range<usize>) -> (usize, usize) {
        let start = self.text.floor_char_boundary(span.start);
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        (line, before.get(line_start..).unwrap_or_default().chars().count() + 1)
    }
}
