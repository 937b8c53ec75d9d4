//! A loopback listener that plays Chatwoot's messages API.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Chatwoot's page.
const PAGE: usize = 20;

/// What a POST does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Answers,
    /// Keeps the message and never answers.
    KeepsAndHangs,
    /// Never answers and keeps nothing.
    Hangs,
    /// Keeps the message and answers 502, as a proxy does that lost patience.
    KeepsAndFails,
    Refuses(u16),
}

/// A message as the API tells it.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) path: String,
    pub(crate) token: String,
    pub(crate) body: Value,
}

#[derive(Debug)]
struct State {
    mode: Mutex<Mode>,
    /// Every request to send, answered or not.
    posts: Mutex<Vec<Post>>,
    /// What the customer got, and everything else in the conversation.
    messages: Mutex<Vec<Value>>,
    /// Whether messages lose our markers, as old versions make them.
    forgets_markers: bool,
}

/// The running listener; it stops when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _stop: DropGuard,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0", false).await
    }

    pub(crate) async fn start_at(address: &str, forgets_markers: bool) -> Self {
        let state = Arc::new(State {
            mode: Mutex::new(Mode::Answers),
            posts: Mutex::default(),
            messages: Mutex::default(),
            forgets_markers,
        });
        let path = "/api/v1/accounts/{account}/conversations/{conversation}/messages";
        let router = Router::new().route(path, get(list).post(create)).with_state(state.clone());
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
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
        format!("http://{}", self.address)
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.state.mode.lock().unwrap() = mode;
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.state.posts.lock().unwrap().clone()
    }

    /// The replies that reached the customer.
    pub(crate) fn replies(&self) -> Vec<Value> {
        let messages = self.state.messages.lock().unwrap();
        messages.iter().filter(|message| message["message_type"] == 1).cloned().collect()
    }

    /// The customer goes on writing, so that the reply is no longer on the newest page.
    pub(crate) fn customer_chats_on(&self, count: usize) {
        let mut messages = self.state.messages.lock().unwrap();
        for _ in 0..count {
            let message =
                message(&messages, &json!({"content": "hello?", "message_type": "incoming"}));
            messages.push(message);
        }
    }
}

fn message(before: &[Value], body: &Value) -> Value {
    let outgoing = body["message_type"] == "outgoing";
    json!({
        "id": 100 + before.len(), "content": body["content"],
        "message_type": i64::from(outgoing), "private": body["private"],
        "created_at": jiff::Timestamp::now().as_second(),
        "content_attributes": body["content_attributes"],
    })
}

async fn create(
    Shared(state): Shared<Arc<State>>,
    Path((account, conversation)): Path<(i64, i64)>,
    headers: reqwest::header::HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let token = headers.get("api_access_token").map(|value| value.to_str().unwrap().to_owned());
    let post = Post {
        path: format!("{account}/{conversation}"),
        token: token.unwrap_or_default(),
        body: body.clone(),
    };
    let mode = *state.mode.lock().unwrap();
    let kept = match mode {
        Mode::Answers | Mode::KeepsAndHangs | Mode::KeepsAndFails => {
            let mut messages = state.messages.lock().unwrap();
            let mut new = message(&messages, &body);
            if state.forgets_markers {
                new["content_attributes"] = json!({});
            }
            messages.push(new.clone());
            new
        }
        Mode::Hangs | Mode::Refuses(_) => Value::Null,
    };
    state.posts.lock().unwrap().push(post);
    match mode {
        Mode::Answers => Json(kept).into_response(),
        Mode::KeepsAndHangs | Mode::Hangs => std::future::pending().await,
        Mode::KeepsAndFails => (StatusCode::BAD_GATEWAY, "too slow").into_response(),
        Mode::Refuses(status) => {
            let body = Json(json!({"error": "no"}));
            (StatusCode::from_u16(status).unwrap(), body).into_response()
        }
    }
}

#[derive(Deserialize)]
struct Part {
    before: Option<i64>,
}

async fn list(Shared(state): Shared<Arc<State>>, Query(part): Query<Part>) -> Json<Value> {
    let messages = state.messages.lock().unwrap();
    let before = part.before.unwrap_or(i64::MAX);
    let older: Vec<&Value> =
        messages.iter().filter(|message| message["id"].as_i64().unwrap() < before).collect();
    let page = &older[older.len().saturating_sub(PAGE)..];
    Json(json!({ "meta": {}, "payload": page }))
}
