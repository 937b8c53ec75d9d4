//! Speaks to a container engine over its Unix socket: the part of Docker's API that Podman serves
//! too. What is asked of it is decided by the callers.
//!
//! Paths name no version of the API: each engine then answers in its own, and neither refuses the
//! version of the other.

use std::{
    fmt::Display,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Full, Limited, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;

/// A description of a container or an image is far smaller; the list of a thousand is too.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// An engine that is busy starts a container within seconds.
const ANSWER_TIME_MAX: Duration = Duration::from_mins(1);

/// Where engines listen that were installed as their makers say.
const SOCKETS: [&str; 3] = ["/run/podman/podman.sock", "/var/run/docker.sock", "/run/docker.sock"];

/// A container engine. Cheap to clone; every request has a connection of its own, so that none
/// waits for another.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    socket: PathBuf,
}

/// Why the engine did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error(
        "no container engine answers at {}\nhint: start Podman's with `systemctl start \
         podman.socket` or `podman system service --time 0 unix:///run/podman/podman.sock &`, or \
         Docker's, or name another socket in DOCKER_HOST",
        list(sockets)
    )]
    Absent { sockets: Vec<PathBuf> },
    #[error("the container engine at `{}` did not answer: {cause}", socket.display())]
    Broken { socket: PathBuf, cause: String },
    #[error("the container engine did not {operation}: {message}")]
    Refused { operation: &'static str, status: StatusCode, message: String },
    #[error("the container engine answered in a way that is not understood: {0}")]
    Answer(#[from] serde_json::Error),
}

impl EngineError {
    /// Whether what was asked for does not exist.
    pub(super) fn is_missing(&self) -> bool {
        self.has_status(StatusCode::NOT_FOUND)
    }

    /// Whether it stands in the way of something else that exists.
    pub(super) fn is_conflict(&self) -> bool {
        self.has_status(StatusCode::CONFLICT)
    }

    /// Whether the engine may not have been asked at all.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self, Self::Absent { .. } | Self::Broken { .. })
    }

    fn has_status(&self, wanted: StatusCode) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == wanted)
    }
}

/// One request.
#[derive(Debug)]
pub(super) struct Ask {
    method: Method,
    path: String,
    operation: &'static str,
    content_type: &'static str,
    body: BoxBody<Bytes, io::Error>,
}

/// How engines say why they refuse.
#[derive(Debug, Deserialize)]
struct Complaint {
    message: String,
}

impl Ask {
    /// A request without a body; the operation is told in errors, as in "did not start it".
    pub(super) fn new(method: Method, path: impl Into<String>, operation: &'static str) -> Self {
        let body = Full::default().map_err(|never| match never {}).boxed();
        Self { method, path: path.into(), operation, content_type: "application/json", body }
    }

    pub(super) fn with_json(mut self, body: &impl Serialize) -> Result<Self, EngineError> {
        let bytes = Bytes::from(serde_json::to_vec(body)?);
        self.body = Full::new(bytes).map_err(|never| match never {}).boxed();
        Ok(self)
    }

    pub(super) fn with_archive(mut self, body: BoxBody<Bytes, io::Error>) -> Self {
        self.content_type = "application/x-tar";
        self.body = body;
        self
    }
}

impl Engine {
    /// The engine at this socket or, without one, the first that answers where they usually are.
    pub(crate) async fn find(socket: Option<&Path>) -> Result<Self, EngineError> {
        let sockets: Vec<PathBuf> = match socket {
            Some(socket) => vec![socket.to_owned()],
            None => SOCKETS.iter().map(PathBuf::from).collect(),
        };
        for socket in &sockets {
            let engine = Self { socket: socket.clone() };
            match engine.done(Ask::new(Method::GET, "/_ping", "answer")).await {
                Ok(()) => return Ok(engine),
                Err(error) => tracing::debug!(%error, "no container engine here"),
            }
        }
        Err(EngineError::Absent { sockets })
    }

    /// Asks, and reads the answer.
    pub(super) async fn read<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, EngineError> {
        Ok(serde_json::from_slice(&self.bytes(ask).await?)?)
    }

    /// Asks for something to be done; what the answer says beside that does not matter.
    pub(super) async fn done(&self, ask: Ask) -> Result<(), EngineError> {
        self.bytes(ask).await.map(drop)
    }

    /// Asks for something that may take as long as it wants.
    pub(super) async fn wait<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, EngineError> {
        let answer = self.stream(ask).await?;
        Ok(serde_json::from_slice(&self.collect(answer.into_body()).await?)?)
    }

    async fn bytes(&self, ask: Ask) -> Result<Bytes, EngineError> {
        self.bytes_within(ANSWER_TIME_MAX, ask).await
    }

    /// Asks for what may take so long, and reads the answer.
    pub(super) async fn bytes_within(
        &self,
        time_max: Duration,
        ask: Ask,
    ) -> Result<Bytes, EngineError> {
        let answer = async {
            let answer = self.stream(ask).await?;
            self.collect(answer.into_body()).await
        };
        match tokio::time::timeout(time_max, answer).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(self.broken(&format!("nothing came for {time_max:?}"))),
        }
    }

    /// Asks for an answer that comes bit by bit, for as long as it takes.
    pub(super) async fn stream(&self, ask: Ask) -> Result<Response<Incoming>, EngineError> {
        self.send(ask, None).await
    }

    /// Asks for a connection to a program: what it reads and writes goes over it, both ways.
    pub(super) async fn connect_to(&self, ask: Ask) -> Result<TokioIo<Upgraded>, EngineError> {
        let answer = self.send(ask, Some("tcp")).await?;
        let upgraded = hyper::upgrade::on(answer).await;
        upgraded.map(TokioIo::new).map_err(|cause| self.broken(&cause))
    }

    async fn send(
        &self,
        ask: Ask,
        upgrade: Option<&str>,
    ) -> Result<Response<Incoming>, EngineError> {
        let stream =
            UnixStream::connect(&self.socket).await.map_err(|cause| self.broken(&cause))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake::<
            _,
            BoxBody<Bytes, io::Error>,
        >(TokioIo::new(stream))
        .await
        .map_err(|cause| self.broken(&cause))?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to the container engine broke");
            }
        });
        let operation = ask.operation;
        let mut request = Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header(header::HOST, "engine")
            .header(header::CONTENT_TYPE, ask.content_type)
            .body(ask.body)
            .map_err(|cause| self.broken(&cause))?;
        if let Some(protocol) = upgrade.and_then(|protocol| protocol.parse().ok()) {
            let headers = request.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, protocol);
        }
        let answer = sender.send_request(request).await.map_err(|cause| self.broken(&cause))?;
        let status = answer.status();
        let wanted = match status {
            // It is in the wanted state already.
            StatusCode::NOT_MODIFIED => true,
            StatusCode::SWITCHING_PROTOCOLS => upgrade.is_some(),
            other => other.is_success(),
        };
        if wanted {
            return Ok(answer);
        }
        let text = self.collect(answer.into_body()).await?;
        let message = serde_json::from_slice::<Complaint>(&text).map_or_else(
            |_no_json| String::from_utf8_lossy(&text).trim().to_owned(),
            |complaint| complaint.message,
        );
        Err(EngineError::Refused { operation, status, message })
    }

    async fn collect(&self, body: Incoming) -> Result<Bytes, EngineError> {
        let collected = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        collected.map(Collected::to_bytes).map_err(|cause| self.broken(&cause))
    }

    pub(super) fn broken(&self, cause: &dyn Display) -> EngineError {
        EngineError::Broken { socket: self.socket.clone(), cause: cause.to_string() }
    }
}

fn list(sockets: &[PathBuf]) -> String {
    let sockets = sockets.iter().map(|socket| format!("`{}`", socket.display()));
    sockets.collect::<Vec<_>>().join(" or ")
}

/// The filter of a list by a label with this value. Neither holds a character that an address
/// would have to hide.
pub(super) fn label_filter(name: &str, value: &str) -> String {
    format!("filters=%7B%22label%22%3A%5B%22{name}%3D{value}%22%5D%7D")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_an_engine_the_error_says_how_to_start_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("engine.sock");
        let error = Engine::find(Some(&socket)).await.expect_err("nobody listens");
        let text = error.to_string();
        assert!(text.contains("engine.sock") && text.contains("podman system service"), "{text}");
        assert!(error.is_broken());
    }
}
