//! The MCP face of the service: which tools there are, and how a call reaches one.
//!
//! A tool's input that does not fit comes back as a tool result with `isError`, in words that a
//! model can act on; only an unknown tool is an error of the protocol. What a tool does is in its
//! own module.

mod insight_report;
mod query_support;
mod refresh_index;
mod schema;

use std::sync::Arc;

use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    Implementation, JsonObject, ListToolsResult, PaginatedRequestParams, ServerCapabilities,
    ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::clock::Stopwatch;
use crate::http::RequestId;
use crate::service::Service;

/// The list of tools changes only with the binary.
const LIST_TTL_MS: u64 = 3_600_000;

const INSTRUCTIONS: &str = "Support articles of the shop. Ask `query_support` in plain words; it \
    returns passages to quote, with the article's path and the range of characters. When \
    `abstained` is true the articles do not answer the question: say so, do not guess.";

/// Answers MCP requests. Made anew for each, it only points at the service.
#[derive(Debug, Clone)]
pub struct Tools {
    service: Arc<Service>,
}

impl Tools {
    /// The tools over `service`.
    pub fn new(service: Arc<Service>) -> Self {
        Self { service }
    }

    async fn call(&self, name: &str, input: JsonObject) -> Option<Result<Output, ToolError>> {
        let service = &self.service;
        Some(match name {
            query_support::NAME => query_support::call(service, input),
            refresh_index::NAME => refresh_index::call(service, input).await,
            insight_report::NAME => insight_report::call(service, input),
            _ => return None,
        })
    }
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        let version = self.service.version.clone();
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(
                Implementation::new("llamaindex-mcp", version).with_title("Support knowledge"),
            )
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut list = ListToolsResult::with_all_items(definitions());
        list.ttl_ms = Some(LIST_TTL_MS);
        list.cache_scope = Some(CacheScope::Public);
        Ok(list)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        definitions().into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let stopwatch = Stopwatch::start();
        let input = request.arguments.unwrap_or_default();
        let Some(outcome) = self.call(&request.name, input).await else {
            let known = [query_support::NAME, refresh_index::NAME, insight_report::NAME];
            let message = format!(
                "unknown tool `{}`; hint: the tools are `{}`",
                request.name.chars().take(64).collect::<String>(),
                known.join("`, `")
            );
            return Err(ErrorData::invalid_params(message, None));
        };
        let elapsed = stopwatch.elapsed();
        self.service.metrics.tool_called(&request.name, outcome.is_ok(), elapsed.as_secs_f64());
        tracing::info!(
            request_id = RequestId::of(&context.extensions),
            tool = %request.name,
            error = outcome.as_ref().err().map(tracing::field::display),
            took_ms = stopwatch.elapsed_ms(),
            "tool called"
        );
        Ok(match outcome {
            Ok(Output { structured, text: None }) => CallToolResult::structured(structured),
            Ok(Output { structured, text: Some(text) }) => {
                let mut result = CallToolResult::structured(structured);
                result.content = vec![ContentBlock::text(text)];
                result
            }
            Err(error) => CallToolResult::error(vec![ContentBlock::text(error.to_string())]),
        }
        .into())
    }
}

/// What a tool gives: a value that fits its output schema, and words for it when JSON is not what
/// was asked for.
#[derive(Debug)]
struct Output {
    structured: Value,
    text: Option<String>,
}

/// Why a tool gives nothing, in words for the model that called it.
#[derive(Debug, thiserror::Error)]
enum ToolError {
    #[error("`{tool}` refused its input: {cause}\nhint: call it with {example}")]
    Input { tool: &'static str, cause: String, example: &'static str },
    #[error("`{tool}` failed: {cause}")]
    Failed { tool: &'static str, cause: String },
}

fn definitions() -> Vec<Tool> {
    vec![query_support::definition(), refresh_index::definition(), insight_report::definition()]
}

fn parse<T: DeserializeOwned>(
    tool: &'static str,
    example: &'static str,
    input: JsonObject,
) -> Result<T, ToolError> {
    serde_json::from_value(Value::Object(input)).map_err(|cause| ToolError::Input {
        tool,
        cause: cause.to_string(),
        example,
    })
}

fn structured<T: serde::Serialize>(tool: &'static str, value: &T) -> Result<Value, ToolError> {
    serde_json::to_value(value)
        .map_err(|cause| ToolError::Failed { tool, cause: cause.to_string() })
}
