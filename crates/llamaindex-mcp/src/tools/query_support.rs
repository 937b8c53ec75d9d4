//! The tool `query_support`: passages that answer a question.

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Output, ToolError, schema};
use crate::clock::{self, Stopwatch};
use crate::search::{self, ScoredPassage};
use crate::service::Service;
use crate::telemetry::QueryRecord;

pub(super) const NAME: &str = "query_support";
const EXAMPLE: &str = r#"{"query": "How long do I have to return a part?", "top_k": 5}"#;
const DEFAULT_TOP_K: u64 = 5;
const MAX_TOP_K: u64 = 20;
/// A question, not a document; a pasted mail still fits.
const MAX_QUERY_CHARS: usize = 2_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The question in plain words.
    #[schemars(length(min = 1, max = 2000))]
    query: String,
    /// How many passages at most.
    #[serde(default = "default_top_k")]
    #[schemars(range(min = 1, max = 20))]
    top_k: u64,
}

fn default_top_k() -> u64 {
    DEFAULT_TOP_K
}

/// What was found for a question.
#[derive(Debug, Serialize, JsonSchema)]
struct Found {
    /// True when no passage fits well enough: the articles do not answer this.
    abstained: bool,
    /// Best first; empty when abstained.
    passages: Vec<Passage>,
    /// Hash of the articles that were searched.
    content_hash: String,
    /// How long the search took, in milliseconds.
    took_ms: f64,
}

/// A passage to quote.
#[derive(Debug, Serialize, JsonSchema)]
struct Passage {
    /// Title of the article.
    title: String,
    /// Path of the article.
    path: String,
    /// Headings above the passage; empty directly under the title.
    heading: String,
    /// How well it fits: 0 not at all, about 1 perfectly.
    score: f64,
    /// First character of the passage in the article, counted from 0.
    start: u64,
    /// One past its last character.
    end: u64,
    /// The text of that range.
    text: String,
}

pub(super) fn definition() -> Tool {
    Tool::new(
        NAME,
        "Searches the shop's support articles (shipping, returns, warranty, fitting guides, \
         compatibility, tuning) and returns passages to quote, each with its article's path and \
         character range. Abstains when the articles do not answer the question.",
        schema::of::<Input>(),
    )
    .with_title("Search the support articles")
    .with_raw_output_schema(schema::of::<Found>())
    .with_annotations(
        ToolAnnotations::new()
            .read_only(true)
            .idempotent(true)
            .destructive(false)
            .open_world(false),
    )
}

pub(super) fn call(service: &Service, input: JsonObject) -> Result<Output, ToolError> {
    let refused = |cause: String| ToolError::Input { tool: NAME, cause, example: EXAMPLE };
    let input: Input = super::parse(NAME, EXAMPLE, input)?;
    let query = input.query.trim();
    if query.is_empty() {
        return Err(refused("`query` is empty".to_owned()));
    }
    let length = query.chars().count();
    if length > MAX_QUERY_CHARS {
        let cause = format!("`query` has {length} characters, at most {MAX_QUERY_CHARS} are read");
        return Err(refused(cause));
    }
    if !(1..=MAX_TOP_K).contains(&input.top_k) {
        return Err(refused(format!("`top_k` is {}, not 1 to {MAX_TOP_K}", input.top_k)));
    }
    let stopwatch = Stopwatch::start();
    let index = service.library.current();
    // Searching takes well under a millisecond at the sizes that are allowed, so it needs no
    // thread of its own.
    let limit = usize::try_from(input.top_k).unwrap_or(usize::MAX);
    let answer = search::search(&index, query, limit)
        .map_err(|cause| ToolError::Failed { tool: NAME, cause: cause.to_string() })?;
    let took_ms = stopwatch.elapsed_ms();
    let abstained = answer.abstained();
    if abstained {
        service.metrics.abstained();
    }
    let mut articles: Vec<_> =
        answer.passages.iter().map(|found| found.passage.path.clone()).collect();
    articles.dedup();
    let question = query.to_owned();
    service.telemetry.record(QueryRecord { asked_at: clock::now(), question, articles, took_ms });
    let found = Found {
        abstained,
        passages: answer.passages.into_iter().map(passage).collect(),
        content_hash: index.manifest().content_hash.clone(),
        took_ms: (took_ms * 1000.0).round() / 1000.0,
    };
    Ok(Output { structured: super::structured(NAME, &found)?, text: None })
}

fn passage(found: ScoredPassage) -> Passage {
    let ScoredPassage { passage, score } = found;
    Passage {
        title: passage.title,
        path: passage.path,
        heading: passage.heading,
        score: (f64::from(score) * 1000.0).round() / 1000.0,
        start: passage.start,
        end: passage.end,
        text: passage.text,
    }
}
