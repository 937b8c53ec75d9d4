//! A scripted chat API: the paid one is the only thing that these tests can't run for real.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// One answer of the script; the last one is repeated.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Says(&'static str),
    Status(u16),
    Raw(&'static str),
    Hangs,
}

#[derive(Debug)]
struct State {
    script: Mutex<Vec<Answer>>,
    requests: Mutex<Vec<(String, Value)>>,
}

/// The running listener.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

impl Server {
    pub(crate) async fn start(mut script: Vec<Answer>) -> Self {
        script.reverse();
        let state = Arc::new(State { script: Mutex::new(script), requests: Mutex::default() });
        let router =
            Router::new().route("/v1/chat/completions", post(answer)).with_state(state.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The `Authorization` header and the body of every request.
    pub(crate) fn requests(&self) -> Vec<(String, Value)> {
        self.state.requests.lock().unwrap().clone()
    }
}

async fn answer(
    Shared(state): Shared<Arc<State>>,
    headers: reqwest::header::HeaderMap,
    axum::Json(body): axum::Json<Value>,
) -> Response {
    let authorization = headers["authorization"].to_str().unwrap().to_owned();
    state.requests.lock().unwrap().push((authorization, body));
    let next = {
        let mut script = state.script.lock().unwrap();
        if script.len() > 1 { script.pop().unwrap() } else { script[0].clone() }
    };
    match next {
        Answer::Says(text) => {
            let message = json!({"role": "assistant", "content": text});
            let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
            axum::Json(json!({"id": "c1", "choices": [choice]})).into_response()
        }
        Answer::Status(status) => {
            (StatusCode::from_u16(status).unwrap(), "{\"error\":{}}").into_response()
        }
        Answer::Raw(text) => text.into_response(),
        Answer::Hangs => std::future::pending().await,
    }
}
