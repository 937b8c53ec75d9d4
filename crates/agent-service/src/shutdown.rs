//! When the service stops: at SIGTERM (Fly, Docker) or SIGINT (Ctrl-C), once, for everybody.
//!
//! It only tells; how each part ends its work is that part's own business.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Starts to listen for the signals; the token is cancelled at the first of them.
///
/// # Errors
/// When the signal handlers can't be installed.
pub(crate) fn on_signal() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let told = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping: finishing what has begun");
        told.cancel();
    });
    Ok(token)
}
