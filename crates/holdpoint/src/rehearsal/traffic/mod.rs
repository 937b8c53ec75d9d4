//! A client of every app: a fixed number of requests per second through the platform's proxy,
//! whatever the answers are (an open loop), each answer written down. It judges nothing.

mod answer;
mod statistics;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdpoint_core::project::smoke::HttpStep;
use reqwest::Method;
use reqwest::header::HOST;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::adapter::clock::Clock;

pub use answer::{Answer, Party, Received};
pub use statistics::{Exposure, Statistics, exposure, statistics};

/// For how long a client waits for an answer. The platform holds a request for up to 30 s.
const PATIENCE: Duration = Duration::from_secs(40);

/// The most requests of one app under way at once; one more counts as failed.
const IN_FLIGHT_MAX: usize = 4000;

/// How often an app that has never answered yet is asked whether it is there, in milliseconds.
/// These questions don't count: nobody uses a service before its first deployment.
const ARRIVAL_EVERY_MS: u64 = 200;

/// The header in which a local platform says which image answered.
const SERVED_IMAGE: &str = "x-served-image";

/// What is asked, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Who is asked.
    pub party: Party,
    /// The address, such as `http://127.0.0.1:4281`.
    pub base_url: String,
    /// The Host header by which the proxy knows the app.
    pub host: String,
    /// What is asked, in turn; never empty. Smoke checks serve: they are asked of production
    /// after each rollout, so asking one often does no harm.
    pub questions: Vec<HttpStep>,
}

/// Traffic that runs until it is stopped.
#[derive(Debug)]
pub struct Traffic {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    log: Log,
}

/// What clients saw, by whom they asked.
#[derive(Clone, Debug, Default)]
pub struct Log {
    answers: Arc<Mutex<BTreeMap<Party, Vec<Answer>>>>,
}

impl Log {
    /// A copy of everything so far.
    pub fn answers(&self) -> BTreeMap<Party, Vec<Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, party: &Party, answer: Answer) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.entry(party.clone()).or_default().push(answer);
    }
}

impl Traffic {
    /// Starts to ask every target `per_second` times a second, from its first good answer on.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn start(targets: Vec<Target>, per_second: u32, clock: &Clock) -> reqwest::Result<Self> {
        let stop = CancellationToken::new();
        let log = Log::default();
        let mut tasks = Vec::with_capacity(targets.len());
        for target in targets {
            let client = reqwest::Client::builder()
                .timeout(PATIENCE)
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()?;
            let user =
                User { client, target: Arc::new(target), clock: clock.clone(), log: log.clone() };
            tasks.push(tokio::spawn(user.run(per_second, stop.clone())));
        }
        Ok(Self { stop, tasks, log })
    }

    /// What was seen so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Asks nothing more, waits for the answers that are under way, and returns everything.
    pub async fn stop(self) -> BTreeMap<Party, Vec<Answer>> {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a traffic generator ended badly");
            }
        }
        self.log.answers()
    }
}

#[derive(Clone)]
struct User {
    client: reqwest::Client,
    target: Arc<Target>,
    clock: Clock,
    log: Log,
}

impl User {
    async fn run(self, per_second: u32, stop: CancellationToken) {
        if !self.arrive(&stop).await {
            return;
        }
        let mut due = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
        // a late generator catches up: leaving requests out would flatter a service that is slow
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let mut under_way = JoinSet::new();
        for number in (0..self.target.questions.len()).cycle() {
            let due_at = tokio::select! {
                () = stop.cancelled() => break,
                due_at = due.tick() => due_at,
            };
            let asked_at = self.clock.now();
            let Ok(place) = places.clone().try_acquire_owned() else {
                let reason = format!("{IN_FLIGHT_MAX} requests are under way already");
                self.note(asked_at, due_at, None, Received::Nothing(reason));
                continue;
            };
            let user = self.clone();
            under_way.spawn(async move {
                let (image, result) = user.ask(number).await;
                user.note(asked_at, due_at, image, result);
                drop(place);
            });
            while under_way.try_join_next().is_some() {}
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Waits until the app answers for the first time; `false` when it was stopped before.
    async fn arrive(&self, stop: &CancellationToken) -> bool {
        let mut every = tokio::time::interval(Duration::from_millis(ARRIVAL_EVERY_MS));
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return false,
                _ = every.tick() => {}
            }
            let (_, result) = tokio::select! {
                () = stop.cancelled() => return false,
                answer = self.ask(0) => answer,
            };
            if result == Received::Expected {
                return true;
            }
        }
    }

    async fn ask(&self, number: usize) -> (Option<String>, Received) {
        let Some(question) = self.target.questions.get(number) else {
            return (None, Received::Nothing("there is nothing to ask".to_owned()));
        };
        let url = format!("{}{}", self.target.base_url, question.path);
        let method = Method::from_bytes(question.method.as_bytes()).unwrap_or(Method::GET);
        let mut request = self.client.request(method, url).header(HOST, &self.target.host);
        for (name, value) in &question.headers {
            request = request.header(name, value);
        }
        if let Some(body) = &question.body {
            request = request.body(body.clone());
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return (None, Received::Nothing(innermost(&error))),
        };
        let status = response.status().as_u16();
        let image = response.headers().get(SERVED_IMAGE);
        let image = image.and_then(|image| image.to_str().ok()).map(str::to_owned);
        match response.bytes().await {
            Ok(_) if status == question.expect_status => (image, Received::Expected),
            Ok(_) => (image, Received::Status(status)),
            Err(error) => (image, Received::Nothing(innermost(&error))),
        }
    }

    fn note(
        &self,
        asked_at: jiff::Timestamp,
        due_at: Instant,
        image: Option<String>,
        result: Received,
    ) {
        let answer =
            Answer { asked_at, ended_at: self.clock.now(), took: due_at.elapsed(), image, result };
        self.log.add(&self.target.party, answer);
    }
}

/// The last cause of an error: `connection refused` rather than `error sending request`.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
