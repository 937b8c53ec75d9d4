//! The connections to one machine: kept between requests, one set per worker, so that a worker
//! uses only connections that live on its own thread. Which machine a request goes to is decided
//! elsewhere, and so is whether it may be sent twice.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use machines_api::types::{ConcurrencyType, Port, Service};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::body::AttemptBody;
use crate::{clock, metrics::MachineMeter};

/// The proxy has at most so many workers.
pub(super) const WORKERS_MAX: usize = 8;

/// A connection is kept for so long without a request: shorter than the time after which common
/// servers close theirs, so that the two seldom meet.
const IDLE_MAX: Duration = Duration::from_secs(2);

/// Connections that one worker keeps to one machine. More than this many at once are rare, and
/// cheap to make anew.
const IDLE_COUNT_MAX: usize = 256;

/// A machine on this computer accepts or refuses at once; only a full accept queue takes longer.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Sends requests over one connection that carries one at a time.
pub(super) type Sender = http1::SendRequest<AttemptBody>;

/// How a machine's program wants to be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// HTTP/1.1, over connections that are kept.
    Kept,
    /// HTTP/1.1, a connection for each request: the program counts connections.
    OneEach,
    /// HTTP/2 without TLS, many requests over one connection.
    Http2,
}

impl Manner {
    /// What a service asks for. One of its ports that speaks HTTP/2 decides for all.
    pub(super) fn of(service: &Service) -> Self {
        let speaks_http2 = |port: &Port| {
            port.rest.get("http_options").is_some_and(|options| options["h2_backend"] == true)
        };
        let limits = service.concurrency.as_ref();
        let kind = limits.and_then(|limits| limits.concurrency_type.as_ref());
        if service.ports.iter().any(speaks_http2) {
            Self::Http2
        } else if kind == Some(&ConcurrencyType::Connections) {
            Self::OneEach
        } else {
            Self::Kept
        }
    }
}

/// The connections to one machine.
#[derive(Debug)]
pub(crate) struct Connections {
    address: SocketAddr,
    manner: Manner,
    meter: Arc<MachineMeter>,
    workers: [Mutex<Kept>; WORKERS_MAX],
    /// Set when the machine is asked to stop: no connection is kept or made after that.
    closed: AtomicBool,
    /// Ends the tunnels when the machine is asked to stop.
    gone: CancellationToken,
}

#[derive(Debug, Default)]
struct Kept {
    /// The one that was used last comes last.
    idle: Vec<Idle>,
    http2: Option<http2::SendRequest<AttemptBody>>,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

/// An answer whose body is still to come, and what to give back after it.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) answer: Response<Incoming>,
    pub(super) sender: Option<Sender>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("the machine is going away")]
    Closed,
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The request was not begun to be written.
    #[error("the connection ended before the request was sent: {0}")]
    Unsent(hyper::Error),
    /// The program may have read it.
    #[error("the connection broke: {0}")]
    Broken(hyper::Error),
}

impl SendError {
    /// Whether the machine cannot have seen anything of the request.
    pub(super) fn nothing_was_sent(&self) -> bool {
        !matches!(self, Self::Broken(_))
    }
}

impl Connections {
    pub(super) fn new(address: SocketAddr, manner: Manner, meter: Arc<MachineMeter>) -> Self {
        Self {
            address,
            manner,
            meter,
            workers: std::array::from_fn(|_| Mutex::default()),
            closed: AtomicBool::new(false),
            gone: CancellationToken::new(),
        }
    }

    pub(super) fn manner(&self) -> Manner {
        self.manner
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &self,
        worker: usize,
        mut request: Request<AttemptBody>,
    ) -> Result<Answered, SendError> {
        if self.manner == Manner::Http2 {
            return Box::pin(self.send_http2(worker, request)).await;
        }
        while let Some(mut sender) = self.take(worker) {
            match sender.try_send_request(request).await {
                Ok(answer) => return Ok(Answered { answer, sender: Some(sender) }),
                Err(mut error) => match error.take_message() {
                    // The program closed it while it was idle: the next one may still be open.
                    Some(unsent) => request = unsent,
                    None => return Err(SendError::Broken(error.into_error())),
                },
            }
        }
        // Rare and large, so that it does not make every request large.
        Box::pin(self.send_anew(request)).await
    }

    /// Sends a request over a connection that is made for it.
    async fn send_anew(&self, request: Request<AttemptBody>) -> Result<Answered, SendError> {
        let mut sender = self.connect().await?;
        match sender.try_send_request(request).await {
            Ok(answer) => Ok(Answered { answer, sender: Some(sender) }),
            Err(mut error) => Err(match error.take_message() {
                Some(_unsent) => SendError::Unsent(error.into_error()),
                None => SendError::Broken(error.into_error()),
            }),
        }
    }

    /// Gives a connection back after the last byte of an answer.
    pub(super) fn give_back(&self, worker: usize, sender: Sender) {
        if self.manner != Manner::Kept || !sender.is_ready() {
            // Not ready means that the program has more to say, or has closed it.
            return;
        }
        let mut kept = self.kept(worker);
        if !self.closed.load(SeqCst) && kept.idle.len() < IDLE_COUNT_MAX {
            kept.idle.push(Idle { sender, since: clock::instant() });
        }
    }

    /// Closes the connections that nobody has used for a while.
    pub(super) fn tidy(&self, worker: usize) {
        let now = clock::instant();
        let mut kept = self.kept(worker);
        kept.idle.retain(|idle| is_fresh(idle, now) && !idle.sender.is_closed());
    }

    /// Closes the idle connections and the tunnels, and opens no more.
    pub(super) fn close(&self) {
        self.closed.store(true, SeqCst);
        for worker in &self.workers {
            *worker.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
        }
        self.gone.cancel();
    }

    /// Ends when the machine is asked to stop.
    pub(super) async fn closed(&self) {
        self.gone.cancelled().await;
    }

    fn take(&self, worker: usize) -> Option<Sender> {
        let now = clock::instant();
        let mut kept = self.kept(worker);
        while let Some(idle) = kept.idle.pop() {
            if !is_fresh(&idle, now) {
                // All below it have been idle for even longer.
                kept.idle.clear();
                return None;
            }
            if idle.sender.is_ready() {
                return Some(idle.sender);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Sender, SendError> {
        let stream = self.open().await?;
        // At most 100 headers in an answer: any other number would cost a table on the heap each.
        let made = http1::handshake(stream).await;
        let (sender, connection) = made.map_err(SendError::Unsent)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to a machine broke");
            }
        });
        Ok(sender)
    }

    async fn send_http2(
        &self,
        worker: usize,
        request: Request<AttemptBody>,
    ) -> Result<Answered, SendError> {
        let known = self.kept(worker).http2.clone().filter(|sender| !sender.is_closed());
        let mut sender = match known {
            Some(sender) => sender,
            None => self.connect_http2(worker).await?,
        };
        match sender.try_send_request(request).await {
            Ok(answer) => Ok(Answered { answer, sender: None }),
            Err(mut error) => Err(match error.take_message() {
                Some(_unsent) => SendError::Unsent(error.into_error()),
                None => SendError::Broken(error.into_error()),
            }),
        }
    }

    async fn connect_http2(
        &self,
        worker: usize,
    ) -> Result<http2::SendRequest<AttemptBody>, SendError> {
        let stream = self.open().await?;
        let made = http2::Builder::new(TokioExecutor::new()).handshake(stream).await;
        let (sender, connection) = made.map_err(SendError::Unsent)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a machine broke");
            }
        });
        let mut kept = self.kept(worker);
        if !self.closed.load(SeqCst) {
            kept.http2 = Some(sender.clone());
        }
        Ok(sender)
    }

    async fn open(&self) -> Result<TokioIo<TcpStream>, SendError> {
        if self.closed.load(SeqCst) {
            return Err(SendError::Closed);
        }
        let begun = clock::instant();
        let connected = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(self.address)).await;
        let stream = connected
            .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
            .map_err(SendError::Connect)?;
        self.meter.connected(clock::instant().duration_since(begun));
        stream.set_nodelay(true).map_err(SendError::Connect)?;
        Ok(TokioIo::new(stream))
    }

    fn kept(&self, worker: usize) -> MutexGuard<'_, Kept> {
        let slot = self.workers.get(worker).or(self.workers.first());
        let slot = slot.expect("there is at least one worker");
        slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(idle: &Idle, now: Instant) -> bool {
    now.saturating_duration_since(idle.since) < IDLE_MAX
}
