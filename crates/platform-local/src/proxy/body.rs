//! Bodies on their way through the proxy: a request's body that can be sent again, and a
//! response's body that keeps its machine busy until the last byte is delivered.

use std::{
    error::Error,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::route::Visit;

/// A body is remembered up to this size, to be sent again to another machine (Fly's limit).
pub(crate) const REPLAY_BYTES_MAX: usize = 1 << 20;

/// The body of an answer to a client.
pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, AnswerError>;

/// Why the body of an answer broke off.
pub(crate) type AnswerError = Box<dyn Error + Send + Sync>;

/// The body of a request, remembered while it passes.
#[derive(Debug, Clone)]
pub(crate) struct ReplayableBody {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    incoming: Incoming,
    /// What has been read, as long as it is not too much.
    remembered: Vec<Bytes>,
    remembered_bytes: usize,
    forgotten: bool,
    ended: bool,
    broken: bool,
    hint: SizeHint,
    /// Counts the attempts: only the newest may read on.
    attempt: u64,
}

impl ReplayableBody {
    pub(crate) fn new(incoming: Incoming) -> Self {
        let shared = Shared {
            ended: incoming.is_end_stream(),
            hint: incoming.size_hint(),
            incoming,
            remembered: Vec::new(),
            remembered_bytes: 0,
            forgotten: false,
            broken: false,
            attempt: 0,
        };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Whether the body can be sent from its beginning.
    pub(crate) fn can_be_sent(&self) -> bool {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        !shared.forgotten && !shared.broken
    }

    /// The body for one attempt; an earlier attempt's body ends with an error if it is read on.
    pub(crate) fn attempt(&self) -> AttemptBody {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.attempt += 1;
        let (empty, hint) = (shared.ended && shared.remembered.is_empty(), shared.hint);
        AttemptBody {
            shared: Arc::clone(&self.shared),
            attempt: shared.attempt,
            next: 0,
            finished: empty,
            hint,
        }
    }
}

/// Why the body of a request broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the client broke off its request: {0}")]
    Client(hyper::Error),
    #[error("the request was sent to another machine")]
    Superseded,
}

/// The body of a request in one attempt to have it answered.
#[derive(Debug)]
pub(crate) struct AttemptBody {
    shared: Arc<Mutex<Shared>>,
    attempt: u64,
    next: usize,
    finished: bool,
    hint: SizeHint,
}

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.finished {
            return Poll::Ready(None);
        }
        let mut shared = this.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.attempt != this.attempt {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        if let Some(piece) = shared.remembered.get(this.next) {
            this.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
        if shared.ended {
            this.finished = true;
            return Poll::Ready(None);
        }
        match Pin::new(&mut shared.incoming).poll_frame(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                shared.ended = true;
                this.finished = true;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                shared.broken = true;
                Poll::Ready(Some(Err(BodyError::Client(error))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                // Trailers are passed on but not remembered.
                if let Some(piece) = frame.data_ref() {
                    shared.remember(piece);
                    this.next = shared.remembered.len();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.finished
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

impl Shared {
    fn remember(&mut self, piece: &Bytes) {
        self.remembered_bytes += piece.len();
        if self.remembered_bytes > REPLAY_BYTES_MAX {
            self.forgotten = true;
            self.remembered = Vec::new();
        }
        if !self.forgotten {
            self.remembered.push(piece.clone());
        }
    }
}

/// The body of a machine's answer. Its visit ends when the body is delivered or dropped.
#[derive(Debug)]
pub(crate) struct VisitingBody {
    incoming: Incoming,
    _visit: Visit,
}

impl VisitingBody {
    pub(crate) fn boxed(incoming: Incoming, visit: Visit) -> AnswerBody {
        Self { incoming, _visit: visit }.map_err(Into::into).boxed_unsync()
    }
}

impl Body for VisitingBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.incoming).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
