//! Whether a model API takes our key, has the model, and leaves room under its rate limits (the
//! runbook's "API rate limits confirmed"): by its models route, which costs nothing.

use std::time::Duration;

use holdpoint_core::project::{ModelApi, ModelApiStyle};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::finding::{Finding, Lack};
use super::variables::required;
use crate::adapter::http_client;
use crate::variables::Variables;

/// A list of models comes within a second or two.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The version of Anthropic's API that is spoken here.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// What is limited, as the headers name it.
const LIMITED: [&str; 4] = ["requests", "tokens", "input-tokens", "output-tokens"];

pub(super) async fn look(api: &ModelApi, variables: &Variables) -> Finding {
    let ModelApi { name, base_url, token_env, .. } = api;
    let base = base_url.trim_end_matches('/').trim_end_matches("/v1");
    let url = format!("{base}/v1/models");
    let unreached = |error| {
        let detail = format!("`{url}` can't be asked: {}", http_client::described(error));
        Lack::new(detail, format!("check `base_url` of the model API `{name}`, then look again"))
    };
    let client = http_client::for_address(base, TIMEOUT).map_err(unreached)?;
    let mut request = client.get(&url);
    if let Some(variable) = token_env {
        let token = required(variables, variable)?;
        request = match api.style {
            ModelApiStyle::OpenAi => request.bearer_auth(token),
            ModelApiStyle::Anthropic => request.header("x-api-key", token),
        };
    }
    if api.style == ModelApiStyle::Anthropic {
        request = request.header("anthropic-version", ANTHROPIC_VERSION);
    }
    let response = request.send().await.map_err(unreached)?;
    let (status, headers) = (response.status(), response.headers().clone());
    if !status.is_success() {
        return Err(refused(&url, status, token_env.as_deref()));
    }
    let body = http_client::text(response, ANSWER_BYTES_MAX).await.map_err(unreached)?;
    let models: Models = serde_json::from_str(&body).map_err(|error| {
        let detail = format!("`{url}` lists no models: {error}");
        Lack::new(detail, format!("check `base_url` of the model API `{name}`"))
    })?;
    let models: Vec<String> = models.data.into_iter().map(|model| model.id).collect();
    judge(api, &url, &models, &limits(&headers))
}

fn refused(url: &str, status: StatusCode, token_env: Option<&str>) -> Lack {
    let hint = match (status, token_env) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(variable)) => {
            format!("put a key that is valid into `{variable}`")
        }
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, None) => {
            "name the variable that holds the key in `token_env`".to_owned()
        }
        (StatusCode::TOO_MANY_REQUESTS, _) => {
            "wait until the limit is renewed, or have it raised".to_owned()
        }
        (_, _) => "look again later".to_owned(),
    };
    Lack::new(format!("`{url}` answered {status}"), hint)
}

/// What is left of a limit.
#[derive(Clone, Debug, PartialEq)]
struct Limit {
    what: &'static str,
    left: u64,
    of: u64,
}

/// The limits that an answer tells, in either family of headers.
fn limits(headers: &HeaderMap) -> Vec<Limit> {
    let number = |name: String| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let found = LIMITED.iter().filter_map(|what| {
        let plain = |word: &str| number(format!("x-ratelimit-{word}-{what}"));
        let anthropic = |word: &str| number(format!("anthropic-ratelimit-{what}-{word}"));
        let of = plain("limit").or_else(|| anthropic("limit"))?;
        let left = plain("remaining").or_else(|| anthropic("remaining"))?;
        (of > 0).then_some(Limit { what, left, of })
    });
    found.collect()
}

fn judge(api: &ModelApi, url: &str, models: &[String], limits: &[Limit]) -> Finding {
    if let Some(model) = api.model.as_ref().filter(|model| !models.contains(model)) {
        let detail = format!("`{url}` does not list the model `{model}`");
        return Err(Lack::new(detail, "ask for access to it, or name another in `model`"));
    }
    let wanted = api.headroom;
    let told = limits.iter().map(|limit| {
        let Limit { what, left, of } = limit;
        format!("{left} of {of} {} left", what.replace('-', " "))
    });
    let told: Vec<String> = told.collect();
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more digits")]
    let is_short = |limit: &&Limit| (limit.left as f64) < wanted * limit.of as f64;
    if limits.iter().any(|limit| is_short(&limit)) {
        let share = wanted * 100.0;
        let detail = format!("`{url}`: {}, and {share:.0} % are wanted", told.join(", "));
        return Err(Lack::new(detail, "wait until the limits are renewed, or have them raised"));
    }
    let count = models.len();
    let told = if told.is_empty() { "it tells no limits".to_owned() } else { told.join(", ") };
    Ok(format!("`{url}` lists {count} models; {told}"))
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}
