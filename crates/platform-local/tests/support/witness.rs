//! Stands between a client and the API, passes every call on, and validates every answer. By it
//! even clients that only decode what they need are held to the whole of the API's schema.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::Response,
};
use tokio::{net::TcpListener, task::JoinHandle};

use super::schema;

pub struct Witness {
    pub address: SocketAddr,
    violations: Arc<Mutex<Vec<String>>>,
    calls: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Place {
    api: SocketAddr,
    http: reqwest::Client,
    violations: Arc<Mutex<Vec<String>>>,
    calls: Arc<Mutex<usize>>,
}

impl Witness {
    pub async fn before(api: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback works");
        let address = listener.local_addr().expect("the loopback works");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let (violations, calls) = (Arc::default(), Arc::default());
        let place =
            Place { api, http, violations: Arc::clone(&violations), calls: Arc::clone(&calls) };
        let router = Router::new().fallback(pass_on).with_state(place);
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self { address, violations, calls, task }
    }

    /// How many answers were seen, and what was wrong with them.
    pub fn end(self) -> (usize, Vec<String>) {
        self.task.abort();
        let calls = *self.calls.lock().expect("calls");
        (calls, self.violations.lock().expect("violations").clone())
    }
}

async fn pass_on(State(place): State<Place>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.to_string();
    let body: Bytes = axum::body::to_bytes(body, 64 << 20).await.expect("a body");
    let mut headers = parts.headers;
    headers.remove("host");
    let answer = place
        .http
        .request(parts.method.clone(), format!("http://{}{path}", place.api))
        .headers(headers)
        .body(body)
        .send()
        .await
        .expect("an answer");
    let status = answer.status();
    let mut response = Response::builder().status(status);
    if let Some(kind) = answer.headers().get("content-type") {
        response = response.header("content-type", kind);
    }
    let bytes = answer.bytes().await.expect("a body");
    *place.calls.lock().expect("calls") += 1;
    let checked = schema::check(parts.method.as_str(), &path, status.as_u16(), &bytes);
    place.violations.lock().expect("violations").extend(checked.err());
    response.body(Body::from(bytes)).expect("a response")
}
