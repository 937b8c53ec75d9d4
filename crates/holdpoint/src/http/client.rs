//! Talks to the conductor that runs beside this process, if one does.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::UnixStream;

use super::{Accepted, CommandRequest, Refused};

/// The largest answer that is read, in bytes: the timeline of a long release has some megabytes.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Why the conductor gave no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody listens at the socket.
    #[error("no conductor listens at `{path}`")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The conductor said no.
    #[error("{}", refused.error)]
    Refused {
        /// Its words.
        refused: Refused,
    },
    /// The conversation broke off.
    #[error("the conductor at `{path}` did not answer properly: {message}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// How.
        message: String,
    },
}

/// Sends a command.
///
/// # Errors
/// When nobody listens, or the command is refused.
pub async fn command(socket: &Path, request: &CommandRequest) -> Result<Accepted, AskError> {
    ask(socket, Method::POST, "/commands", Some(request)).await
}

/// Reads one of the conductor's views.
///
/// # Errors
/// When nobody listens.
pub async fn read<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, AskError> {
    ask::<(), T>(socket, Method::GET, path, None).await
}

async fn ask<B: Serialize, T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<&B>,
) -> Result<T, AskError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| AskError::Unreachable { path: socket.to_path_buf(), source })?;
    let broken = |message: String| AskError::Broken { path: socket.to_path_buf(), message };
    let body = body.map(serde_json::to_vec).transpose();
    let body = body.map_err(|error| broken(error.to_string()))?.unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "holdpoint")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| broken(error.to_string()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(error.to_string()))?;
    let connection = tokio::spawn(connection);
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
        Ok::<_, String>((status, body.map_err(|error| error.to_string())?.to_bytes()))
    };
    let answer = answer.await;
    connection.abort();
    let (status, body) = answer.map_err(&broken)?;
    let unreadable = |error: serde_json::Error| broken(format!("status {status}: {error}"));
    if status == StatusCode::CONFLICT {
        let refused = serde_json::from_slice(&body).map_err(unreadable)?;
        return Err(AskError::Refused { refused });
    }
    serde_json::from_slice(&body).map_err(unreadable)
}
