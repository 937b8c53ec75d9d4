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
    hold::{Ending, Search},
    replay::{Fallback, REPLAYS_MAX, Replay, Transform},
    replay_cache::{Asked, ReplayCache, Rule, Target},
    route::Instance,
    trouble::{Cause, Trouble},
};
use crate::clock;

/// A request whose connection broke is tried so often in all.
const BROKEN_MAX: u32 = 3;

/// A machine may have its target looked for no longer than that.
const REPLAY_TIMEOUT_MAX: Duration = Duration::from_mins(5);

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
    /// How to get back to the machine that had the request replayed, if it wants that.
    pub(super) way_back: Option<Box<WayBack>>,
    /// Whether the request came back that way.
    pub(super) fell_back: bool,
    /// What the memory of replays had to say.
    pub(super) cached: Cached,
    pub(super) broken: u32,
}

/// The request as it was before its replay, and whose it was.
pub(super) struct WayBack {
    app: String,
    machine: String,
    fallback: Fallback,
    uri: Uri,
    headers: HeaderMap,
    /// The target, in the words of `fly-replay-failed`.
    target: String,
}

/// What became of the look for a decision that was kept.
#[derive(Debug)]
pub(super) enum Cached {
    Nothing,
    /// The client did not want it.
    Skipped,
    /// The request goes where it says; before it was to go here.
    Followed(Box<Target>),
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

    /// Whether the answer may have the request sent to another machine.
    pub(super) fn may_replay(&self) -> Result<(), Cause> {
        if self.fell_back {
            Err(Cause::FallbackReplayed)
        } else if self.replays >= REPLAYS_MAX {
            Err(Cause::ReplayedTooOften)
        } else if self.body.is_too_large_for_replay() {
            Err(Cause::TooLargeForReplay)
        } else {
            Ok(())
        }
    }

    /// Turns the request to where a machine wants it.
    pub(super) fn replay(&mut self, instance: &Instance, replay: Replay, hold: Duration) {
        self.replays += 1;
        let machine = &instance.machine;
        self.way_back = replay.fallback.map(|fallback| {
            Box::new(WayBack {
                app: self.app.clone(),
                machine: machine.clone(),
                fallback,
                uri: self.uri.clone(),
                headers: self.headers.clone(),
                target: target_of(&replay, &self.app),
            })
        });
        let now_micros = clock::now().as_microsecond();
        let source = replay.source(machine, &instance.region, now_micros);
        let status = if matches!(self.cached, Cached::Skipped) { "bypass" } else { "miss" };
        if let Some(transform) = replay.transform {
            self.transform(transform);
        }
        headers::set(&mut self.headers, headers::REPLAY_SOURCE, &source);
        headers::set(&mut self.headers, headers::CACHE_STATUS, status);
        if let Some(app) = replay.app {
            self.app = app;
        }
        let choice = Choice {
            only: replay.instance,
            prefer: replay.prefer_instance,
            regions: replay.regions,
            elsewhere: replay.elsewhere.then(|| machine.clone()),
            ..Choice::default()
        };
        let timeout = replay.timeout.map_or(hold, |timeout| timeout.min(REPLAY_TIMEOUT_MAX));
        self.search_anew(choice, timeout);
        self.cached = Cached::Nothing;
    }

    fn transform(&mut self, transform: Transform) {
        if let Some(path) = transform.path {
            self.uri = path.into();
        }
        for name in transform.delete {
            self.headers.remove(name);
        }
        for (name, value) in transform.set {
            self.headers.insert(name, value);
        }
    }

    /// Looks for another machine, by the same entrance.
    fn search_anew(&mut self, choice: Choice, hold: Duration) {
        let entrance = self.search.choice.entrance;
        self.search = Search::new(Choice { entrance, ..choice }, hold);
    }

    /// Turns the request back to whoever had it replayed, if that is wished; says whether it is.
    pub(super) fn fall_back(&mut self, ending: Ending, hold: Duration) -> bool {
        let Some(way_back) = self.way_back.take() else { return false };
        let WayBack { app, machine, fallback, uri, headers, target } = *way_back;
        let elapsed_ms = self.search.took().as_millis();
        let reason = ending.as_str();
        let failed =
            format!("{target};replay_source={machine};reason={reason};elapsed_ms={elapsed_ms}");
        (self.app, self.uri, self.headers, self.fell_back) = (app, uri, headers, true);
        headers::set(&mut self.headers, headers::REPLAY_FAILED, &failed);
        let choice = match fallback {
            Fallback::ForceSelf => Choice { only: Some(machine), ..Choice::default() },
            Fallback::PreferSelf => Choice { prefer: Some(machine), ..Choice::default() },
        };
        self.search_anew(choice, hold);
        true
    }

    /// What decisions about requests like this one are found by.
    pub(super) fn asked(&self) -> Asked<'_> {
        let host = self.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.and_then(|host| host.split(':').next()).unwrap_or_default();
        Asked { host, path: self.uri.path(), headers: &self.headers }
    }

    /// Goes where requests like this one went, if that is known.
    pub(super) fn follow_cached(&mut self, cache: &ReplayCache, hold: Duration) {
        let Some(found) = cache.find(&self.asked()) else { return };
        let wants_none = self.headers.get(headers::CACHE_CONTROL).is_some_and(|it| it == "skip");
        if wants_none && found.may_be_skipped {
            self.cached = Cached::Skipped;
            return;
        }
        let before = Target {
            app: std::mem::replace(&mut self.app, found.target.app),
            choice: self.search.choice.clone(),
        };
        self.search_anew(found.target.choice, hold);
        headers::set(&mut self.headers, headers::CACHE_STATUS, "hit");
        self.cached = Cached::Followed(Box::new(before));
    }

    /// Forgets a decision that led nowhere, and goes the ordinary way; says whether it was one.
    pub(super) fn leave_cached(&mut self, cache: &ReplayCache, hold: Duration) -> bool {
        let Cached::Followed(before) = std::mem::replace(&mut self.cached, Cached::Nothing) else {
            return false;
        };
        cache.forget(&self.asked());
        self.headers.remove(headers::CACHE_STATUS);
        self.app = before.app;
        self.search_anew(before.choice, hold);
        true
    }

    /// Keeps where the request was turned to.
    pub(super) fn keep(&self, cache: &ReplayCache, rule: &Rule, ttl: Duration) {
        let target = Target { app: self.app.clone(), choice: self.search.choice.clone() };
        cache.keep(&self.asked(), rule, ttl, target);
    }

    pub(super) fn fail(&mut self, status: StatusCode, text: &str) -> Response<AnswerBody> {
        let active = self.active.take().unwrap_or_default();
        own_answer(status, text, self.id.clone(), active)
    }
}

fn target_of(replay: &Replay, app: &str) -> String {
    let instance = replay.instance.as_ref().or(replay.prefer_instance.as_ref());
    let instance = instance.map(|instance| format!("instance={instance};")).unwrap_or_default();
    let app = replay.app.as_deref().unwrap_or(app);
    let regions = replay.regions.join(",");
    let region = if regions.is_empty() { regions } else { format!(";region={regions}") };
    format!("{instance}app={app}{region}")
}
