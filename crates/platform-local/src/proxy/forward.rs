//! Takes one request to a machine and its answer back: finds a machine, sends, tries another one
//! where that cannot do harm, follows a replay, breaks the answer if a fault says so, and counts.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http::{header, request::Parts};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{
    body::{AnswerBody, MachineBody, ReplayableBody},
    choice::Choice,
    client_stream::{ActiveRequest, Activity},
    connections::{Answered, SendError},
    handshake::Tls,
    headers::{self, Sender},
    hold::{self, Fruitless, Search},
    journey::{Attempt, Cached, Journey},
    offer::Entrance,
    region, replay,
    replay_cache::ReplayCache,
    route::Visit,
    trouble::{Cause, Trouble},
    tunnel,
};
use crate::{
    clock,
    fault::AnswerStrike,
    fleet::{Fleet, Machine},
    identity,
    log::{Level, NewLine, Provider},
};

/// A machine that has not begun its answer by then is given up; a model's long answer begins well
/// before.
const ANSWER_BEGIN_MAX: Duration = Duration::from_mins(5);

/// Answers requests on behalf of the machines of a fleet.
#[derive(Debug)]
pub(crate) struct Forwarder {
    pub(super) fleet: Fleet,
    /// The TLS port, if there is one.
    pub(super) tls: Option<Tls>,
    pub(super) region_value: HeaderValue,
    pub(super) hold: Duration,
    /// A client's body may pause for so long.
    pub(super) body_silence_max: Duration,
    pub(super) replay_cache: ReplayCache,
    /// Where the fleet does its work; requests are answered elsewhere.
    pub(super) runtime: Handle,
    /// Set when the proxy stops: tunnels end, for they would not end by themselves.
    pub(super) stop: CancellationToken,
}

/// What all requests of one connection have in common.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) sender: Sender,
    pub(super) worker: usize,
    pub(super) activity: Arc<Activity>,
}

impl Forwarder {
    /// Answers a request; whatever goes wrong becomes an answer too.
    pub(super) async fn answer(
        &self,
        mut request: Request<Incoming>,
        origin: &Origin,
    ) -> Response<AnswerBody> {
        let begun = clock::instant();
        let active = origin.activity.begin();
        let id = request_id();
        let upgrade = request.extensions_mut().remove::<OnUpgrade>();
        let (parts, incoming) = request.into_parts();
        let Some(app) = headers::host_of(&parts).and_then(headers::app_of) else {
            let text = "no app is named\nhint: send the host `APP.localhost`";
            return own_answer(StatusCode::NOT_FOUND, text, id, active);
        };
        if !self.fleet.has_app(&app) {
            let text = format!("there is no app `{app}`");
            return own_answer(StatusCode::NOT_FOUND, &text, id, active);
        }
        if let Some(answer) = self.send_to_tls(&app, &parts, origin, &id, &active) {
            return answer;
        }
        let app = app.into_owned();
        let body = ReplayableBody::new(incoming, self.body_silence_max);
        let upgrade = upgrade.filter(|_| headers::asks_for_upgrade(&parts));
        let mut journey = self.begin(id, app.clone(), parts, body, upgrade, origin, active);
        if !self.replay_cache.is_empty() && journey.search.choice.is_free() {
            journey.follow_cached(&self.replay_cache, self.hold);
        }
        let answer = self.travel(journey).await;
        let took = clock::instant().duration_since(begun);
        self.fleet.metrics().app(&app).answered(answer.status().as_u16(), took);
        answer
    }

    /// The answer to a request by the plain port to an app that wants TLS, whatever it asks for:
    /// its client shall come again by the TLS port, if there is one.
    fn send_to_tls(
        &self,
        app: &str,
        parts: &Parts,
        origin: &Origin,
        id: &HeaderValue,
        active: &ActiveRequest,
    ) -> Option<Response<AnswerBody>> {
        let tls = self.tls.as_ref().filter(|_| origin.sender.entrance == Entrance::Plain)?;
        let forces_https = self.fleet.routes().forces_https(app);
        if !forces_https.unwrap_or_else(|| self.fleet.forces_https(app)) {
            return None;
        }
        let address = headers::https_address(parts, tls.port)?;
        let (status, text) = (StatusCode::MOVED_PERMANENTLY, "this app is served by https only");
        let mut answer = own_answer(status, text, id.clone(), active.again());
        answer.headers_mut().insert(header::LOCATION, address);
        self.fleet.metrics().app(app).answered(status.as_u16(), Duration::ZERO);
        Some(answer)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a journey, each used once")]
    fn begin(
        &self,
        id: HeaderValue,
        app: String,
        parts: Parts,
        body: ReplayableBody,
        upgrade: Option<OnUpgrade>,
        origin: &Origin,
        active: ActiveRequest,
    ) -> Journey {
        let (version, mut headers) = (parts.version, parts.headers);
        let mut wanted = |name| {
            let value = headers.remove(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let choice = Choice {
            entrance: origin.sender.entrance,
            only: wanted(headers::FORCE_INSTANCE),
            prefer: wanted(headers::PREFER_INSTANCE),
            regions: regions(wanted(headers::FORCE_REGION), wanted(headers::PREFER_REGION)),
            ..Choice::default()
        };
        headers::prepare_request(
            &mut headers,
            version,
            &origin.sender,
            &self.region_value,
            &id,
            upgrade.is_some(),
        );
        if let Some(host) = parts.uri.authority()
            && let Ok(host) = HeaderValue::from_str(host.as_str())
        {
            headers.insert(header::HOST, host);
        }
        Journey {
            id,
            app,
            method: parts.method,
            uri: parts.uri,
            headers,
            body,
            upgrade,
            search: Search::new(choice, self.hold),
            worker: origin.worker,
            active: Some(active),
            replays: 0,
            way_back: None,
            fell_back: false,
            cached: Cached::Nothing,
            broken: 0,
        }
    }

    async fn travel(&self, mut journey: Journey) -> Response<AnswerBody> {
        loop {
            let Journey { app, search, .. } = &mut journey;
            let attempt = match hold::find(self, app, search).await {
                Ok(visit) => self.attempt(&mut journey, visit).await,
                Err(fruitless) => self.turn_back(&mut journey, fruitless),
            };
            match attempt {
                Attempt::Answered(answer) => return answer,
                Attempt::Again => {}
                Attempt::Refused(status, text) => return journey.fail(status, text),
                Attempt::Failed(trouble) => {
                    self.complain(&journey.app, &trouble);
                    return journey.fail(trouble.status(), &trouble.answer());
                }
            }
        }
    }

    async fn attempt(&self, journey: &mut Journey, visit: Visit) -> Attempt {
        let instance = visit.instance();
        let request = match journey.request_to(instance) {
            Ok(request) => request,
            Err(error) => {
                tracing::debug!(%error, "a request cannot be sent");
                let text = "the request's address cannot be passed on";
                return Attempt::Refused(StatusCode::BAD_REQUEST, text);
            }
        };
        let begun = clock::instant();
        if let Some(delay) = self.fleet.faults().delay_of(instance.target()) {
            clock::pause(delay).await;
        }
        let answered = {
            let mut sent = pin!(instance.connections().send(journey.worker, request));
            loop {
                match tokio::time::timeout(ANSWER_BEGIN_MAX, &mut sent).await {
                    // The client is still sending: it is not the machine that is slow.
                    Err(_elapsed) if journey.body.moved().is_some_and(is_recent) => {}
                    answered => break answered,
                }
            }
        };
        match answered {
            Ok(Ok(answered)) => {
                let took = clock::instant().duration_since(begun);
                self.deliver(journey, visit, answered, took).await
            }
            // It entered an instance whose drain had run out of time; another one takes it.
            Ok(Err(SendError::Closed)) => {
                journey.search.pass_over(instance);
                Attempt::Again
            }
            Ok(Err(error)) => {
                let cause = if error.nothing_was_sent() { "refused" } else { "broken" };
                self.fleet.metrics().app(&journey.app).retried(cause);
                journey.retry(instance, &error)
            }
            Err(_elapsed) => {
                let cause = Cause::NoAnswer { within: ANSWER_BEGIN_MAX };
                Attempt::Failed(Trouble::of_machine(&instance.machine, cause))
            }
        }
    }

    /// What is done when nobody took a request: there may be others who can say something.
    fn turn_back(&self, journey: &mut Journey, fruitless: Fruitless) -> Attempt {
        if journey.leave_cached(&self.replay_cache, self.hold) {
            return Attempt::Again;
        }
        let app = journey.app.clone();
        if journey.fall_back(fruitless.ending, self.hold) {
            self.complain(&app, &fruitless.trouble);
            return Attempt::Again;
        }
        Attempt::Failed(fruitless.trouble)
    }

    /// Writes into the app's log why a request was not answered.
    pub(super) fn complain(&self, app: &str, trouble: &Trouble) {
        self.fleet.context.logs.complain(app, trouble.code(), || {
            let machine = trouble.machine.as_deref().and_then(|id| self.fleet.machine(id));
            let named = |machine: Arc<Machine>| {
                (machine.id.clone(), machine.snapshot().record.name.clone())
            };
            NewLine {
                at: None,
                provider: Provider::Proxy,
                level: Level::Error,
                machine: machine.map(named),
                text: trouble.text(),
            }
        });
    }

    async fn deliver(
        &self,
        journey: &mut Journey,
        visit: Visit,
        answered: Answered,
        took: Duration,
    ) -> Attempt {
        if let Some(form) = replay::form_of(answered.answer.headers()) {
            // Rare and large, so that it does not make every request large.
            return Box::pin(self.follow(journey, visit, answered, form)).await;
        }
        let Answered { mut answer, sender } = answered;
        let instance = Arc::clone(visit.instance());
        let Some(active) = journey.active.take() else { return Attempt::Again };
        let struck = self.fleet.faults().strike_answer(instance.target());
        if matches!(struck, Some(AnswerStrike::Reset { .. })) {
            active.reset_connection();
        }
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS && struck.is_none() {
            let ends = journey.upgrade.take().zip(answer.extensions_mut().remove());
            return self.begin_tunnel(journey, visit, answer, ends, active, took);
        }
        let (mut parts, incoming) = answer.into_parts();
        let mut answer = if let Some(AnswerStrike::Status(status)) = struck {
            let text = "this answer was broken on purpose by a fault";
            own_answer(status, text, journey.id.clone(), active)
        } else {
            headers::prepare_answer(&mut parts.headers, parts.version, journey.id.clone(), false);
            if let Some(door) = instance.door(journey.search.choice.entrance) {
                door.adorn(&mut parts.headers);
            }
            parts.version = Version::HTTP_11;
            let mut body = MachineBody::new(incoming, sender, journey.worker, visit);
            if let Err(error) = body.begin().await {
                let error = format!("it broke off its answer: {error}");
                let trouble = Trouble::of_machine(&instance.machine, Cause::Broken { error });
                self.complain(&journey.app, &trouble);
                own_answer(trouble.status(), &trouble.answer(), journey.id.clone(), active)
            } else {
                Response::from_parts(parts, AnswerBody::of_machine(body, active))
            }
        };
        let status = answer.status().as_u16();
        instance.meter.answered(status, took);
        instance.signature().sign(answer.headers_mut());
        Attempt::Answered(match struck {
            Some(AnswerStrike::Reset { after_half }) => {
                answer.map(|body| body.broken_off(after_half))
            }
            Some(AnswerStrike::Status(_)) | None => answer,
        })
    }

    /// Joins the client's connection with the machine's; the machine is busy until either ends.
    fn begin_tunnel(
        &self,
        journey: &Journey,
        visit: Visit,
        answer: Response<Incoming>,
        ends: Option<(OnUpgrade, OnUpgrade)>,
        active: ActiveRequest,
        took: Duration,
    ) -> Attempt {
        let instance = Arc::clone(visit.instance());
        let Some((client, machine)) = ends else {
            let text = format!("machine `{}` changed the protocol unasked", instance.machine);
            let answer = own_answer(StatusCode::BAD_GATEWAY, &text, journey.id.clone(), active);
            return Attempt::Answered(answer);
        };
        let (mut parts, _none) = answer.into_parts();
        headers::prepare_answer(&mut parts.headers, parts.version, journey.id.clone(), true);
        instance.signature().sign(&mut parts.headers);
        let status = parts.status.as_u16();
        instance.meter.answered(status, took);
        tokio::spawn(tunnel::join(client, machine, visit, active.again(), self.stop.clone()));
        Attempt::Answered(Response::from_parts(parts, AnswerBody::own(Bytes::new(), active)))
    }
}

/// The regions that a client wishes, in the order in which they are tried.
fn regions(force: Option<String>, prefer: Option<String>) -> Vec<String> {
    match (force, prefer) {
        (Some(force), _) => region::list(&force),
        (None, Some(prefer)) => {
            let mut regions = region::list(&prefer);
            regions.push(region::ANY.to_owned());
            regions
        }
        (None, None) => Vec::new(),
    }
}

fn is_recent(moved: Instant) -> bool {
    clock::instant().duration_since(moved) < ANSWER_BEGIN_MAX
}

fn request_id() -> HeaderValue {
    HeaderValue::try_from(identity::version()).expect("an identity is plain text")
}

/// An answer that no machine gave.
pub(super) fn own_answer(
    status: StatusCode,
    text: &str,
    request_id: HeaderValue,
    active: ActiveRequest,
) -> Response<AnswerBody> {
    let body = AnswerBody::own(Bytes::from(format!("{text}\n")), active);
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    headers::prepare_answer(answer.headers_mut(), Version::HTTP_11, request_id, false);
    answer
}
