//! Which variables are known where a text stands, and the reading of texts that name some.

use std::ops::Range;

use super::json_path::JsonPath;
use super::step::HttpStep;
use super::template::{self, BUILT_IN, ENV};
use crate::project::reader::Value;
use crate::project::report::Report;
use crate::project::similar::did_you_mean;

/// The variables that are known at one place of a check.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    known: Vec<String>,
}

impl Scope {
    /// What every run brings.
    pub(super) fn new() -> Self {
        Self { known: BUILT_IN.map(str::to_owned).to_vec() }
    }

    /// Where nothing is known.
    pub(super) fn empty() -> Self {
        Self { known: Vec::new() }
    }

    /// From here on this one is known too.
    pub(super) fn add(&mut self, name: &str) {
        if !self.known.iter().any(|known| known == name) {
            self.known.push(name.to_owned());
        }
    }

    /// Notes every unknown variable of a text.
    pub(super) fn check(&self, report: &Report<'_>, place: &Range<usize>, text: &str) {
        for name in template::variables(text) {
            if name.starts_with(ENV) || self.known.iter().any(|known| known == name) {
                continue;
            }
            let known = self.known.iter().map(String::as_str);
            let hint = match did_you_mean(name, known) {
                Some(meant) => format!("did you mean `{{{meant}}}`?"),
                None => format!(
                    "capture it in an earlier step; known here are {}. If it is no variable, write `{{ {name} }}`",
                    self.known
                        .iter()
                        .map(|it| format!("`{{{it}}}`"))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            };
            report.error(place, format!("nothing is known as `{{{name}}}` here"), hint);
        }
    }

    /// Notes every unknown variable of a step that was not read from the file.
    pub(super) fn check_step(&self, report: &Report<'_>, place: &Range<usize>, step: &HttpStep) {
        let expected = step.expect_json.iter().map(|expected| expected.path.as_str());
        let captured = step.capture.values().map(JsonPath::as_str);
        for text in step.asked_texts().map(String::as_str).chain(expected).chain(captured) {
            self.check(report, place, text);
        }
    }

    /// Notes every unknown variable of a value, if it is a text.
    pub(super) fn check_text(&self, value: &Value<'_>) {
        if let Some(text) = value.raw().as_str() {
            self.check(value.report, &value.span(), text);
        }
    }

    /// A text with known variables.
    pub(super) fn text(&self, value: &Value<'_>) -> Option<String> {
        let text = value.text()?;
        self.check(value.report, &value.span(), text);
        Some(text.to_owned())
    }

    /// A JSONPath with known variables.
    pub(super) fn json_path(&self, value: &Value<'_>) -> Option<JsonPath> {
        let text = value.line()?;
        let span = value.span();
        self.check(value.report, &span, &text);
        let problem = match JsonPath::read(&text) {
            Ok(path) => return Some(path),
            Err(problem) => problem,
        };
        // between plain quotes the text's bytes are those of the file
        let is_plain = span.len() == text.len() + 2;
        let start = problem.at.filter(|_| is_plain).map_or(span.start, |at| span.start + 1 + at);
        let hint = if !text.starts_with('$') {
            format!("a path begins with `$`: `$.{}`", text.trim_start_matches('.'))
        } else if text.contains(" = ") {
            format!("compare with `==`: `{}`", text.replace(" = ", " == "))
        } else {
            "write it as RFC 9535 says, for example `$.items[0].id` or `$.items[?@.state == 'open']`"
                .to_owned()
        };
        value.report.error(&(start..span.end), format!("`{text}` {}", problem.cause), hint);
        None
    }
}
