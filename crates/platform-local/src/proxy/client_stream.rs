//! The client's end of a connection, with patience that has limits: a request's head must arrive
//! in time, a connection without a request does not stay for ever, and a client that takes
//! nothing of an answer is given up. How long a machine may take is not decided here.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::accept::Place;
use crate::clock;

/// A connection without a request is closed after this: longer than common clients keep one, so
/// that the client closes it and never sends into a closing one.
pub(super) const IDLE_MAX: Duration = Duration::from_mins(2);

/// A client that takes no byte of its answer for so long is gone, or means harm.
const TAKE_NOTHING_MAX: Duration = Duration::from_mins(1);

/// What a client reads whose request's head did not arrive in time.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 45\r\n\r\n\
    the request's headers did not arrive in time\n";

/// Counts the requests of one connection. While there is one, the client may be silent.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// The connection's place is free when its stream, its requests and its tunnel have ended.
    _place: Option<Place>,
    begun: AtomicU64,
    ended: AtomicU64,
    /// The connection ends in a reset, and not in order.
    is_reset: AtomicBool,
}

/// A request that is under way on a connection, until its answer is handed over or its tunnel ends.
#[derive(Debug, Default)]
pub(super) struct ActiveRequest(Arc<Activity>);

impl ActiveRequest {
    /// The same request again, for what goes on after its answer.
    pub(super) fn again(&self) -> Self {
        self.0.begin()
    }

    /// Lets the client's connection end in a reset, if it carries one request at a time.
    pub(super) fn reset_connection(&self) {
        self.0.is_reset.store(true, Relaxed);
    }
}

impl Activity {
    /// That of a connection which takes this place.
    pub(super) fn at(place: Place) -> Self {
        Self { _place: Some(place), ..Self::default() }
    }

    pub(super) fn begin(self: &Arc<Self>) -> ActiveRequest {
        self.begun.fetch_add(1, Relaxed);
        ActiveRequest(Arc::clone(self))
    }

    fn begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    fn is_idle(&self) -> bool {
        self.ended.load(Relaxed) == self.begun()
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Relaxed);
    }
}

/// A stream from a client.
#[derive(Debug)]
pub(super) struct ClientStream<S> {
    inner: S,
    activity: Arc<Activity>,
    /// The time for a request's head; none where one connection carries many at once.
    head_max: Option<Duration>,
    /// The requests begun when the stream last began to be idle.
    seen: u64,
    idle_since: Instant,
    head_since: Option<Instant>,
    /// Never set anew for a later time: it looks when it rings.
    timer: Option<Pin<Box<Sleep>>>,
    untaken: Option<Pin<Box<Sleep>>>,
    /// Makes the stream's end a reset.
    reset: fn(&S),
}

impl<S> ClientStream<S> {
    pub(super) fn new(
        inner: S,
        activity: Arc<Activity>,
        head_max: Option<Duration>,
        reset: fn(&S),
    ) -> Self {
        Self {
            inner,
            reset,
            activity,
            head_max,
            seen: 0,
            idle_since: clock::instant(),
            head_since: None,
            timer: None,
            untaken: None,
        }
    }

    /// Over HTTP/2 only the stream is reset, which is the protocol's own affair.
    fn ends_in_reset(&self) -> bool {
        self.head_max.is_some() && self.activity.is_reset.load(Relaxed)
    }

    /// Ready when the client has been silent for too long.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.activity.is_idle() {
            return Poll::Pending;
        }
        let (begun, now) = (self.activity.begun(), clock::instant());
        if begun != self.seen {
            self.seen = begun;
            self.head_since = None;
            self.idle_since = now;
        }
        let head = self.head_since.zip(self.head_max).map(|(since, max)| since + max);
        let deadline = head.unwrap_or(self.idle_since + IDLE_MAX);
        if now >= deadline {
            return Poll::Ready(());
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(clock::timer(deadline)));
        if timer.deadline().into_std() > deadline {
            timer.as_mut().reset(deadline.into());
        }
        while timer.as_mut().poll(context).is_ready() {
            // It was set for an earlier silence.
            timer.as_mut().reset(deadline.into());
        }
        Poll::Pending
    }

    /// Passes a write on, unless nothing was taken for too long.
    fn poll_taken<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.untaken = None;
            return written;
        }
        let ends = || Box::pin(clock::timer(clock::instant() + TAKE_NOTHING_MAX));
        ready!(self.untaken.get_or_insert_with(ends).as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.inner).poll_read(context, buffer);
        if read.is_ready() {
            if buffer.filled().len() > before
                && this.head_since.is_none()
                && this.activity.is_idle()
            {
                this.head_since = Some(clock::instant());
            }
            return read;
        }
        ready!(this.poll_silence(context));
        if this.head_max.is_some() && this.head_since.is_some() {
            // No answer is under way, so that this stands where one is expected. A client that
            // does not take it gets none.
            let told = Pin::new(&mut this.inner).poll_write(context, TOO_SLOW);
            tracing::debug!(?told, "a request's head did not arrive in time");
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.poll_taken(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.poll_taken(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ends_in_reset() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S> Drop for ClientStream<S> {
    fn drop(&mut self) {
        if self.ends_in_reset() {
            (self.reset)(&self.inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn a_head_that_trickles_in_is_answered_408_and_cut() {
        let (mut client, server) = duplex(1024);
        let head_max = Duration::from_millis(50);
        let mut stream = ClientStream::new(server, Arc::default(), Some(head_max), |_| {});
        client.write_all(b"GET / HTT").await.expect("sent");
        let mut buffer = [0; 64];
        assert_eq!(stream.read(&mut buffer).await.expect("read"), 9);
        let error = stream.read(&mut buffer).await.expect_err("cut");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(stream);
        let mut told = String::new();
        client.read_to_string(&mut told).await.expect("told");
        let (head, body) = told.split_once("\r\n\r\n").expect("a whole answer");
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{told}");
    }
}
