//! Why a platform does not start, and how a request to its API is refused.

use std::{io, net::SocketAddr, path::PathBuf};

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use oci_image::layout::LayoutError;

use crate::{store::StoreError, supervisor::EngineError, tls::AuthorityError};

/// Why a platform did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "cannot listen on {address} for the {purpose}: the port is taken\nhint: `ss -ltnp` shows \
         by whom; stop that program, or choose another port"
    )]
    PortTaken { purpose: &'static str, address: SocketAddr },
    #[error(
        "cannot listen on {address} for the {purpose}: {source}\nhint: choose an address of this computer, such as 127.0.0.1"
    )]
    Listen { purpose: &'static str, address: SocketAddr, source: io::Error },
    #[error(
        "cannot {operation} the state directory `{path}`: {source}\nhint: choose a directory that \
         you may write to, on a disk that is not full"
    )]
    StateDirectory { operation: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "another platform{holder} holds the state directory `{path}`\nhint: use that one, stop \
         it, or choose another state directory"
    )]
    Held { path: PathBuf, holder: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot serve TLS: {0}")]
    Authority(#[from] AuthorityError),
    #[error("machines cannot run in containers: {0}")]
    Engine(String),
    #[error(transparent)]
    Images(#[from] LayoutError),
    #[error(
        "cannot start the proxy's workers: {source}\nhint: raise the number of threads and files that a process may have (`ulimit -u`, `ulimit -n`)"
    )]
    Workers { source: io::Error },
    #[error(
        "the platform's token is empty\nhint: choose one; clients send it as `Authorization: Bearer TOKEN`"
    )]
    EmptyToken,
}

impl From<EngineError> for StartError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error.to_string())
    }
}

/// A request that the API does not fulfil, as its clients see it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// The machine-readable code that stands beside the message, for example `name_taken`.
    pub(crate) code: Option<&'static str>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), code: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(crate) fn precondition(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            format!("failed_precondition: {}", message.into()),
        )
    }

    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a change could not be stored and is refused");
        let is_full = error.is_full();
        let status = if is_full {
            StatusCode::INSUFFICIENT_STORAGE
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = self.code.unwrap_or("unknown");
        let body = serde_json::json!({"error": self.message, "status": code});
        (self.status, Json(body)).into_response()
    }
}
