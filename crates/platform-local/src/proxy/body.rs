//! Bodies on their way through the proxy: a request's body that can be sent again, and an
//! answer's body that keeps its machine busy until the last byte is delivered.

use std::{
    error::Error,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use super::{client_stream::ActiveRequest, connections::Sender, route::Visit};
use crate::{clock, fault::BreakingBody};

/// A body is remembered up to this size, to be sent again if a connection breaks (Fly's limit).
pub(super) const RETRY_BYTES_MAX: usize = 10 << 20;

/// A request with a larger body is not replayed (Fly's limit).
pub(super) const REPLAY_BYTES_MAX: usize = 1 << 20;

/// What is remembered of all bodies together. Beyond that nothing more is, so that many large
/// bodies at once cost retries and no memory.
const REMEMBERED_BYTES_MAX: usize = 128 << 20;

/// What a piece costs beside its bytes: a client may send them one by one.
const PIECE_OVERHEAD_BYTES: usize = 64;

/// What is remembered at this moment.
static REMEMBERED_BYTES: AtomicUsize = AtomicUsize::new(0);

/// The beginning of a body up to this size is awaited for a moment, so that it goes out together
/// with the head.
const SMALL_BYTES_MAX: u64 = 64 << 10;

/// The body of a request, remembered while it passes.
#[derive(Debug, Clone)]
pub(crate) enum ReplayableBody {
    /// There is none, as with most requests.
    Empty,
    Remembered(Arc<Mutex<Shared>>),
}

#[derive(Debug)]
pub(crate) struct Shared {
    incoming: Incoming,
    /// What has been read, as long as it is not too much.
    remembered: Vec<Bytes>,
    /// Their bytes, and what the pieces cost beside these.
    remembered_bytes: usize,
    /// When the client's last piece came.
    moved: Instant,
    trailers: Option<HeaderMap>,
    forgotten: bool,
    ended: bool,
    fault: Option<ClientFault>,
    hint: SizeHint,
    /// Counts the attempts: only the newest may read on.
    attempt: u64,
    silence_max: Duration,
    silence: Option<Pin<Box<Sleep>>>,
}

/// How a client failed to send its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientFault {
    BrokeOff,
    TooSlow,
}

impl ReplayableBody {
    /// A body whose next piece must come within `silence_max`.
    pub(crate) fn new(incoming: Incoming, silence_max: Duration) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        Self::Remembered(Arc::new(Mutex::new(Shared {
            ended: false,
            hint: incoming.size_hint(),
            incoming,
            remembered: Vec::new(),
            remembered_bytes: 0,
            moved: clock::instant(),
            trailers: None,
            forgotten: false,
            fault: None,
            attempt: 0,
            silence_max,
            silence: None,
        })))
    }

    /// Whether the body can be sent from its beginning.
    pub(crate) fn can_be_sent(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Remembered(shared) => {
                let shared = lock(shared);
                !shared.forgotten && shared.fault.is_none()
            }
        }
    }

    /// Whether it is larger than what is replayed, as far as that is known.
    pub(crate) fn is_too_large_for_replay(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Remembered(shared) => {
                let shared = lock(shared);
                let announced = usize::try_from(shared.hint.lower()).unwrap_or(usize::MAX);
                let remembered: usize = shared.remembered.iter().map(Bytes::len).sum();
                shared.forgotten || announced.max(remembered) > REPLAY_BYTES_MAX
            }
        }
    }

    /// When the last piece of it came; none if there is no body.
    pub(crate) fn moved(&self) -> Option<Instant> {
        match self {
            Self::Empty => None,
            Self::Remembered(shared) => Some(lock(shared).moved),
        }
    }

    /// How the client failed, if it did.
    pub(crate) fn fault(&self) -> Option<ClientFault> {
        match self {
            Self::Empty => None,
            Self::Remembered(shared) => lock(shared).fault,
        }
    }

    /// The body for one attempt; an earlier attempt's body ends with an error if it is read on.
    pub(crate) fn attempt(&self) -> AttemptBody {
        let Self::Remembered(shared) = self else { return AttemptBody::Empty };
        let mut inside = lock(shared);
        inside.attempt += 1;
        AttemptBody::Remembered {
            attempt: inside.attempt,
            hint: inside.hint,
            shared: Arc::clone(shared),
            next: 0,
            finished: false,
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why the body of a request broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the client broke off its request: {0}")]
    Client(hyper::Error),
    #[error("the client stopped sending its request")]
    TooSlow,
    #[error("the request was sent to another machine")]
    Superseded,
}

/// The body of a request in one attempt to have it answered.
#[derive(Debug)]
pub(crate) enum AttemptBody {
    Empty,
    Remembered {
        shared: Arc<Mutex<Shared>>,
        attempt: u64,
        next: usize,
        finished: bool,
        hint: SizeHint,
    },
}

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Remembered { shared, attempt, next, finished, hint: _ } = &mut *self else {
            return Poll::Ready(None);
        };
        if *finished {
            return Poll::Ready(None);
        }
        let mut shared = lock(shared);
        if shared.attempt != *attempt {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        if let Some(piece) = shared.remembered.get(*next) {
            *next += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
        if shared.ended {
            *finished = true;
            let trailers = shared.trailers.clone();
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        match Pin::new(&mut shared.incoming).poll_frame(context) {
            Poll::Pending => shared.poll_silence(context).map(|()| Some(Err(BodyError::TooSlow))),
            Poll::Ready(None) => {
                shared.ended = true;
                *finished = true;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                shared.fault = Some(ClientFault::BrokeOff);
                Poll::Ready(Some(Err(BodyError::Client(error))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                shared.silence = None;
                shared.moved = clock::instant();
                if let Some(trailers) = frame.trailers_ref() {
                    shared.trailers = Some(trailers.clone());
                    shared.ended = true;
                    *finished = true;
                } else if let Some(piece) = frame.data_ref() {
                    shared.remember(piece);
                    *next = shared.remembered.len();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Remembered { finished, .. } => *finished,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Remembered { hint, .. } => *hint,
        }
    }
}

impl Shared {
    fn remember(&mut self, piece: &Bytes) {
        if self.forgotten {
            return;
        }
        let cost = piece.len() + PIECE_OVERHEAD_BYTES;
        self.remembered_bytes += cost;
        let in_all = REMEMBERED_BYTES.fetch_add(cost, Relaxed) + cost;
        if self.remembered_bytes > RETRY_BYTES_MAX || in_all > REMEMBERED_BYTES_MAX {
            self.forget();
        } else {
            self.remembered.push(piece.clone());
        }
    }

    fn forget(&mut self) {
        self.forgotten = true;
        self.remembered = Vec::new();
        REMEMBERED_BYTES.fetch_sub(std::mem::take(&mut self.remembered_bytes), Relaxed);
    }

    /// Ready when the client has sent nothing for too long.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let silence_max = self.silence_max;
        let ends = || Box::pin(clock::timer(clock::instant() + silence_max));
        let over = self.silence.get_or_insert_with(ends).as_mut().poll(context);
        if over.is_ready() {
            self.fault = Some(ClientFault::TooSlow);
        }
        over
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Why the body of an answer broke off.
pub(crate) type AnswerError = Box<dyn Error + Send + Sync>;

/// The body of an answer to a client. The request is under way until it is delivered or dropped.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    source: Source,
    active: ActiveRequest,
}

#[derive(Debug)]
enum Source {
    Own(Option<Bytes>),
    Machine(Box<MachineBody>),
    /// Broken off by a fault.
    Broken(Box<BreakingBody<AnswerBody>>),
}

/// The body of a machine's answer. Its visit ends when the body is delivered or dropped, and its
/// connection is given back if it was delivered whole.
#[derive(Debug)]
pub(crate) struct MachineBody {
    incoming: Incoming,
    first: Option<Frame<Bytes>>,
    sender: Option<Sender>,
    worker: usize,
    visit: Visit,
}

impl AnswerBody {
    /// A body that the proxy itself wrote.
    pub(super) fn own(text: Bytes, active: ActiveRequest) -> Self {
        Self { source: Source::Own(Some(text)), active }
    }

    /// The same body, closing the connection on the way.
    pub(super) fn broken_off(self, after_half: bool) -> Self {
        let active = self.active.again();
        let body =
            if after_half { BreakingBody::after_half(self) } else { BreakingBody::at_once(self) };
        Self { source: Source::Broken(Box::new(body)), active }
    }

    pub(super) fn of_machine(body: MachineBody, active: ActiveRequest) -> Self {
        Self { source: Source::Machine(Box::new(body)), active }
    }
}

impl MachineBody {
    pub(super) fn new(
        incoming: Incoming,
        sender: Option<Sender>,
        worker: usize,
        visit: Visit,
    ) -> Self {
        let mut body = Self { incoming, first: None, sender, worker, visit };
        body.give_back_at_end();
        body
    }

    /// Waits for the beginning of a small body, for no longer than the machine's connection needs
    /// to pass on what has arrived already. A body that streams is not waited for.
    pub(super) async fn begin(&mut self) -> Result<(), hyper::Error> {
        if self.incoming.size_hint().exact().is_none_or(|size| size == 0 || size > SMALL_BYTES_MAX)
        {
            return Ok(());
        }
        let mut asked = false;
        let frame = std::future::poll_fn(|context| {
            match Pin::new(&mut self.incoming).poll_frame(context) {
                Poll::Ready(frame) => Poll::Ready(frame),
                Poll::Pending if asked => Poll::Ready(None),
                Poll::Pending => {
                    // To the end of the worker's queue: the connection is before it.
                    asked = true;
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        });
        self.first = frame.await.transpose()?;
        self.give_back_at_end();
        Ok(())
    }

    fn give_back_at_end(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(sender) = self.sender.take()
        {
            self.visit.instance().connections().give_back(self.worker, sender);
        }
    }
}

impl Body for MachineBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let frame = Pin::new(&mut self.incoming).poll_frame(context);
        match &frame {
            Poll::Ready(Some(Err(_))) => self.sender = None,
            Poll::Ready(None) => {
                if let Some(sender) = self.sender.take() {
                    self.visit.instance().connections().give_back(self.worker, sender);
                }
            }
            Poll::Ready(Some(Ok(_))) => self.give_back_at_end(),
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.first.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len) as u64;
        let rest = self.incoming.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + held);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        match &mut self.source {
            Source::Own(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Source::Machine(body) => {
                Pin::new(body.as_mut()).poll_frame(context).map_err(Into::into)
            }
            Source::Broken(body) => Pin::new(body.as_mut()).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(text) => text.as_ref().is_none_or(Bytes::is_empty),
            Source::Machine(body) => body.is_end_stream(),
            Source::Broken(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Source::Machine(body) => body.size_hint(),
            Source::Broken(body) => body.size_hint(),
        }
    }
}
