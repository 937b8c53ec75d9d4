//! What befalls a request to a machine, its program's start, and its health checks.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use http::StatusCode;
use hyper::body::{Body, Frame, SizeHint};

use super::{
    Faults,
    kind::{Kind, Place, ResetWhen, SlowPart, delay},
    scope::Target,
};

/// What befalls an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerStrike {
    Status(StatusCode),
    /// The connection is closed after half of the body, or before anything of the answer.
    Reset {
        after_half: bool,
    },
}

impl Faults {
    /// How much later a request reaches its machine.
    pub(crate) fn delay_of(&self, target: Target<'_>) -> Option<Duration> {
        let mut total = Duration::ZERO;
        for fault in self.at(Place::Request)?.iter() {
            if let Kind::Latency { ms, jitter_ms } = fault.order.kind
                && fault.order.scope.includes(target)
                && fault.strike()
            {
                total += delay(ms + rand::random_range(0..=jitter_ms));
            }
        }
        (total > Duration::ZERO).then_some(total)
    }

    /// What befalls an answer of a machine; the oldest fault that strikes decides.
    pub(crate) fn strike_answer(&self, target: Target<'_>) -> Option<AnswerStrike> {
        self.at(Place::Answer)?.iter().find_map(|fault| {
            let strike = if let Kind::Error { status } = fault.order.kind {
                AnswerStrike::Status(StatusCode::from_u16(status).ok()?)
            } else if let Kind::Reset { when } = fault.order.kind {
                AnswerStrike::Reset { after_half: when == ResetWhen::MidBody }
            } else {
                return None;
            };
            (fault.order.scope.includes(target) && fault.strike()).then_some(strike)
        })
    }

    /// How much later a program is started.
    pub(crate) fn delay_of_start(&self, target: Target<'_>) -> Option<Duration> {
        let mut total = Duration::ZERO;
        for fault in self.at(Place::Start)?.iter() {
            if let Kind::SlowStart { ms, part: SlowPart::Program } = fault.order.kind
                && fault.order.scope.includes(target)
                && fault.strike()
            {
                total += delay(ms);
            }
        }
        (total > Duration::ZERO).then_some(total)
    }

    /// Why a health check of a program that was started so long ago fails, if a fault makes it.
    pub(crate) fn fail_check(
        &self,
        target: Target<'_>,
        check: &str,
        since_start: Duration,
    ) -> Option<String> {
        self.at(Place::Check)?.iter().find_map(|fault| {
            let meant = if let Kind::FailingCheck { check: wanted } = &fault.order.kind {
                wanted.as_ref().is_none_or(|wanted| wanted == check)
            } else if let Kind::SlowStart { ms, .. } = &fault.order.kind {
                since_start < delay(*ms)
            } else {
                false
            };
            let strikes = meant && fault.order.scope.includes(target) && fault.strike();
            let (id, kind) = (&fault.id, fault.order.kind.name());
            strikes.then(|| format!("failed on purpose by fault `{id}` ({kind})"))
        })
    }
}

/// A body that breaks off: after half of what was announced, or after the first piece where no
/// length was. A body that breaks off at once takes the head with it, which has not been sent yet.
#[derive(Debug)]
pub(crate) struct BreakingBody<B> {
    whole: B,
    /// Bytes that may still pass; with none, the next look breaks the body.
    left: u64,
    /// What has passed was given the time to be sent.
    sent: bool,
}

/// Why a body breaks off.
#[derive(Debug, thiserror::Error)]
#[error("a fault closes the connection on purpose")]
pub(crate) struct Broken;

impl<B: Body<Data = Bytes>> BreakingBody<B> {
    pub(crate) fn at_once(whole: B) -> Self {
        Self { whole, left: 0, sent: true }
    }

    pub(crate) fn after_half(whole: B) -> Self {
        // Without a length, one byte of the first piece shows that the body had begun.
        let left = whole.size_hint().exact().map_or(1, |length| length.div_ceil(2).max(1));
        Self { whole, left, sent: false }
    }
}

impl<B> Body for BreakingBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if this.left == 0 {
            if this.sent {
                return Poll::Ready(Some(Err(Broken.into())));
            }
            // One round without news, in which the connection sends what it has.
            this.sent = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match Pin::new(&mut this.whole).poll_frame(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                let Ok(mut data) = frame.into_data() else {
                    this.left = 0;
                    return Poll::Ready(Some(Err(Broken.into())));
                };
                let passes = usize::try_from(this.left).unwrap_or(usize::MAX).min(data.remaining());
                this.left -= passes as u64;
                Poll::Ready(Some(Ok(Frame::data(data.split_to(passes)))))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(Some(Err(Broken.into()))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.whole.size_hint()
    }
}
