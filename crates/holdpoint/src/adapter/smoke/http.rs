//! Asks the steps of a check over HTTP, one after the other, and judges each answer by what the
//! step expects.

use std::time::Duration;

use holdpoint_core::project::smoke::HttpStep;
use holdpoint_core::project::smoke::template::{self, Variables};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::{Context, Ended, StepReport, Trouble, quoted, signing};
use crate::adapter::clock::{Clock, Stopwatch, pause};
use crate::adapter::http_client;
use crate::adapter::latency::Latencies;

/// An answer is read up to here.
const ANSWER_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// The pause before a step is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// What a step may take beside its answers: the pauses between them.
const MARGIN: Duration = Duration::from_secs(1);

/// The longest captured value, in bytes: an id or a token, no document.
const CAPTURE_LIMIT_BYTES: usize = 4096;

/// A request that is ready to be sent.
#[derive(Clone, Debug)]
struct Request {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

/// A whole answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    location: Option<String>,
    body: String,
}

/// Asks until a step fails. Gives the steps that were asked, and the names of the others.
pub(super) async fn ask(
    mut context: Context<'_>,
    steps: &[HttpStep],
) -> (Vec<StepReport>, Vec<String>) {
    let mut reports: Vec<StepReport> = Vec::new();
    let mut rest = steps.iter();
    for step in rest.by_ref() {
        let report = ask_step(&mut context, step).await;
        let is_over = !report.passed;
        reports.push(report);
        if is_over {
            break;
        }
    }
    (reports, rest.map(|step| step.name.clone()).collect())
}

async fn ask_step(context: &mut Context<'_>, step: &HttpStep) -> StepReport {
    let watch = Stopwatch::start();
    let plain = || format!("{} {} of `{}`", step.method, step.path, context.target.app);
    let request = match Request::fill(context, step) {
        Ok(request) => request,
        Err(trouble) => return StepReport::new(&step.name, plain(), Err(trouble), watch),
    };
    let asked = request.told(context);
    let limit = Duration::from_millis(step.limit_ms()) + MARGIN;
    let sampled = sample(context, step, &request, watch);
    let ended = match tokio::time::timeout(limit, sampled).await {
        Ok(Ok((found, captured))) => {
            context.variables.extend(captured);
            Ok(found)
        }
        Ok(Err(trouble)) => Err(trouble),
        Err(_elapsed) => Err(Trouble::new(
            format!("not done within {} s", limit.as_secs()),
            "ask fewer samples, or raise `within`",
        )),
    };
    StepReport::new(&step.name, asked, ended, watch)
}

/// Asks until the answer is as expected, then as often as the step wants samples.
async fn sample(
    context: &Context<'_>,
    step: &HttpStep,
    request: &Request,
    watch: Stopwatch,
) -> Result<(String, Variables), Trouble> {
    let mut latencies = Latencies::default();
    let mut asked = 1_u32;
    let (mut found, mut captured) = loop {
        match ask_once(context, step, request, &mut latencies).await {
            Ok(answered) => break answered,
            Err(trouble) if watch.elapsed_ms() >= step.retry_for_ms => {
                return Err(match asked {
                    1 => trouble,
                    _ => Trouble {
                        found: format!(
                            "after {asked} times within {} s still {}",
                            step.retry_for_ms.div_ceil(1000),
                            trouble.found
                        ),
                        hint: trouble.hint,
                    },
                });
            }
            Err(_not_yet) => {
                latencies = Latencies::default();
                asked = asked.saturating_add(1);
                pause(AGAIN_AFTER).await;
            }
        }
    };
    for number in 2..=step.samples {
        (found, captured) =
            ask_once(context, step, request, &mut latencies).await.map_err(|trouble| Trouble {
                found: format!("at sample {number} of {}: {}", step.samples, trouble.found),
                hint: trouble.hint,
            })?;
    }
    let found = within_budget(context, step, &latencies, found)?;
    Ok((found, captured))
}

fn within_budget(
    context: &Context<'_>,
    step: &HttpStep,
    latencies: &Latencies,
    found: String,
) -> Ended {
    let Some(figures) = latencies.figures().filter(|_| step.samples > 1) else {
        return Ok(found);
    };
    let told = format!("P95 {} ms of {} answers", figures.p95_ms, figures.samples);
    match step.p95_ms {
        #[expect(clippy::cast_precision_loss, reason = "budgets are at most five minutes")]
        Some(budget) if figures.p95_ms > budget as f64 => Err(Trouble::new(
            format!(
                "{told}, over the budget of {budget} ms (fastest {} ms, slowest {} ms)",
                figures.min_ms, figures.max_ms
            ),
            format!("{}; or raise `p95` if that is fast enough", context.logs_hint()),
        )),
        Some(budget) => Ok(format!("{found}, {told} (budget {budget} ms)")),
        None => Ok(format!("{found}, {told}")),
    }
}

async fn ask_once(
    context: &Context<'_>,
    step: &HttpStep,
    request: &Request,
    latencies: &mut Latencies,
) -> Result<(String, Variables), Trouble> {
    let watch = Stopwatch::start();
    let answered = request.send(context);
    let limit = Duration::from_millis(step.within_ms);
    let answer = match tokio::time::timeout(limit, answered).await {
        Ok(answer) => answer?,
        Err(_elapsed) => {
            return Err(Trouble::new(
                format!("no whole answer within {} ms", step.within_ms),
                format!("{}; or raise `within`", context.logs_hint()),
            ));
        }
    };
    latencies.record(watch.elapsed());
    judge(context, step, &answer)
}

/// What came, and what later steps need of it.
fn judge(
    context: &Context<'_>,
    step: &HttpStep,
    answer: &Answer,
) -> Result<(String, Variables), Trouble> {
    let Answer { status, location, body } = answer;
    let wanted = step.expect_status;
    if *status != wanted {
        let found = match location {
            Some(location) => {
                format!("status {status}, not {wanted}: a redirect to `{}`", quoted(location))
            }
            None => format!("status {status}, not {wanted}: {}", quoted(body)),
        };
        let hint = match *status {
            300..=399 => "ask for the path that it leads to, or expect the redirect with \
                          `expect_status`"
                .to_owned(),
            401 | 403 => "check the header, token or secret that the step sends".to_owned(),
            404 | 405 => "check `path` and `method` against the service's routes".to_owned(),
            _ => context.logs_hint(),
        };
        return Err(Trouble::new(found, hint));
    }
    let unexpected = |what: String| {
        Trouble::new(format!("status {status}, but {what}: {}", quoted(body)), context.logs_hint())
    };
    let mut found = format!("status {status}");
    if let Some(part) = &step.expect_body_contains {
        let part = filled(part, &context.variables)?;
        if !body.contains(&part) {
            return Err(unexpected(format!("no `{part}` in the answer")));
        }
        found = format!("{found} with `{part}` in the answer");
    }
    if step.expect_json.is_empty() && step.capture.is_empty() {
        return Ok((found, Variables::new()));
    }
    let document: Value = serde_json::from_str(body)
        .map_err(|error| unexpected(format!("the answer is no JSON ({error})")))?;
    for expected in &step.expect_json {
        expected.judge(&context.variables, &document).map_err(unexpected)?;
    }
    let mut captured = Variables::new();
    for (name, path) in &step.capture {
        let values = path.select(&context.variables, &document).map_err(unexpected)?;
        let value = match values.as_slice() {
            [only] => scalar(only)
                .ok_or_else(|| unexpected(format!("`{path}` is no text or number to capture")))?,
            several => {
                let count = several.len();
                return Err(unexpected(format!("`{path}` selects {count} values, not one")));
            }
        };
        captured.insert(name.clone(), value);
    }
    let rules = step.expect_json.len();
    if rules > 0 {
        let noun = if rules == 1 { "expectation" } else { "expectations" };
        found = format!("{found}, {rules} {noun} met");
    }
    Ok((found, captured))
}

fn scalar(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    (text.len() <= CAPTURE_LIMIT_BYTES && !text.chars().any(char::is_control)).then_some(text)
}

impl Request {
    fn fill(context: &Context<'_>, step: &HttpStep) -> Result<Self, Trouble> {
        let variables = &context.variables;
        let method = Method::from_bytes(step.method.as_bytes()).map_err(|_invalid| {
            Trouble::new(format!("`{}` is no HTTP method", step.method), "use GET or POST")
        })?;
        let path = template::fill(&step.path, variables, template::as_path)
            .map_err(|name| valueless(&name))?;
        let mut headers = Vec::new();
        for (name, value) in &step.headers {
            headers.push((name.clone(), filled(value, variables)?));
        }
        let body = step.body.as_deref().map(|body| {
            let is_json = body.trim_start().starts_with(['{', '[']);
            let encode = if is_json { template::as_json } else { template::as_it_is };
            template::fill(body, variables, encode).map_err(|name| valueless(&name))
        });
        let body = body.transpose()?;
        if let Some(sign) = &step.sign {
            let secret = context.secrets.get(&sign.secret).unwrap_or_default();
            let now_secs = Clock::real().now().as_second();
            let body = body.as_deref().unwrap_or_default();
            headers.extend(signing::headers(sign, secret, now_secs, body));
        }
        Ok(Self { method, path, headers, body })
    }

    /// What was asked, for people.
    fn told(&self, context: &Context<'_>) -> String {
        let asked = format!("{} {} of `{}`", self.method, self.path, context.target.app);
        match &self.body {
            Some(body) => format!("{asked} with {}", quoted(body)),
            None => asked,
        }
    }

    async fn send(&self, context: &Context<'_>) -> Result<Answer, Trouble> {
        let prober = &context.smoker.prober;
        let request = prober.request(self.method.clone(), &context.target.app, &self.path);
        let request = self
            .headers
            .iter()
            .fold(request, |request, (name, value)| RequestBuilder::header(request, name, value));
        let request = match &self.body {
            Some(body) => request.body(body.clone()),
            None => request,
        };
        let failed = |error| Trouble::new(http_client::described(error), context.logs_hint());
        let response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let location = response.headers().get(reqwest::header::LOCATION);
        let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        // one byte more tells a whole answer from one that was cut
        let body = http_client::text(response, ANSWER_LIMIT_BYTES + 1).await.map_err(failed)?;
        if body.len() > ANSWER_LIMIT_BYTES {
            let found = format!(
                "status {status} with an answer of more than {} MB, which has perhaps no end",
                ANSWER_LIMIT_BYTES / 1024 / 1024
            );
            return Err(Trouble::new(found, "ask for a smaller part of it"));
        }
        Ok(Answer { status, location, body })
    }
}

fn filled(text: &str, variables: &Variables) -> Result<String, Trouble> {
    template::fill(text, variables, template::as_it_is).map_err(|name| valueless(&name))
}

fn valueless(name: &str) -> Trouble {
    Trouble::new(
        format!("`{{{name}}}` has no value"),
        "capture it in an earlier step of the same check",
    )
}
