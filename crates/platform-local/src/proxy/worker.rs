//! Serves the connections of clients on one thread: finds out what protocol they speak, and
//! answers their requests with the help of the forwarder.

use std::{
    convert::Infallible,
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    thread,
    time::Duration,
};

use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
};
use tokio_rustls::server::TlsStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    accept::Client,
    client_stream::{Activity, ClientStream, IDLE_MAX},
    forward::{Forwarder, Origin},
    handshake::Secured,
    headers::Sender,
    offer::Entrance,
};
use crate::clock;

/// A request's line and headers together.
const HEADER_BYTES_MAX: u32 = 64 << 10;

/// Requests that one HTTP/2 connection carries at once.
const STREAMS_MAX: u32 = 256;

/// An HTTP/2 client that does not answer a ping is gone.
const PING_PERIOD: Duration = Duration::from_secs(30);

/// Between two looks for connections to machines that were kept for nothing.
const TIDY_PERIOD: Duration = Duration::from_secs(1);

/// Between two looks at the first bytes of a client that sends them one by one.
const PREFACE_PERIOD: Duration = Duration::from_millis(5);

/// What an HTTP/2 connection begins with, and no HTTP/1 request does.
const PREFACE: &[u8] = b"PRI ";

/// So long requests may finish when the platform stops.
const FINISH_MAX: Duration = Duration::from_secs(10);

/// A worker.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) port: u16,
    /// The time for a request's head.
    pub(super) head_max: Duration,
    pub(super) forwarder: Arc<Forwarder>,
}

/// A worker that was started.
#[derive(Debug)]
pub(super) struct WorkerHandle {
    queue: UnboundedSender<Client>,
    ended: oneshot::Receiver<()>,
}

impl WorkerHandle {
    /// Where clients are handed to the worker.
    pub(super) fn queue(&self) -> UnboundedSender<Client> {
        self.queue.clone()
    }

    /// Waits until the worker, which was told to stop, has ended.
    pub(super) async fn ended(self) {
        drop(self.queue);
        if self.ended.await.is_err() {
            tracing::error!("a worker of the proxy ended badly");
        }
    }
}

impl Worker {
    /// Starts the worker's thread. It ends when nobody can hand it a client any more.
    pub(super) fn start(self) -> io::Result<WorkerHandle> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (queue, clients) = unbounded_channel();
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name(format!("proxy-{}", self.number)).spawn(move || {
            runtime.block_on(self.work(clients));
            // What is left was broken off; nobody waits for it.
            drop(runtime);
            if end.send(()).is_err() {
                tracing::debug!("nobody waits for the proxy's end");
            }
        })?;
        Ok(WorkerHandle { queue, ended })
    }

    async fn work(self, mut clients: UnboundedReceiver<Client>) {
        let connections = TaskTracker::new();
        // One timer for all turns: a busy worker tidies too.
        let mut tidy = pin!(clock::timer(clock::instant() + TIDY_PERIOD));
        loop {
            tokio::select! {
                client = clients.recv() => match client {
                    Some(client) => drop(connections.spawn(self.clone().serve(client))),
                    None => break,
                },
                () = &mut tidy => {
                    tidy.as_mut().reset((clock::instant() + TIDY_PERIOD).into());
                    self.forwarder.fleet.routes().tidy(self.number);
                }
            }
        }
        connections.close();
        if tokio::time::timeout(FINISH_MAX, connections.wait()).await.is_err() {
            tracing::warn!("requests were broken off because the platform stops");
        }
    }

    async fn serve(self, client: Client) {
        let peer = client.peer;
        let conversed = match client.entrance {
            Entrance::Plain | Entrance::Private => self.converse(client).await,
            // Large, and apart so that it makes no plain connection large.
            Entrance::Tls => Box::pin(self.converse_in_secret(client)).await,
        };
        if let Err(error) = conversed {
            tracing::debug!(%error, %peer, "a client's connection broke");
        }
    }

    async fn converse(self, client: Client) -> Result<(), hyper::Error> {
        let Client { stream, peer, entrance, place } = client;
        let begun = async {
            let stream = TcpStream::from_std(stream)?;
            stream.set_nodelay(true)?;
            let is_http2 = speaks_http2(&stream, self.head_max).await?;
            Ok::<_, io::Error>((stream, is_http2))
        };
        let begun = tokio::select! {
            begun = begun => begun,
            () = self.forwarder.stop.cancelled() => return Ok(()),
        };
        match begun {
            Ok((stream, is_http2)) => {
                let sender = Sender::new(peer.ip(), self.port, entrance);
                self.speak(stream, is_http2, sender, Activity::at(place), end_in_reset).await
            }
            Err(error) => {
                tracing::debug!(%error, %peer, "a client said nothing");
                Ok(())
            }
        }
    }

    async fn converse_in_secret(self, client: Client) -> Result<(), hyper::Error> {
        let Client { stream, peer, place, .. } = client;
        let forwarder = Arc::clone(&self.forwarder);
        let Some(tls) = &forwarder.tls else { return Ok(()) };
        let begun = async {
            let stream = TcpStream::from_std(stream)?;
            stream.set_nodelay(true)?;
            forwarder.shake_hands(tls, stream, self.head_max).await
        };
        let begun = tokio::select! {
            begun = begun => begun,
            () = forwarder.stop.cancelled() => return Ok(()),
        };
        match begun {
            Ok(Secured { stream, is_http2 }) => {
                let sender = Sender::new(peer.ip(), tls.port, Entrance::Tls);
                let reset = |stream: &TlsStream<TcpStream>| end_in_reset(stream.get_ref().0);
                self.speak(stream, is_http2, sender, Activity::at(place), reset).await
            }
            Err(error) => {
                tracing::debug!(%error, %peer, "a handshake failed");
                Ok(())
            }
        }
    }

    /// Answers the requests of one connection.
    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        stream: S,
        is_http2: bool,
        sender: Sender,
        activity: Activity,
        reset: fn(&S),
    ) -> Result<(), hyper::Error> {
        let stop = self.forwarder.stop.clone();
        let activity = Arc::new(activity);
        let head_max = (!is_http2).then_some(self.head_max);
        let stream = ClientStream::new(stream, Arc::clone(&activity), head_max, reset);
        let stream = TokioIo::new(stream);
        let origin = Arc::new(Origin { sender, worker: self.number, activity });
        let forwarder = self.forwarder;
        let service = service_fn(move |request| {
            let (forwarder, origin) = (Arc::clone(&forwarder), Arc::clone(&origin));
            async move { Ok::<_, Infallible>(forwarder.answer(request, &origin).await) }
        });
        if is_http2 {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS_MAX)
                .max_header_list_size(HEADER_BYTES_MAX)
                .keep_alive_interval(PING_PERIOD)
                .serve_connection(stream, service);
            until_stopped(connection, &stop, http2::Connection::graceful_shutdown).await
        } else {
            // At most 100 headers: any other number would cost a table on the heap per request.
            let connection = http1::Builder::new()
                .max_buf_size(HEADER_BYTES_MAX as usize)
                .serve_connection(stream, service)
                .with_upgrades();
            until_stopped(connection, &stop, http1::UpgradeableConnection::graceful_shutdown).await
        }
    }
}

/// Without time to linger, the kernel sends a reset when the connection is closed.
fn end_in_reset(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "a connection ends in order, and not in the reset that was asked");
    }
}

/// Drives a connection, and lets it end after the requests that it has when the proxy stops.
async fn until_stopped<C: Future>(
    connection: C,
    stop: &CancellationToken,
    shut_down: impl Fn(Pin<&mut C>),
) -> C::Output {
    let mut connection = pin!(connection);
    let mut stopped = pin!(stop.cancelled());
    let (mut asked, mut shut) = (false, false);
    std::future::poll_fn(|context| {
        // Once asked it wakes this task; to ask each time would cost a lock for each request.
        if !shut && (!asked || stop.is_cancelled()) {
            asked = true;
            if stopped.as_mut().poll(context).is_ready() {
                shut = true;
                shut_down(connection.as_mut());
            }
        }
        match connection.as_mut().poll(context) {
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Whether a client begins to speak HTTP/2, without taking a byte from it.
async fn speaks_http2(stream: &TcpStream, head_max: Duration) -> io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    let heard = tokio::time::timeout(IDLE_MAX, stream.peek(&mut first)).await;
    let mut count = heard.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))?;
    let deadline = clock::instant() + head_max;
    loop {
        let seen = first.get(..count).unwrap_or_default();
        if count == 0 || seen == PREFACE || !PREFACE.starts_with(seen) {
            return Ok(seen == PREFACE);
        }
        if clock::instant() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Looking takes nothing away, so that readiness says nothing about more bytes.
        clock::pause(PREFACE_PERIOD).await;
        count = stream.peek(&mut first).await?;
    }
}
