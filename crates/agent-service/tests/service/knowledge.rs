//! A real MCP server over Streamable HTTP with the one tool that the service calls.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What the tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Answers,
    Abstains,
    Refuses,
    TalksNonsense,
    /// Answers when the mode is another one.
    Hangs,
}

#[derive(Debug)]
struct State {
    mode: watch::Sender<Mode>,
    questions: Mutex<Vec<String>>,
}

#[derive(Debug, Clone)]
struct Tools(Arc<State>);

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        assert_eq!(request.name, "query_support");
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let question = arguments["query"].as_str().unwrap().to_owned();
        assert!(question.chars().count() <= 2_000, "the tool takes 2,000 characters");
        self.0.questions.lock().unwrap().push(question);
        let mut modes = self.0.mode.subscribe();
        let mode = *modes.wait_for(|mode| *mode != Mode::Hangs).await.unwrap();
        let result = match mode {
            Mode::Answers => CallToolResult::structured(json!({
                "abstained": false, "content_hash": "abc", "took_ms": 0.1,
                "passages": [
                    {"title": "Returns", "path": "returns.md", "heading": "Time limit",
                        "score": 0.93, "start": 120, "end": 164,
                        "text": "Unused parts can be returned within 30 days."},
                    {"title": "Shipping", "path": "shipping.md", "heading": "", "score": 0.4,
                        "start": 0, "end": 20, "text": "We ship every day."}
                ]
            })),
            Mode::Abstains => CallToolResult::structured(json!({
                "abstained": true, "content_hash": "abc", "took_ms": 0.1, "passages": []
            })),
            Mode::Refuses => CallToolResult::error(vec![ContentBlock::text("`query` is odd")]),
            Mode::TalksNonsense => CallToolResult::structured(json!(["?"])),
            Mode::Hangs => unreachable!("it waited for another mode"),
        };
        Ok(result.into())
    }
}

/// The running server; it stops when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _stop: DropGuard,
}

impl Server {
    /// On a free port, by the names that rmcp allows on loopback.
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0", &["127.0.0.1"]).await
    }

    /// At an address, for requests whose Host header is one of `hosts`.
    pub(crate) async fn start_at(address: &str, hosts: &[&str]) -> Self {
        let mode = watch::Sender::new(Mode::Answers);
        let state = Arc::new(State { mode, questions: Mutex::default() });
        let stop = CancellationToken::new();
        let config = StreamableHttpServerConfig::default()
            .with_allowed_hosts(hosts.iter().copied())
            .with_cancellation_token(stop.clone());
        let tools = Tools(state.clone());
        let service: StreamableHttpService<Tools, LocalSessionManager> =
            StreamableHttpService::new(move || Ok(tools.clone()), Arc::default(), config);
        let router = axum::Router::new().nest_service("/mcp", service);
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                served = axum::serve(listener, router) => served.unwrap(),
                () = stopped.cancelled() => {}
            }
        });
        Self { address, state, _stop: stop.drop_guard() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.state.mode.send_replace(mode);
    }

    pub(crate) fn questions(&self) -> Vec<String> {
        self.state.questions.lock().unwrap().clone()
    }
}
