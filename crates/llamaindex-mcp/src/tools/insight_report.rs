//! The tool `insight_report`: what was asked, and what the articles lack.

use std::fmt::Write;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Output, ToolError, schema};
use crate::clock;
use crate::service::Service;
use crate::telemetry::{Report, Window};

pub(super) const NAME: &str = "insight_report";
const EXAMPLE: &str = r#"{"window": "7d", "format": "markdown"}"#;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// How far back, as a number and `m`, `h` or `d`.
    #[serde(default = "default_window")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,2}[mhd]$"))]
    window: String,
    /// Form of the text block; the structured content is the same in both.
    #[serde(default)]
    format: Format,
}

#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Markdown,
}

fn default_window() -> String {
    "7d".to_owned()
}

pub(super) fn definition() -> Tool {
    Tool::new(
        NAME,
        "Reports on the questions that this server was asked: the most frequent ones, those \
         without an answer, the slow ones, and the articles quoted most. It remembers the latest \
         5000 questions since it was started.",
        schema::of::<Input>(),
    )
    .with_title("Report on the questions asked")
    .with_raw_output_schema(schema::of::<Report>())
    .with_annotations(
        ToolAnnotations::new()
            .read_only(true)
            .idempotent(true)
            .destructive(false)
            .open_world(false),
    )
}

pub(super) fn call(service: &Service, input: JsonObject) -> Result<Output, ToolError> {
    let input: Input = super::parse(NAME, EXAMPLE, input)?;
    let Some(window) = Window::parse(&input.window) else {
        let cause = "`window` is not a number from 1 to 999 and `m`, `h` or `d`".to_owned();
        return Err(ToolError::Input { tool: NAME, cause, example: EXAMPLE });
    };
    let report = service.telemetry.report(clock::now(), &window);
    let text = match input.format {
        Format::Json => None,
        Format::Markdown => Some(markdown(&report)),
    };
    Ok(Output { structured: super::structured(NAME, &report)?, text })
}

fn markdown(report: &Report) -> String {
    let mut text = format!(
        "# Questions of the last {}\n\n{} asked, {} without an answer.",
        report.window, report.questions, report.unanswered
    );
    if let (Some(p50), Some(p95)) = (report.p50_ms, report.p95_ms) {
        append(
            &mut text,
            format_args!(" Half took at most {p50:.1} ms, 95 % at most {p95:.1} ms."),
        );
    }
    if !report.complete {
        append(&mut text, format_args!(" Older questions of the window were given up."));
    }
    append(&mut text, format_args!("\n"));
    let counted = |(words, count): (&String, u64)| format!("{words} ({count})");
    section(
        &mut text,
        "Asked most",
        report.top_questions.iter().map(|entry| counted((&entry.question, entry.count))),
    );
    section(
        &mut text,
        "Without an answer",
        report.unanswered_questions.iter().map(|entry| counted((&entry.question, entry.count))),
    );
    section(
        &mut text,
        "Slow",
        report
            .slow_questions
            .iter()
            .map(|entry| format!("{} ({:.0} ms)", entry.question, entry.took_ms)),
    );
    section(
        &mut text,
        "Articles quoted most",
        report.top_articles.iter().map(|entry| counted((&entry.path, entry.count))),
    );
    text
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    append(text, format_args!("\n## {title}\n\n"));
    let mut none = true;
    for line in lines {
        none = false;
        append(text, format_args!("- {line}\n"));
    }
    if none {
        append(text, format_args!("None.\n"));
    }
}

fn append(text: &mut String, words: std::fmt::Arguments<'_>) {
    text.write_fmt(words).expect("writing into a string cannot fail");
}
