//! Serves until it is told to leave, then drains: no new connections, requests in flight are
//! answered, and the process is gone in time whatever a client does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::service::Service;

/// Platforms kill a machine about five seconds after the signal; leaving by itself before that
/// keeps the exit status 0.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(4_500);

/// Serves on `listener` until SIGTERM or SIGINT, and returns when drained.
///
/// # Errors
/// When the signals cannot be listened to or the listener fails.
pub async fn serve_until_told(
    listener: TcpListener,
    router: Router,
    service: &Arc<Service>,
) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (told, leaving) = watch::channel(false);
    // Without this, the second packet of a small answer waits for the acknowledgement of the first.
    let listener = listener.tap_io(|stream| {
        if let Err(cause) = stream.set_nodelay(true) {
            tracing::debug!(%cause, "connection stays with delayed packets");
        }
    });
    let serving = axum::serve(listener, router)
        .with_graceful_shutdown(told_to_leave(leaving.clone()))
        .into_future();
    tokio::pin!(serving);
    let name = tokio::select! {
        outcome = &mut serving => return outcome,
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = name, "draining");
    service.drain();
    told.send_replace(true);
    if let Ok(outcome) = tokio::time::timeout(DRAIN_TIMEOUT, serving).await {
        outcome?;
    } else {
        tracing::warn!("some connections were still open after the drain's time");
    }
    tracing::info!("drained");
    Ok(())
}

async fn told_to_leave(mut leaving: watch::Receiver<bool>) {
    if leaving.wait_for(|told| *told).await.is_err() {
        // The sender lives as long as the server, so this only ends a server that is gone.
        tracing::debug!("nobody is left to end the server");
    }
}
