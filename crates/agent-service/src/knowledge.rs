//! Asks the knowledge server: an MCP client that calls its tool `query_support` and reads the
//! passages that come back.
//!
//! It speaks the newest MCP and the ones before it (rmcp finds out which), keeps one connection,
//! and after any failure makes a new one. Whether to ask again is the queue's decision.

use std::sync::Arc;
use std::time::Duration;

use ::http::header::{AUTHORIZATION, HOST};
use ::http::{HeaderMap, HeaderValue};
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, Implementation,
    ProtocolVersion,
};
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientLifecycleMode, ClientServiceExt, RoleClient};
use secrecy::ExposeSecret;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::approvals::Citation;
use crate::settings::KnowledgeSettings;

/// The tool that is called.
const TOOL: &str = "query_support";
/// Passages asked for: a model gets them all, the extractive drafter quotes the first.
const PASSAGES: u64 = 5;
/// The longest question the tool takes, in characters.
const QUESTION_MAX_CHARS: usize = 2_000;
/// How long connecting may take, within the whole call's time limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer that is read: five passages are a hundredth of it.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// Why there's no answer, not even "nothing found".
#[derive(Debug, thiserror::Error)]
pub(crate) enum KnowledgeError {
    #[error("can't connect to the knowledge server at `{url}`: {cause}")]
    Connect { url: String, cause: String },
    #[error("the knowledge server didn't answer within {0:?}")]
    Timeout(Duration),
    #[error("the knowledge server failed: {0}")]
    Call(String),
    #[error("the knowledge server refused the question: {0}")]
    Refused(String),
    #[error("the knowledge server's answer can't be read: {0}")]
    Unreadable(String),
}

type Connection = RunningService<RoleClient, ClientConfig>;

/// The knowledge server, as seen from here.
pub(crate) struct Knowledge {
    client: reqwest::Client,
    url: String,
    call_timeout: Duration,
    connection: Mutex<Option<Arc<Connection>>>,
}

impl std::fmt::Debug for Knowledge {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Knowledge").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Knowledge {
    /// A client for the server; nothing is connected yet.
    pub(crate) fn new(
        settings: &KnowledgeSettings,
        call_timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let mut headers = HeaderMap::new();
        let host = settings.host.as_deref().and_then(|host| HeaderValue::from_str(host).ok());
        if let Some(host) = host {
            headers.insert(HOST, host);
        }
        let token =
            settings.token.as_ref().map(|token| format!("Bearer {}", token.expose_secret()));
        if let Some(mut value) = token.and_then(|token| HeaderValue::try_from(token).ok()) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = crate::client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let connection = Mutex::new(None);
        Ok(Self { client, url: settings.url.clone(), call_timeout, connection })
    }

    /// The passages that answer `question`, best first; none when the server abstains.
    pub(crate) async fn ask(&self, question: &str) -> Result<Vec<Citation>, KnowledgeError> {
        let asked = tokio::time::timeout(self.call_timeout, self.call(question)).await;
        let answer = asked.unwrap_or(Err(KnowledgeError::Timeout(self.call_timeout)));
        if answer.is_err() {
            // Whatever is wrong with the connection, the next call makes a new one.
            *self.connection.lock().await = None;
        }
        answer
    }

    async fn call(&self, question: &str) -> Result<Vec<Citation>, KnowledgeError> {
        let connection = self.connected().await?;
        let query: String = question.chars().take(QUESTION_MAX_CHARS).collect();
        let arguments = serde_json::json!({ "query": query, "top_k": PASSAGES });
        let serde_json::Value::Object(arguments) = arguments else {
            return Err(KnowledgeError::Call("the question isn't an object".to_owned()));
        };
        let request = CallToolRequestParams::new(TOOL).with_arguments(arguments);
        let result = connection.peer().call_tool(request).await;
        passages(&result.map_err(|error| KnowledgeError::Call(error.to_string()))?)
    }

    async fn connected(&self) -> Result<Arc<Connection>, KnowledgeError> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = kept.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let mut config = StreamableHttpClientTransportConfig::with_uri(self.url.as_str());
        config.max_json_response_size = ANSWER_MAX_BYTES;
        config.max_sse_event_size = ANSWER_MAX_BYTES;
        let transport = StreamableHttpClientTransport::with_client(self.client.clone(), config);
        let about = Implementation::new("agent-service", env!("CARGO_PKG_VERSION"));
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::LATEST],
            legacy_version: None,
        };
        let connecting = ClientConfig::new(ClientCapabilities::default(), about)
            .serve_with_lifecycle(transport, lifecycle);
        let connection = Box::pin(connecting).await.map_err(|error| KnowledgeError::Connect {
            url: self.url.clone(),
            cause: error.to_string(),
        })?;
        let connection = Arc::new(connection);
        *kept = Some(connection.clone());
        Ok(connection)
    }
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    abstained: bool,
    passages: Vec<Passage>,
}

#[derive(Debug, Deserialize)]
struct Passage {
    title: String,
    path: String,
    #[serde(default)]
    heading: Option<String>,
    #[serde(default)]
    score: Option<f64>,
    #[serde(default)]
    start: Option<u64>,
    #[serde(default)]
    end: Option<u64>,
    text: String,
}

fn passages(result: &CallToolResult) -> Result<Vec<Citation>, KnowledgeError> {
    let texts = || {
        let blocks = result.content.iter().filter_map(|block| block.as_text());
        blocks.map(|block| block.text.as_str()).collect::<Vec<_>>().join("\n")
    };
    if result.is_error.unwrap_or(false) {
        return Err(KnowledgeError::Refused(texts().chars().take(500).collect()));
    }
    let unreadable = |error: serde_json::Error| KnowledgeError::Unreadable(error.to_string());
    // Servers before structured content put the same JSON into a text block.
    let answer: Answer = match result.structured_content.clone() {
        Some(value) => serde_json::from_value(value).map_err(unreadable)?,
        None => serde_json::from_str(&texts()).map_err(unreadable)?,
    };
    if answer.abstained {
        return Ok(Vec::new());
    }
    let with_text = answer.passages.into_iter().filter(|passage| !passage.text.trim().is_empty());
    let citations = with_text.map(|passage| Citation {
        title: passage.title,
        path: passage.path,
        heading: passage.heading.filter(|heading| !heading.trim().is_empty()),
        start: passage.start,
        end: passage.end,
        score: passage.score,
        text: passage.text,
    });
    Ok(citations.collect())
}

#[cfg(test)]
mod tests {
    use rmcp::model::ContentBlock;
    use serde_json::json;

    use super::*;

    #[test]
    fn passages_are_read_from_structured_content() {
        let result = CallToolResult::structured(json!({
            "abstained": false, "took_ms": 0.2,
            "passages": [{"title": "Returns", "path": "returns.md", "heading": "", "score": 0.9,
                "start": 10, "end": 20, "text": "30 days"}, {"title": "x", "path": "y", "text": " "}]
        }));
        let citations = passages(&result).unwrap();
        assert_eq!(citations.len(), 1);
        assert_eq!(citations[0].path, "returns.md");
        assert_eq!((citations[0].start, citations[0].end), (Some(10), Some(20)));
        assert_eq!(citations[0].heading, None);
    }

    #[test]
    fn an_abstaining_server_gives_no_passage_even_when_it_lists_some() {
        let result = CallToolResult::structured(json!({
            "abstained": true, "passages": [{"title": "a", "path": "b", "text": "c"}]
        }));
        assert_eq!(passages(&result).unwrap(), Vec::new());
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let result = CallToolResult::error(vec![ContentBlock::text("`query` is empty")]);
        let error = passages(&result).unwrap_err().to_string();
        assert!(error.contains("refused the question: `query` is empty"), "{error}");
    }

    #[test]
    fn nonsense_is_an_error_and_no_panic() {
        let nonsense = [json!(null), json!([]), json!({"passages": 5}), json!({"passages": [{}]})];
        for value in nonsense {
            let read = passages(&CallToolResult::structured(value.clone()));
            assert!(matches!(read, Err(KnowledgeError::Unreadable(_))), "{value}");
        }
        let text = CallToolResult::success(vec![ContentBlock::text("hello")]);
        assert!(matches!(passages(&text), Err(KnowledgeError::Unreadable(_))));
    }
}
