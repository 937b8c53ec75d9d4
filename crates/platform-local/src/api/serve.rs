//! Serves the API's connections. A client that is slow on purpose costs one connection for a
//! bounded time: the head of a request, each piece of its body and each piece of the answer have a
//! deadline, and there is a number of connections.

use std::{sync::Arc, time::Duration};

use axum::{Router, http::StatusCode};
use hyper::{
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;
use tower_http::timeout::RequestBodyTimeoutLayer;

use super::linger::{LingeringStream, Unread};
use crate::clock;

/// Connections at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;

/// The largest head of a request.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// After a refused accept (no file descriptors), the next one is tried so much later.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Serves until it is told to stop, and then until the requests that are there have finished.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    pause_max: Duration,
    stop: CancellationToken,
) {
    let service = router.layer(RequestBodyTimeoutLayer::new(pause_max));
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = GracefulShutdown::new();
    loop {
        let accepted = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to the API was not accepted");
                clock::pause(ACCEPT_AGAIN).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its small packets back");
        }
        let unread = Unread::default();
        let stream = LingeringStream::new(stream, unread.clone(), pause_max);
        let routes = TowerToHyperService::new(service.clone());
        let answer = service_fn(move |request| {
            let (answered, unread) = (routes.call(request), unread.clone());
            async move {
                let answer = answered.await;
                unread.set(answer.as_ref().is_ok_and(|answer| {
                    // Both are given before the request's body was read.
                    let status = answer.status();
                    status == StatusCode::PAYLOAD_TOO_LARGE || status == StatusCode::UNAUTHORIZED
                }));
                answer
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(pause_max)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), answer);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the API broke off");
            }
            drop(permit);
        });
    }
    connections.shutdown().await;
}
