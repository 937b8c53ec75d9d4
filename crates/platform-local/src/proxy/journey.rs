//! A request on its way through the proxy, over all attempts: what is sent to a machine, and what
//! each way to fail means. Machines are found and asked elsewhere.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use hyper::upgrade::OnUpgrade;

use super::{
    body::{AnswerBody, AttemptBody, ClientFault, ReplayableBody},
    client_stream::ActiveRequest,
    connections::{Manner, SendError},
    forward::own_answer,
    headers,
    hold::NoMachine,
    replay::{REPLAYS_MAX, Replay},
    route::{Choice, Instance},
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
    pub(super) choice: Choice,
    pub(super) deadline: Instant,
    pub(super) worker: usize,
    pub(super) active: Option<ActiveRequest>,
    pub(super) replays: u32,
    pub(super) broken: u32,
    /// The age of the program that refused the last connection.
    pub(super) refused_at_age: Option<Duration>,
}

/// How an attempt went, if it was not answered.
pub(super) enum Attempt {
    Answered(Response<AnswerBody>),
    Again,
    Failed(StatusCode, String),
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
        if let Some(preferred) = &self.choice.prefer
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
                let text = "the request's body did not arrive in time".to_owned();
                return Attempt::Failed(StatusCode::REQUEST_TIMEOUT, text);
            }
            Some(ClientFault::BrokeOff) => {
                let text = "the request's body broke off".to_owned();
                return Attempt::Failed(StatusCode::BAD_REQUEST, text);
            }
            None => {}
        }
        if self.body.can_be_sent() {
            self.choice.excluded.insert(instance.start.clone());
            if error.nothing_was_sent() {
                // Trying again is safe until the hold ends.
                self.refused_at_age = Some(instance.age());
                tracing::debug!(machine, %error, "a machine refused a connection");
                return Attempt::Again;
            }
            self.broken += 1;
            if self.may_be_done_twice() && self.broken < BROKEN_MAX {
                tracing::info!(machine, %error, "a connection broke before the answer began");
                return Attempt::Again;
            }
        }
        let text = format!("machine `{machine}` broke the connection before its answer began");
        Attempt::Failed(StatusCode::BAD_GATEWAY, text)
    }

    fn may_be_done_twice(&self) -> bool {
        self.method.is_idempotent() || self.headers.contains_key(headers::IDEMPOTENCY_KEY)
    }

    pub(super) fn replay(&mut self, instance: &Instance, replay: Replay, region: &str) -> Attempt {
        if self.replays >= REPLAYS_MAX {
            let text = format!("the request was replayed more than {REPLAYS_MAX} times");
            return Attempt::Failed(StatusCode::BAD_GATEWAY, text);
        }
        if !self.body.can_be_sent() {
            let text = "the request's body is too large to be replayed".to_owned();
            return Attempt::Failed(StatusCode::BAD_GATEWAY, text);
        }
        self.replays += 1;
        let source = replay.source(&instance.machine, region, clock::now().as_microsecond());
        headers::set(&mut self.headers, headers::REPLAY_SOURCE, &source);
        if let Some(app) = replay.app {
            self.app = app;
        }
        self.choice = Choice {
            only: replay.instance,
            prefer: replay.prefer_instance,
            elsewhere: replay.elsewhere.then(|| instance.machine.clone()),
            ..Choice::default()
        };
        Attempt::Again
    }

    pub(super) fn no_machine(&self, reason: &NoMachine) -> Attempt {
        let app = &self.app;
        if self.refused_at_age.is_some() {
            let text = format!(
                "the machines of `{app}` refuse connections\nhint: does the program listen on 0.0.0.0 and the port that `PORT` names?"
            );
            return Attempt::Failed(StatusCode::BAD_GATEWAY, text);
        }
        let text = match reason {
            NoMachine::Nobody => {
                format!("no machine of `{app}` is started, healthy and uncordoned")
            }
            NoMachine::TooLate => format!("no machine of `{app}` became ready in time"),
            NoMachine::Full(instance) => format!(
                "the machines of `{app}` are at their hard limit, such as `{}`",
                instance.machine
            ),
            NoMachine::Crowded => {
                format!("too many requests already wait for machines of `{app}`")
            }
        };
        Attempt::Failed(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    pub(super) fn fail(&mut self, status: StatusCode, text: &str) -> Response<AnswerBody> {
        let active = self.active.take().unwrap_or_default();
        own_answer(status, text, self.id.clone(), active)
    }
}
