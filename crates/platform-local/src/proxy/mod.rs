//! The reverse proxy: hands each request to a machine that is started, healthy, uncordoned and
//! not going away, and streams the answer back. HTTP/1.1 without upgrades.

mod body;
mod connect;
mod forward;
mod headers;
mod hold;
mod replay;
mod route;

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub(crate) use route::{Instance, InstanceSpec, Routes};

use crate::{clock, fleet::Fleet};
use forward::Forwarder;

/// More connections than this wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;

/// A request's line and headers together.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// Headers of one request.
const HEADERS_MAX: usize = 128;

/// A connection without a request is closed after this: longer than common clients keep one, so
/// that the client closes it and never sends into a closing one.
const IDLE_MAX: Duration = Duration::from_mins(2);

/// So long requests may finish when the platform stops.
const FINISH_MAX: Duration = Duration::from_secs(10);

/// A proxy that is serving.
#[derive(Debug)]
pub(crate) struct Proxy {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Serves the fleet's apps to those who connect.
    pub(crate) fn serve(listener: TcpListener, fleet: Fleet, port: u16) -> Self {
        let settings = fleet.settings();
        let forwarder = Arc::new(Forwarder {
            region: settings.region.clone(),
            port,
            hold: Duration::from_millis(settings.hold_ms),
            fleet,
        });
        let stop = CancellationToken::new();
        let task = tokio::spawn(accept(listener, forwarder, stop.clone()));
        Self { stop, task }
    }

    /// Takes no more requests and lets those that are there finish.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the proxy ended badly");
        }
    }
}

async fn accept(listener: TcpListener, forwarder: Arc<Forwarder>, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { break };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (forwarder, watcher) = (Arc::clone(&forwarder), graceful.watcher());
                tokio::spawn(async move {
                    converse(stream, peer, forwarder, watcher).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Mostly too many open files: it passes when connections end.
                tracing::warn!(%error, "the proxy cannot accept a connection");
                clock::pause(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(FINISH_MAX, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were broken off because the platform stops");
    }
}

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    forwarder: Arc<Forwarder>,
    watcher: Watcher,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let service = service_fn(move |request| {
        let forwarder = Arc::clone(&forwarder);
        async move { Ok::<_, Infallible>(forwarder.answer(request, peer).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, %peer, "a client's connection broke");
    }
}
