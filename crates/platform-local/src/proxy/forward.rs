//! Takes one request to a machine and its answer back: finds a machine, sends, tries another one
//! where that cannot do harm, follows a replay, breaks the answer if a fault says so, and counts.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version, request::Parts};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use super::{
    body::{AnswerBody, ReplayableBody, VisitingBody},
    headers::{self, Sender},
    hold::{self, NoMachine},
    replay::{REPLAYS_MAX, Replay},
    route::{Choice, Instance, Visit},
};
use crate::{
    clock,
    fault::{AnswerStrike, BreakingBody},
    fleet::Fleet,
    identity,
};

/// A machine that has not begun its answer by then is given up; a model's long answer begins well
/// before.
const ANSWER_BEGIN_MAX: Duration = Duration::from_mins(5);

/// A request whose connection broke is tried so often in all.
const BROKEN_MAX: u32 = 3;

/// Answers requests on behalf of the machines of a fleet.
#[derive(Debug)]
pub(crate) struct Forwarder {
    pub(super) fleet: Fleet,
    pub(super) region: String,
    pub(super) port: u16,
    pub(super) hold: Duration,
}

/// A request on its way, over all attempts.
struct Journey {
    id: String,
    app: String,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: ReplayableBody,
    choice: Choice,
    deadline: Instant,
    replays: u32,
    broken: u32,
    refused: bool,
}

/// How an attempt went, if it was not answered.
enum Attempt {
    Answered(Response<AnswerBody>),
    Again,
    Failed(StatusCode, String),
}

impl Forwarder {
    /// Answers a request; whatever goes wrong becomes an answer too.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<AnswerBody> {
        let begun = clock::instant();
        let id = identity::version();
        let (parts, incoming) = request.into_parts();
        let Some(app) = headers::app_of(&parts) else {
            let text = "no app is named\nhint: send the host `APP.localhost`";
            return own_answer(StatusCode::NOT_FOUND, text, &id);
        };
        if !self.fleet.has_app(&app) {
            let text = format!("there is no app `{app}`");
            return own_answer(StatusCode::NOT_FOUND, &text, &id);
        }
        let journey = self.begin(id, app.clone(), parts, ReplayableBody::new(incoming), peer);
        let answer = self.travel(journey).await;
        let took = clock::instant().duration_since(begun);
        self.fleet.metrics().app(&app).answered(answer.status().as_u16(), took);
        answer
    }

    fn begin(
        &self,
        id: String,
        app: String,
        parts: Parts,
        body: ReplayableBody,
        peer: SocketAddr,
    ) -> Journey {
        let mut headers = parts.headers;
        let mut wanted = |name| {
            let value = headers.remove(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let choice = Choice {
            only: wanted(headers::FORCE_INSTANCE),
            prefer: wanted(headers::PREFER_INSTANCE),
            ..Choice::default()
        };
        let sender = Sender { address: peer.ip(), proxy_port: self.port };
        headers::prepare_request(&mut headers, sender, &self.region, &id);
        Journey {
            id,
            app,
            method: parts.method,
            path: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            headers,
            body,
            choice,
            deadline: clock::instant() + self.hold,
            replays: 0,
            broken: 0,
            refused: false,
        }
    }

    async fn travel(&self, mut journey: Journey) -> Response<AnswerBody> {
        loop {
            let found =
                hold::find(&self.fleet, &journey.app, &mut journey.choice, journey.deadline).await;
            let visit = match found {
                Ok(visit) => visit,
                Err(reason) => return no_machine(&journey, reason),
            };
            match self.attempt(&mut journey, visit).await {
                Attempt::Answered(answer) => return answer,
                Attempt::Again => {}
                Attempt::Failed(status, text) => return own_answer(status, &text, &journey.id),
            }
        }
    }

    async fn attempt(&self, journey: &mut Journey, visit: Visit) -> Attempt {
        let instance = visit.instance();
        let request = match journey.request_to(instance) {
            Ok(request) => request,
            Err(error) => {
                return Attempt::Failed(
                    StatusCode::BAD_REQUEST,
                    format!("cannot be sent: {error}"),
                );
            }
        };
        let Some(client) = instance.client() else {
            // It entered an instance whose drain had run out of time; another one takes it.
            journey.choice.excluded.insert(instance.start.clone());
            return Attempt::Again;
        };
        let begun = clock::instant();
        if let Some(delay) = self.fleet.faults().delay_of(instance.target()) {
            clock::pause(delay).await;
        }
        let sent = tokio::time::timeout(ANSWER_BEGIN_MAX, client.request(request)).await;
        let took = clock::instant().duration_since(begun);
        match sent {
            Ok(Ok(answer)) => self.deliver(journey, visit, answer, took),
            Ok(Err(error)) => {
                let cause = if error.is_connect() { "refused" } else { "broken" };
                self.fleet.metrics().app(&journey.app).retried(cause);
                journey.retry(instance, &error)
            }
            Err(_elapsed) => Attempt::Failed(
                StatusCode::GATEWAY_TIMEOUT,
                format!("machine `{}` did not answer in time", instance.machine),
            ),
        }
    }

    fn deliver(
        &self,
        journey: &mut Journey,
        visit: Visit,
        answer: Response<Incoming>,
        took: Duration,
    ) -> Attempt {
        let instance = visit.instance();
        if let Some(value) = answer.headers().get(headers::REPLAY) {
            let replay = Replay::parse(value.to_str().unwrap_or_default());
            return journey.replay(instance, replay, &self.region);
        }
        let machine = instance.machine.clone();
        let digest = instance.image_digest.clone();
        let meter = Arc::clone(&instance.meter);
        let struck = self.fleet.faults().strike_answer(instance.target());
        let (mut parts, incoming) = answer.into_parts();
        let mut answer = if let Some(AnswerStrike::Status(status)) = struck {
            own_answer(status, "this answer was broken on purpose by a fault", &journey.id)
        } else {
            headers::prepare_answer(&mut parts.headers, &journey.id);
            parts.version = Version::HTTP_11;
            Response::from_parts(parts, VisitingBody::boxed(incoming, visit))
        };
        let status = answer.status().as_u16();
        meter.answered(status, took);
        headers::set(answer.headers_mut(), headers::SERVED_BY, &machine);
        headers::set(answer.headers_mut(), headers::SERVED_IMAGE, &digest);
        Attempt::Answered(broken_off(answer, struck))
    }
}

impl Journey {
    fn request_to(
        &self,
        instance: &Instance,
    ) -> Result<Request<super::body::AttemptBody>, http::Error> {
        let uri: Uri = format!("http://{}{}", instance.address, self.path).parse()?;
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(uri)
            .version(Version::HTTP_11)
            .body(self.body.attempt())?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }

    /// Decides what a failure to get any answer means.
    fn retry(&mut self, instance: &Instance, error: &hyper_util::client::legacy::Error) -> Attempt {
        let machine = &instance.machine;
        if self.body.can_be_sent() {
            self.choice.excluded.insert(instance.start.clone());
            if error.is_connect() {
                // Nothing was sent: trying again is safe until the hold ends.
                self.refused = true;
                tracing::debug!(machine, %error, "a machine refused a connection");
                return Attempt::Again;
            }
            self.broken += 1;
            if self.broken < BROKEN_MAX {
                tracing::info!(machine, %error, "a connection broke before the answer began");
                return Attempt::Again;
            }
        }
        let text = format!("machine `{machine}` broke the connection before its answer began");
        Attempt::Failed(StatusCode::BAD_GATEWAY, text)
    }

    fn replay(&mut self, instance: &Instance, replay: Replay, region: &str) -> Attempt {
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
}

fn no_machine(journey: &Journey, reason: NoMachine) -> Response<AnswerBody> {
    let app = &journey.app;
    if journey.refused {
        let text = format!(
            "the machines of `{app}` refuse connections\nhint: does the program listen on 0.0.0.0 and the port that `PORT` names?"
        );
        return own_answer(StatusCode::BAD_GATEWAY, &text, &journey.id);
    }
    let text = match reason {
        NoMachine::Nobody => format!("no machine of `{app}` is started, healthy and uncordoned"),
        NoMachine::TooLate => format!("no machine of `{app}` became ready in time"),
        NoMachine::Crowded => format!("too many requests already wait for machines of `{app}`"),
    };
    own_answer(StatusCode::SERVICE_UNAVAILABLE, &text, &journey.id)
}

/// The answer, with a body that closes the connection if a fault says so.
fn broken_off(answer: Response<AnswerBody>, strike: Option<AnswerStrike>) -> Response<AnswerBody> {
    match strike {
        Some(AnswerStrike::Reset { after_half: true }) => {
            answer.map(|body| BreakingBody::after_half(body).boxed_unsync())
        }
        Some(AnswerStrike::Reset { after_half: false }) => {
            answer.map(|body| BreakingBody::at_once(body).boxed_unsync())
        }
        Some(AnswerStrike::Status(_)) | None => answer,
    }
}

/// An answer that no machine gave.
fn own_answer(status: StatusCode, text: &str, request_id: &str) -> Response<AnswerBody> {
    let body = Full::new(Bytes::from(format!("{text}\n")));
    let body = body.map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let plain = "text/plain; charset=utf-8";
    headers::set(answer.headers_mut(), http::header::CONTENT_TYPE, plain);
    headers::prepare_answer(answer.headers_mut(), request_id);
    answer
}
