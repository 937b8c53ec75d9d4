//! The tool `refresh_index`: reads the articles anew and serves them.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Output, ToolError, schema};
use crate::service::Service;

pub(super) const NAME: &str = "refresh_index";
const EXAMPLE: &str = "{}";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {}

/// What changed.
#[derive(Debug, Serialize, JsonSchema)]
struct Refreshed {
    /// False when the articles are those that were served before.
    changed: bool,
    /// Articles that are new.
    added: Vec<String>,
    /// Articles whose text changed.
    updated: Vec<String>,
    /// Articles that are gone.
    removed: Vec<String>,
    /// How many articles are served now.
    articles: u64,
    /// How many passages are served now.
    passages: u64,
    /// Hash of the articles that are served now.
    content_hash: String,
    /// How long it took, in milliseconds.
    took_ms: f64,
}

pub(super) fn definition() -> Tool {
    Tool::new(
        NAME,
        "Reads the articles anew and serves them from then on. When one cannot be read, the old \
         ones go on being served.",
        schema::of::<Input>(),
    )
    .with_title("Refresh the index")
    .with_raw_output_schema(schema::of::<Refreshed>())
    .with_annotations(
        ToolAnnotations::new()
            .read_only(false)
            .idempotent(true)
            .destructive(false)
            .open_world(false),
    )
}

pub(super) async fn call(service: &Arc<Service>, input: JsonObject) -> Result<Output, ToolError> {
    let Input {} = super::parse(NAME, EXAMPLE, input)?;
    let failed = |cause: String| ToolError::Failed { tool: NAME, cause };
    let shared = Arc::clone(service);
    let refresh = tokio::task::spawn_blocking(move || shared.library.refresh())
        .await
        .map_err(|cause| failed(cause.to_string()))?
        .map_err(|cause| {
            failed(format!("{cause}\nthe articles served before go on being served"))
        })?;
    let refreshed = Refreshed {
        changed: !(refresh.added.is_empty()
            && refresh.changed.is_empty()
            && refresh.removed.is_empty()),
        added: refresh.added,
        updated: refresh.changed,
        removed: refresh.removed,
        articles: refresh.manifest.articles.len() as u64,
        passages: refresh.manifest.passages,
        content_hash: refresh.manifest.content_hash,
        took_ms: refresh.took_ms,
    };
    Ok(Output { structured: super::structured(NAME, &refreshed)?, text: None })
}
