//! A request on its way through the proxy, over all attempts: what is sent to a machine, and what
//! each way to fail means. Machines are found and asked elsewhere.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use hyper::upgrade::OnUpgrade;

use super::{
    body::{AnswerBody, AttemptBody, ClientFault, ReplayableBody},
    choice::Choice,
    client_stream::ActiveRequest,
    connections::{Manner, SendError},
    forward::own_answer,
    headers,
    hold::Search,
    replay::{REPLAYS_MAX, Replay},
    route::Instance,
    trouble::{Cause, Trouble},
};
use crate::clock;

/// A request whose connection broke is tried so often in all.
const BROKEN_MAX: u32 = 3;

/// A request on its way, over all attempts.
pub(super) struct Journey {
    pub(super) id: HeaderValue,
    pub(super) app: String,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: ReplayableBody,
    /// The client's end, if the request asks for another protocol.
    pub(super) upgrade: Option<OnUpgrade>,
    pub(super) search: Search,
    pub(super) worker: usize,
    pub(super) active: Option<ActiveRequest>,
    pub(super) replays: u32,
    pub(super) broken: u32,
}

/// How an attempt went, if it was not answered.
pub(super) enum Attempt {
    Answered(Response<AnswerBody>),
    Again,
    /// The client did something wrong.
    Refused(StatusCode, &'static str),
    Failed(Trouble),
}

impl Journey {
    pub(super) fn request_to(
        &self,
        instance: &Instance,
    ) -> Result<Request<AttemptBody>, http::Error> {
        let mut request = Request::new(self.body.attempt());
        *request.method_mut() = self.method.clone();
        let path = self.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        *request.uri_mut() = match instance.connections().manner() {
            Manner::Http2 => {
                let host = self.headers.get(header::HOST).and_then(|host| host.to_str().ok());
                Uri::builder()
                    .scheme("http")
                    .authority(host.unwrap_or("localhost"))
                    .path_and_query(path)
                    .build()?
            }
            Manner::Kept | Manner::OneEach if self.uri.authority().is_none() => self.uri.clone(),
            Manner::Kept | Manner::OneEach => path.parse()?,
        };
        *request.headers_mut() = self.headers.clone();
        if instance.connections().manner() == Manner::Http2 {
            *request.version_mut() = Version::HTTP_2;
            request.headers_mut().remove(header::HOST);
        }
        if let Some(preferred) = &self.search.choice.prefer
            && *preferred != instance.machine
        {
            headers::set(request.headers_mut(), headers::PREFERRED_UNAVAILABLE, preferred);
        }
        Ok(request)
    }

    /// Decides what a failure to get any answer means. What a machine may have read is sent again
    /// only if doing it twice is as good as doing it once.
    pub(super) fn retry(&mut self, instance: &Instance, error: &SendError) -> Attempt {
        let machine = &instance.machine;
        match self.body.fault() {
            Some(ClientFault::TooSlow) => {
                let text = "the request's body did not arrive in time";
                return Attempt::Refused(StatusCode::REQUEST_TIMEOUT, text);
            }
            Some(ClientFault::BrokeOff) => {
                return Attempt::Refused(StatusCode::BAD_REQUEST, "the request's body broke off");
            }
            None => {}
        }
        let trouble = Trouble::of_connection(instance, error);
        if !error.nothing_was_sent() {
            self.broken += 1;
            if !self.may_be_done_twice() || self.broken >= BROKEN_MAX {
                return Attempt::Failed(trouble);
            }
        }
        if !self.body.can_be_sent() {
            return Attempt::Failed(Trouble::of_machine(machine, Cause::TooLargeForRetry));
        }
        if error.nothing_was_sent() {
            // Trying again is safe until the hold ends.
            tracing::debug!(machine, %error, "a machine refused a connection");
            self.search.note_refusal(instance, trouble);
        } else {
            tracing::info!(machine, %error, "a connection broke before the answer began");
            self.search.pass_over(instance);
        }
        Attempt::Again
    }

    fn may_be_done_twice(&self) -> bool {
        self.method.is_idempotent() || self.headers.contains_key(headers::IDEMPOTENCY_KEY)
    }

    pub(super) fn replay(
        &mut self,
        instance: &Instance,
        replay: Replay,
        hold: Duration,
    ) -> Attempt {
        let machine = instance.machine.clone();
        if self.replays >= REPLAYS_MAX {
            return Attempt::Failed(Trouble::of_machine(&machine, Cause::ReplayedTooOften));
        }
        if self.body.is_too_large_for_replay() {
            return Attempt::Failed(Trouble::of_machine(&machine, Cause::TooLargeForReplay));
        }
        self.replays += 1;
        let now_micros = clock::now().as_microsecond();
        let source = replay.source(&machine, &instance.region, now_micros);
        headers::set(&mut self.headers, headers::REPLAY_SOURCE, &source);
        if let Some(app) = replay.app {
            self.app = app;
        }
        let choice = Choice {
            only: replay.instance,
            prefer: replay.prefer_instance,
            elsewhere: replay.elsewhere.then_some(machine),
            ..Choice::default()
        };
        self.search = Search::new(choice, hold);
        Attempt::Again
    }

    pub(super) fn fail(&mut self, status: StatusCode, text: &str) -> Response<AnswerBody> {
        let active = self.active.take().unwrap_or_default();
        own_answer(status, text, self.id.clone(), active)
    }
}
