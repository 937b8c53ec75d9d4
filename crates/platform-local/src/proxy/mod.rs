//! The reverse proxy: hands each request to a machine that is started, healthy, uncordoned and
//! not going away, and streams the answer back. HTTP/1.1 and HTTP/2 from clients, plain and by TLS,
//! and to machines, and whatever an HTTP/1.1 connection is upgraded to.
//!
//! Connections are accepted in one place and served by a few workers, each a thread with a
//! runtime of its own, so that a request never leaves its thread.

mod accept;
mod body;
mod choice;
mod client_stream;
mod connections;
mod follow;
mod forward;
mod handshake;
mod headers;
mod hold;
mod journey;
mod offer;
mod region;
mod replay;
mod replay_cache;
mod route;
mod trouble;
mod tunnel;
mod worker;

use std::{io, num::NonZero, sync::Arc, thread, time::Duration};

use http::HeaderValue;
use tokio::{net::TcpListener, runtime::Handle, task::JoinHandle};
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

pub(crate) use choice::Choice;
pub(crate) use headers::app_of;
pub(crate) use offer::{Entrance, Offer, forces_https, has_offer, left_out, offers};
pub(crate) use route::{Instance, InstanceSpec, Routes};

use crate::fleet::Fleet;
use accept::{Limits, Room};
use connections::WORKERS_MAX;
use forward::Forwarder;
use handshake::Tls;
use replay_cache::ReplayCache;
use worker::{Worker, WorkerHandle};

/// A proxy that is serving.
#[derive(Debug)]
pub(crate) struct Proxy {
    stop: CancellationToken,
    acceptors: Vec<JoinHandle<()>>,
    workers: Vec<WorkerHandle>,
}

/// Where a proxy listens.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) plain: TcpListener,
    pub(crate) plain_port: u16,
    /// Beside a TLS port, for those to whom it does not matter.
    pub(crate) private: Option<TcpListener>,
    pub(crate) tls: Option<TlsListener>,
}

/// The TLS port, and how it is spoken there.
#[derive(Debug)]
pub(crate) struct TlsListener {
    pub(crate) listener: TcpListener,
    pub(crate) port: u16,
    pub(crate) config: Arc<ServerConfig>,
}

impl Proxy {
    /// Serves the fleet's apps to those who connect.
    pub(crate) fn serve(listeners: Listeners, fleet: Fleet) -> io::Result<Self> {
        let Listeners { plain, plain_port: port, private, tls } = listeners;
        let (secret, tls) =
            tls.map(|tls| (tls.listener, Tls { config: tls.config, port: tls.port })).unzip();
        let settings = fleet.settings();
        let stop = CancellationToken::new();
        let forwarder = Arc::new(Forwarder {
            region_value: HeaderValue::try_from(settings.region)
                .unwrap_or(HeaderValue::from_static("local")),
            hold: Duration::from_millis(settings.hold_ms),
            body_silence_max: Duration::from_millis(settings.body_silence_ms),
            replay_cache: ReplayCache::default(),
            runtime: Handle::current(),
            stop: stop.clone(),
            tls,
            fleet,
        });
        let head_max = Duration::from_millis(settings.head_read_ms);
        // Half of the processors: the machines behind the proxy need the rest, and fewer workers
        // sleep less often (`docs/speed.md`).
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let count = (processors / 2).clamp(1, WORKERS_MAX);
        let workers = (0..count)
            .map(|number| Worker { number, port, head_max, forwarder: Arc::clone(&forwarder) })
            .map(Worker::start)
            .collect::<io::Result<Vec<_>>>()?;
        let room = Room::new(Limits::of_this_process(settings.connections_per_address));
        let accept = |listener, entrance| {
            let queues = workers.iter().map(WorkerHandle::queue).collect();
            tokio::spawn(accept::accept(listener, entrance, queues, room.clone(), stop.clone()))
        };
        let mut acceptors = vec![accept(plain, Entrance::Plain)];
        acceptors.extend(private.map(|listener| accept(listener, Entrance::Private)));
        acceptors.extend(secret.map(|listener| accept(listener, Entrance::Tls)));
        Ok(Self { stop, acceptors, workers })
    }

    /// Takes no more requests and lets those that are there finish.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        for acceptor in self.acceptors {
            if let Err(error) = acceptor.await {
                tracing::error!(%error, "the proxy ended badly");
            }
        }
        for worker in self.workers {
            worker.ended().await;
        }
    }
}
