//! An agent service with an approval queue: customers' messages come in by Chatwoot's webhook, a
//! draft is made from what the knowledge server finds, a person decides, the reply is sent once.
//!
//! `run` is the whole service; the modules below are its parts, in the order in which a message
//! meets them.

pub mod settings;

mod approvals;
mod audit;
mod chatwoot;
mod client;
mod clock;
mod drafting;
mod http;
mod intake;
mod knowledge;
mod metrics;
mod outbox;
mod queue;
mod shutdown;
mod storage;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::approvals::Channel;
use crate::metrics::Metrics;
use crate::settings::{DRAIN_TIMEOUT, Settings};
use crate::storage::Storage;

/// What the parts of the service share.
#[derive(Debug)]
struct Service {
    settings: Settings,
    storage: Storage,
    metrics: Metrics,
    /// A message came in: there may be a draft to make.
    new_message: Notify,
    /// An item was approved: there is a reply to send.
    new_reply: Notify,
    stopping: CancellationToken,
}

impl Service {
    /// By which way this service's replies leave.
    fn channel(&self) -> Channel {
        if self.settings.chatwoot.is_some() { Channel::Chatwoot } else { Channel::Log }
    }
}

/// Why the service didn't start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("can't listen for signals: {0}")]
    Signals(std::io::Error),
    #[error(
        "can't listen on port {port}: {source}\nhint: another process may have it; set `PORT` to a free one"
    )]
    Listen { port: u16, source: std::io::Error },
    #[error(transparent)]
    Storage(Box<dyn std::error::Error + Send + Sync>),
    #[error("can't make an HTTP client: {0}")]
    Client(reqwest::Error),
}

/// Runs the service until SIGTERM or SIGINT, then finishes what has begun, within
/// [`DRAIN_TIMEOUT`].
pub async fn run(settings: Settings) -> Result<(), RunError> {
    let stopping = shutdown::on_signal().map_err(RunError::Signals)?;
    let storage = Storage::open(&settings.data_dir).await;
    let storage = storage.map_err(|error| RunError::Storage(Box::new(error)))?;
    let service = Arc::new(Service {
        settings,
        storage,
        metrics: Metrics::new(),
        new_message: Notify::new(),
        new_reply: Notify::new(),
        stopping: stopping.clone(),
    });
    let worker = drafting::worker::Worker::new(service.clone()).map_err(RunError::Client)?;
    let sender = outbox::Sender::new(service.clone()).map_err(RunError::Client)?;
    let port = service.settings.port;
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let failed = |source| RunError::Listen { port, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    tell_start(&service, address);

    let drained = stopping.clone().cancelled_owned();
    let server = axum::serve(listener, http::router(service.clone()));
    let server = tokio::spawn(async move { server.with_graceful_shutdown(drained).await });
    let worker = tokio::spawn(worker.run());
    let sender = tokio::spawn(sender.run());
    stopping.cancelled().await;
    let parts = futures::future::join3(server, worker, sender);
    match tokio::time::timeout(DRAIN_TIMEOUT, parts).await {
        Ok(_ended) => tracing::info!("stopped"),
        Err(_elapsed) => tracing::warn!("stopped before everything that had begun was finished"),
    }
    // What is cut off here is in the database; a close that hangs must not hold the exit.
    let closing = service.storage.close();
    if tokio::time::timeout(DRAIN_TIMEOUT / 10, closing).await.is_err() {
        tracing::warn!("the database was busy at the end");
    }
    Ok(())
}

fn tell_start(service: &Service, address: SocketAddr) {
    let Service { settings, .. } = service;
    tracing::info!(
        %address,
        version = settings.service_version,
        data_dir = %settings.data_dir.display(),
        knowledge = settings.knowledge.url,
        replies_by = service.channel().name(),
        drafts_by = if settings.chat.is_some() { "chat" } else { "extractive" },
        "listening"
    );
    if settings.webhook_secrets.is_empty() {
        tracing::warn!("webhooks aren't checked: `CHATWOOT_WEBHOOK_SECRET` isn't set");
    }
    if settings.api_token.is_none() {
        tracing::warn!("approvals are open to everybody: `API_TOKEN` isn't set");
    }
}
