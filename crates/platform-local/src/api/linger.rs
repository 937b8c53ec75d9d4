//! A client's connection that is closed in the middle of a request: what the client still sends is
//! read and forgotten for a while. Closed at once, the kernel would answer it with a reset, by
//! which the client loses the answer that it was just sent. One that takes nothing of its answer is
//! given up after a time.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};

use crate::clock;

/// Bytes that are read and forgotten: more than a mistaken upload has, and little work.
const BYTES_MAX: usize = 256 << 20;

/// How long a client may go on sending.
const TIME_MAX: Duration = Duration::from_secs(10);

/// A client that sends nothing for so long has read its answer, or never will.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// Whether the last answer on a connection was given before its request was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Unread(Arc<AtomicBool>);

impl Unread {
    pub(super) fn set(&self, is_unread: bool) {
        self.0.store(is_unread, Relaxed);
    }
}

/// A connection that lingers when it is closed, if something was left unread, and that breaks off
/// when the client takes nothing of what is sent for too long.
#[derive(Debug)]
pub(super) struct LingeringStream {
    inner: TcpStream,
    unread: Unread,
    pause_max: Duration,
    /// Runs while the client takes nothing.
    pausing: Option<Pin<Box<Sleep>>>,
    closing: Option<Closing>,
}

#[derive(Debug)]
struct Closing {
    bytes_left: usize,
    end: Pin<Box<Sleep>>,
    silence: Pin<Box<Sleep>>,
}

impl LingeringStream {
    pub(super) fn new(inner: TcpStream, unread: Unread, pause_max: Duration) -> Self {
        Self { inner, unread, pause_max, pausing: None, closing: None }
    }

    /// What came of sending; an error, if nothing could be sent for too long.
    fn sent(
        &mut self,
        context: &mut Context<'_>,
        sent: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if sent.is_ready() {
            self.pausing = None;
            return sent;
        }
        let pausing = self
            .pausing
            .get_or_insert_with(|| Box::pin(clock::timer(clock::instant() + self.pause_max)));
        pausing.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Ready when the client is done, or has had its time.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let closing = self.closing.get_or_insert_with(|| {
            let now = clock::instant();
            Closing {
                bytes_left: BYTES_MAX,
                end: Box::pin(clock::timer(now + TIME_MAX)),
                silence: Box::pin(clock::timer(now + SILENCE_MAX)),
            }
        });
        let mut piece = [0; 16 << 10];
        while closing.bytes_left > 0 && closing.end.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut piece);
            match Pin::new(&mut self.inner).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    closing.bytes_left = closing.bytes_left.saturating_sub(buffer.filled().len());
                    closing.silence.as_mut().reset((clock::instant() + SILENCE_MAX).into());
                }
                Poll::Ready(_ended) => break,
                Poll::Pending => return closing.silence.as_mut().poll(context),
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for LingeringStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for LingeringStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.sent(context, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.sent(context, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closing.is_none() {
            ready!(Pin::new(&mut self.inner).poll_shutdown(context))?;
        }
        if self.unread.0.load(Relaxed) {
            ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn a_client_that_takes_nothing_of_its_answer_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let client = TcpStream::connect(address).await.expect("connected");
        let (stream, _) = listener.accept().await.expect("accepted");
        let pause_max = Duration::from_millis(50);
        let mut stream = LingeringStream::new(stream, Unread::default(), pause_max);
        let piece = vec![0; 64 << 10];
        let error = loop {
            if let Err(error) = stream.write_all(&piece).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }
}
