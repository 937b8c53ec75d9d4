//! Serves the conductor's handle on a Unix socket.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use holdpoint_core::command::Command;
use thiserror::Error;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Accepted, CommandRequest, Refused};
use crate::daemon::{Handle, Unanswered};

/// The largest body of a command, in bytes. A reason is a sentence, not a book.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// The longest path of a Unix socket on Linux, in bytes, without its final zero.
const PATH_MAX_BYTES: usize = 107;

/// Only the user who drives a release may talk to it.
const OWNER_ONLY: u32 = 0o600;

/// The socket while it is served.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

/// Why the socket can't be served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Its path is too long for the system.
    #[error(
        "the socket's path `{path}` has {bytes} bytes, and the system takes {PATH_MAX_BYTES}\n\
         hint: choose a folder nearer to the root with `--state-dir`"
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// The system refused it.
    #[error(
        "could not open the socket `{path}`\nhint: check that the state directory may be written"
    )]
    Bind {
        /// The path.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl Server {
    /// Serves at `path`. Whoever calls holds the driver's lock, so that a file that is there
    /// belongs to a conductor that is gone.
    ///
    /// # Errors
    /// When the socket can't be opened.
    pub fn start(path: &Path, handle: Handle) -> Result<Self, ServeError> {
        let bytes = path.as_os_str().len();
        if bytes > PATH_MAX_BYTES {
            return Err(ServeError::PathTooLong { path: path.to_path_buf(), bytes });
        }
        let listener =
            bind(path).map_err(|source| ServeError::Bind { path: path.to_path_buf(), source })?;
        let routes = Router::new()
            .route("/commands", post(command))
            .route("/status", get(status))
            .route("/plan", get(plan))
            .route("/timeline", get(timeline))
            .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
            .with_state(handle);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let task = tokio::spawn(async move {
            axum::serve(listener, routes).with_graceful_shutdown(stopped).await
        });
        Ok(Self { path: path.to_path_buf(), stop, task })
    }

    /// Answers what is under way, and takes the socket away.
    pub async fn stop(self) {
        self.stop.cancel();
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the socket's server ended badly"),
            Err(error) => tracing::warn!(%error, "the socket's server ended badly"),
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the socket was gone already");
        }
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(OWNER_ONLY))?;
    Ok(listener)
}

async fn command(
    State(handle): State<Handle>,
    Json(request): Json<CommandRequest>,
) -> Result<Json<Accepted>, Refused> {
    if matches!(request.command, Command::StartRelease(_)) {
        return Err(Refused {
            error: "a release is not started over the socket".to_owned(),
            hint: Some("start it with `holdpoint release VERSION`".to_owned()),
        });
    }
    let record = handle.command(request.actor, request.command).await?;
    Ok(Json(Accepted { record }))
}

async fn status(State(handle): State<Handle>) -> Result<Response, Refused> {
    Ok(Json(handle.status().await?).into_response())
}

async fn plan(State(handle): State<Handle>) -> Result<Response, Refused> {
    Ok(Json(handle.plan().await?).into_response())
}

async fn timeline(State(handle): State<Handle>) -> Result<Response, Refused> {
    Ok(Json(handle.timeline().await?).into_response())
}

impl From<Unanswered> for Refused {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Rejected(rejection) => {
                Self { error: rejection.to_string(), hint: Some(rejection.hint()) }
            }
            Unanswered::Stopped | Unanswered::Journal(_) => {
                Self { error: unanswered.to_string(), hint: None }
            }
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (StatusCode::CONFLICT, Json(self)).into_response()
    }
}
