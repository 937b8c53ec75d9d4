//! Asks a machine's program whether it is well, as the config's checks say. Checks of a service
//! (and those of kind `readiness`) decide whether the machine gets requests; none of them ever
//! restarts it.

use std::{
    sync::Weak,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Empty;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use machines_api::types::{
    Check, CheckHealth, CheckStatus, CheckType, MachineConfig, WireDuration,
};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::{machine::Machine, record::RunRecord};
use crate::{clock, fault::Target};

/// Fly's defaults.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(15);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);
const GRACE_DEFAULT: Duration = Duration::from_secs(1);

/// Between start and first pass a check is made this soon, and then ever more slowly up to the
/// longest wait, whatever its interval: a deployment waits for that pass, and so do the requests
/// that are held for the machine.
const EAGER_MIN: Duration = Duration::from_millis(1);
const EAGER_MAX: Duration = Duration::from_millis(200);

/// More checks than this on one machine are not made.
const CHECKS_MAX: usize = 20;

/// The checks of the program that runs. Dropped, they are made no more.
#[derive(Debug, Default)]
pub(super) struct Checks {
    watched: Vec<Watched>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
struct Watched {
    status: CheckStatus,
    decides_requests: bool,
}

/// One check, with every default filled in.
#[derive(Debug, Clone)]
struct Plan {
    name: String,
    /// As the config names it; without one it is the first service's.
    port: u16,
    decides_requests: bool,
    http: Option<HttpQuestion>,
    interval: Duration,
    timeout: Duration,
    grace: Duration,
}

#[derive(Debug, Clone)]
struct HttpQuestion {
    method: Method,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Checks {
    /// Begins to ask the program of this start.
    pub(super) fn begin(machine: &Weak<Machine>, config: &MachineConfig, run: &RunRecord) -> Self {
        let plans = plans(config);
        let status = |plan: &Plan| CheckStatus {
            name: plan.name.clone(),
            status: CheckHealth::Warning,
            output: "waiting for the first answer".to_owned(),
            updated_at: Some(clock::now()),
        };
        let watched = plans
            .iter()
            .map(|plan| Watched { status: status(plan), decides_requests: plan.decides_requests })
            .collect();
        let tasks = plans
            .into_iter()
            .map(|plan| {
                let port = run.port_of(plan.port);
                let task = ask_repeatedly(Weak::clone(machine), plan, run.start.clone(), port);
                AbortOnDropHandle::new(tokio::spawn(task))
            })
            .collect();
        Self { watched, _tasks: tasks }
    }

    pub(super) fn statuses(&self) -> Vec<CheckStatus> {
        self.watched.iter().map(|watched| watched.status.clone()).collect()
    }

    /// Whether every check that decides about requests passes; so it is with none.
    pub(super) fn all_pass(&self) -> bool {
        self.deciding().all(|status| status.status == CheckHealth::Passing)
    }

    pub(super) fn any_critical(&self) -> bool {
        self.deciding().any(|status| status.status == CheckHealth::Critical)
    }

    fn deciding(&self) -> impl Iterator<Item = &CheckStatus> {
        self.watched
            .iter()
            .filter(|watched| watched.decides_requests)
            .map(|watched| &watched.status)
    }

    /// Notes an answer; says whether it differs from the one before.
    fn set(&mut self, name: &str, health: CheckHealth, output: String) -> bool {
        let found = self.watched.iter_mut().find(|watched| watched.status.name == name);
        let Some(Watched { status, .. }) = found else { return false };
        let is_other = status.status != health || status.output != output;
        status.status = health;
        status.output = output;
        status.updated_at = Some(clock::now());
        is_other
    }
}

impl Machine {
    /// Why a check fails without being made, if a fault says so.
    fn fail_on_purpose(&self, check: &str) -> Option<String> {
        let snapshot = self.snapshot();
        let run = snapshot.record.run.as_ref()?;
        let since_start = clock::now().duration_since(run.started_at);
        let since_start = Duration::try_from(since_start).unwrap_or_default();
        let image_digest = &run.image_digest;
        let target = Target { app: &self.app, machine: &self.id, image_digest };
        self.context.faults.fail_check(target, check, since_start)
    }

    /// Takes note of a check's answer, unless it is about an earlier start.
    async fn note_check(&self, start: &str, name: &str, health: CheckHealth, output: String) {
        let mut inner = self.inner.lock().await;
        if inner.record.run.as_ref().is_some_and(|run| run.start == start) {
            // Whoever waits for a change is not woken when there is none.
            if inner.checks.set(name, health, output) {
                self.publish(&inner);
            }
        }
    }
}

fn plans(config: &MachineConfig) -> Vec<Plan> {
    let of_services = config.services.iter().enumerate().flat_map(|(index, service)| {
        service.checks.iter().map(move |check| {
            let kind = if check.check_type == Some(CheckType::Tcp) { "tcp" } else { "http" };
            let port = check.port.unwrap_or(service.internal_port);
            let name = format!("servicecheck-{index:02}-{kind}-{port}");
            plan(name, check, port, true)
        })
    });
    let of_machine = config.checks.iter().map(|(name, check)| {
        let decides_requests = check.kind.as_deref() == Some("readiness");
        plan(name.clone(), check, check.port.unwrap_or_default(), decides_requests)
    });
    let mut plans: Vec<Plan> = Vec::new();
    for mut plan in of_services.chain(of_machine).take(CHECKS_MAX) {
        let same = plans.iter().filter(|known| known.name.starts_with(&plan.name)).count();
        if same > 0 {
            plan.name = format!("{}-{same}", plan.name);
        }
        plans.push(plan);
    }
    plans
}

fn plan(name: String, check: &Check, port: u16, decides_requests: bool) -> Plan {
    let or = |duration: Option<WireDuration>, default: Duration| {
        duration.map_or(default, |duration| duration.0)
    };
    let http = (check.check_type != Some(CheckType::Tcp)).then(|| HttpQuestion {
        method: check.method.as_deref().and_then(|method| method.parse().ok()).unwrap_or_default(),
        path: check.path.clone().filter(|path| path.starts_with('/')).unwrap_or("/".to_owned()),
        headers: check
            .headers
            .iter()
            .flat_map(|header| header.values.iter().map(|value| (&header.name, value)))
            .filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)))
            .collect(),
    });
    Plan {
        name,
        port,
        decides_requests,
        http,
        // Below this the asking itself would be the load.
        interval: or(check.interval, INTERVAL_DEFAULT).max(Duration::from_millis(50)),
        timeout: or(check.timeout, TIMEOUT_DEFAULT).max(Duration::from_millis(10)),
        grace: or(check.grace_period, GRACE_DEFAULT),
    }
}

async fn ask_repeatedly(machine: Weak<Machine>, plan: Plan, start: String, port: u16) {
    // No connection is kept: a check also asks whether the program still accepts one.
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
    let grace_ends = clock::instant() + plan.grace;
    let mut passed_before = false;
    let mut eager = EAGER_MIN;
    loop {
        let broken = machine.upgrade().and_then(|machine| machine.fail_on_purpose(&plan.name));
        let answer = match broken {
            Some(reason) => Err(reason),
            None => ask(&client, &plan, port).await,
        };
        let (health, output) = judge(answer, passed_before, grace_ends);
        passed_before |= health == CheckHealth::Passing;
        let Some(machine) = machine.upgrade() else { return };
        machine.note_check(&start, &plan.name, health, output).await;
        if machine.context.stop.is_cancelled() {
            return;
        }
        drop(machine);
        clock::pause(if passed_before { plan.interval } else { plan.interval.min(eager) }).await;
        // A quarter more each time: a program that takes long to start is asked a few dozen times.
        eager = (eager + eager / 4).min(EAGER_MAX);
    }
}

fn judge(
    answer: Result<String, String>,
    passed_before: bool,
    grace_ends: Instant,
) -> (CheckHealth, String) {
    match answer {
        Ok(output) => (CheckHealth::Passing, output),
        Err(output) if !passed_before && clock::instant() < grace_ends => {
            (CheckHealth::Warning, output)
        }
        Err(output) => (CheckHealth::Critical, output),
    }
}

async fn ask(
    client: &Client<HttpConnector, Empty<Bytes>>,
    plan: &Plan,
    port: u16,
) -> Result<String, String> {
    let question = async {
        let Some(http) = &plan.http else {
            let connected = TcpStream::connect(("127.0.0.1", port)).await;
            return connected.map(|_| "connected".to_owned()).map_err(|error| error.to_string());
        };
        let uri = format!("http://127.0.0.1:{port}{}", http.path);
        let mut request = Request::builder()
            .method(http.method.clone())
            .uri(uri)
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        request.headers_mut().extend(http.headers.iter().cloned());
        let answer = client.request(request).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
        })?;
        let status = answer.status();
        // A redirect is a failure, as on Fly: following it would ask somebody else.
        if status.is_success() { Ok(status.to_string()) } else { Err(status.to_string()) }
    };
    tokio::time::timeout(plan.timeout, question)
        .await
        .unwrap_or_else(|_elapsed| Err(format!("no answer within {}", WireDuration(plan.timeout))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_of_services_decide_about_requests_and_those_of_the_machine_do_not() {
        let config: MachineConfig = serde_json::from_str(
            r#"{"image":"x","services":[{"internal_port":8080,"checks":[
                  {"type":"http","path":"/health","interval":"1s"},{"type":"http"},{"type":"tcp"}]}],
                "checks":{"alive":{"type":"http"},"ready":{"type":"http","kind":"readiness"}}}"#,
        )
        .expect("valid");
        let plans = plans(&config);
        let seen: Vec<_> =
            plans.iter().map(|plan| (plan.name.as_str(), plan.decides_requests)).collect();
        assert_eq!(
            seen,
            [
                ("servicecheck-00-http-8080", true),
                ("servicecheck-00-http-8080-1", true),
                ("servicecheck-00-tcp-8080", true),
                ("alive", false),
                ("ready", true),
            ]
        );
        assert_eq!(plans[0].interval, Duration::from_secs(1));
        assert_eq!(plans[1].interval, INTERVAL_DEFAULT);
    }

    #[test]
    fn a_failure_within_the_grace_period_is_no_verdict() {
        let now = clock::instant();
        let later = now + Duration::from_mins(1);
        let failure = || Err("refused".to_owned());
        assert_eq!(judge(failure(), false, later).0, CheckHealth::Warning);
        assert_eq!(judge(failure(), true, later).0, CheckHealth::Critical);
        assert_eq!(judge(failure(), false, now).0, CheckHealth::Critical);
    }
}
