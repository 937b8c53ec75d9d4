//! Reads by which words a machine asks that another one answer a request: the `fly-replay` header,
//! or a body of JSON that can say more. Following it is done elsewhere.

use std::{str::FromStr as _, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header, uri::PathAndQuery};
use machines_api::types::WireDuration;
use serde::Deserialize;

use super::{headers, region};

/// A request is replayed at most so often (Fly's limit).
pub(super) const REPLAYS_MAX: u32 = 10;

/// A body that asks for a replay is no longer than this: it changes a handful of headers.
pub(super) const ORDER_BYTES_MAX: usize = 64 << 10;

/// A machine is asked again after this even if it said later (Fly names no limit).
const TTL_MAX_SECS: u64 = 86_400;

/// A decision is not kept for less (Fly's limit).
const TTL_MIN_SECS: u64 = 10;

/// The content type of the other form.
const JSON: &str = "application/vnd.fly.replay+json";

const CACHE: HeaderName = HeaderName::from_static("fly-replay-cache");
const CACHE_TTL: HeaderName = HeaderName::from_static("fly-replay-cache-ttl-secs");
const CACHE_BYPASS: HeaderName = HeaderName::from_static("fly-replay-cache-allow-bypass");

/// In which form an answer asks for a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Header,
    Json,
}

/// What a machine asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Replay {
    pub(super) regions: Vec<String>,
    pub(super) instance: Option<String>,
    pub(super) prefer_instance: Option<String>,
    pub(super) app: Option<String>,
    pub(super) elsewhere: bool,
    pub(super) state: Option<String>,
    /// For so long the target is looked for.
    pub(super) timeout: Option<Duration>,
    pub(super) fallback: Option<Fallback>,
    pub(super) transform: Option<Transform>,
    pub(super) keep: Option<Keep>,
}

/// Who gets the request if the replay fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fallback {
    /// The machine that asked, or nobody.
    ForceSelf,
    /// That machine, or another one of its app.
    PreferSelf,
}

/// How the request is changed on its way.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Transform {
    pub(super) path: Option<PathAndQuery>,
    pub(super) delete: Vec<HeaderName>,
    pub(super) set: Vec<(HeaderName, HeaderValue)>,
}

/// What is to be remembered of the decision.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// For requests whose path fits the pattern.
    For {
        pattern: String,
        ttl: Duration,
        may_be_skipped: bool,
    },
    Nothing,
}

/// Whether an answer asks for a replay.
pub(super) fn form_of(answer: &HeaderMap) -> Option<Form> {
    if answer.contains_key(headers::REPLAY) {
        return Some(Form::Header);
    }
    let kind = answer.get(header::CONTENT_TYPE)?;
    kind.as_bytes().starts_with(JSON.as_bytes()).then_some(Form::Json)
}

impl Replay {
    /// Reads the header form; what is wrong with it is said in words.
    pub(super) fn of_headers(answer: &HeaderMap) -> Result<Self, String> {
        let value = answer.get(headers::REPLAY).map(HeaderValue::to_str);
        let Some(Ok(value)) = value else { return Err("it is no plain text".to_owned()) };
        let mut replay = Self::parse(value)?;
        replay.keep = keep_of_headers(answer)?;
        replay.checked()
    }

    /// Reads the JSON form.
    pub(super) fn of_json(body: &[u8]) -> Result<Self, String> {
        let order: Order = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        order.read()?.checked()
    }

    /// Reads the header's value: `key=value` pairs with `;` between them, values perhaps quoted.
    fn parse(value: &str) -> Result<Self, String> {
        let mut replay = Self::default();
        for (key, value) in pairs(value) {
            match key {
                "region" => replay.regions = region::list(value),
                "instance" => replay.instance = Some(value.to_owned()),
                "prefer_instance" => replay.prefer_instance = Some(value.to_owned()),
                "app" => replay.app = Some(value.to_owned()),
                "elsewhere" => replay.elsewhere = value == "true",
                "state" => replay.state = Some(value.to_owned()),
                "timeout" => replay.timeout = Some(duration(value)?),
                "fallback" => replay.fallback = Some(fallback(value)?),
                _ => return Err(format!("there is no field `{key}`")),
            }
        }
        Ok(replay)
    }

    /// Whether it says nothing but where to: only then it can be kept.
    pub(super) fn is_plain(&self) -> bool {
        let is_bare = self.state.is_none() && self.transform.is_none();
        is_bare && self.timeout.is_none() && self.fallback.is_none()
    }

    /// For how long a decision is kept, if it may be.
    pub(super) fn time_to_live(secs: u64) -> Option<Duration> {
        (secs >= TTL_MIN_SECS).then(|| Duration::from_secs(secs.min(TTL_MAX_SECS)))
    }

    fn checked(self) -> Result<Self, String> {
        let named = [&self.instance, &self.prefer_instance, &self.app, &self.state];
        let names_one = named.iter().any(|field| field.is_some());
        if !names_one && self.regions.is_empty() && !self.elsewhere {
            return Err("it names no target".to_owned());
        }
        if matches!(self.keep, Some(Keep::For { .. })) && !self.is_plain() {
            return Err("a replay with `state`, `timeout`, `fallback` or `transform` cannot be \
                        cached"
                .to_owned());
        }
        Ok(self)
    }

    /// The `fly-replay-src` header of the replayed request.
    pub(super) fn source(&self, machine: &str, region: &str, now_micros: i64) -> String {
        let state = self.state.as_ref().map(|state| format!(";state={state}")).unwrap_or_default();
        format!("instance={machine};region={region};t={now_micros}{state}")
    }
}

/// Splits at each `;` that is not inside quotes. What has no `=` is a key without a value.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut is_quoted = false;
    let pieces = text.split(move |c| {
        is_quoted ^= c == '"';
        c == ';' && !is_quoted
    });
    pieces.map(str::trim).filter(|piece| !piece.is_empty()).map(|piece| {
        let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
        let value = value.trim();
        let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        (key.trim(), bare.unwrap_or(value))
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = WireDuration::from_str(text).map(|duration| duration.0);
    parsed.map_err(|_not_one| format!("`{text}` is no time, such as `10s` or `800ms`"))
}

fn fallback(text: &str) -> Result<Fallback, String> {
    match text {
        "force_self" => Ok(Fallback::ForceSelf),
        "prefer_self" => Ok(Fallback::PreferSelf),
        _ => Err(format!("`{text}` is no fallback: there are `force_self` and `prefer_self`")),
    }
}

fn keep_of_headers(answer: &HeaderMap) -> Result<Option<Keep>, String> {
    let text = |name| answer.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(pattern) = text(CACHE) else { return Ok(None) };
    if pattern == "invalidate" {
        return Ok(Some(Keep::Nothing));
    }
    let ttl_secs = text(CACHE_TTL).and_then(|text| text.trim().parse().ok());
    let may_be_skipped = text(CACHE_BYPASS).is_some_and(|text| text == "yes" || text == "true");
    keep_for(pattern, ttl_secs, may_be_skipped).map(Some)
}

fn keep_for(pattern: &str, ttl_secs: Option<u64>, may_be_skipped: bool) -> Result<Keep, String> {
    let Some(ttl) = ttl_secs.and_then(Replay::time_to_live) else {
        return Err(format!("a cached replay needs a time to live of {TTL_MIN_SECS} s or more"));
    };
    Ok(Keep::For { pattern: pattern.to_owned(), ttl, may_be_skipped })
}

/// The JSON form, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Order {
    region: Option<String>,
    instance: Option<String>,
    prefer_instance: Option<String>,
    app: Option<String>,
    state: Option<String>,
    elsewhere: bool,
    timeout: Option<String>,
    fallback: Option<String>,
    transform: Option<TransformOrder>,
    cache: Option<CacheOrder>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TransformOrder {
    path: Option<String>,
    delete_headers: Vec<String>,
    set_headers: Vec<HeaderOrder>,
}

#[derive(Debug, Deserialize)]
struct HeaderOrder {
    name: String,
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CacheOrder {
    prefix: String,
    ttl: Option<u64>,
    invalidate: bool,
    allow_bypass: bool,
}

impl Order {
    fn read(self) -> Result<Replay, String> {
        let keep = match self.cache {
            Some(cache) if cache.invalidate => Some(Keep::Nothing),
            Some(cache) => Some(keep_for(&cache.prefix, cache.ttl, cache.allow_bypass)?),
            None => None,
        };
        Ok(Replay {
            regions: self.region.as_deref().map(region::list).unwrap_or_default(),
            instance: self.instance,
            prefer_instance: self.prefer_instance,
            app: self.app,
            elsewhere: self.elsewhere,
            state: self.state,
            timeout: self.timeout.as_deref().map(duration).transpose()?,
            fallback: self.fallback.as_deref().map(fallback).transpose()?,
            transform: self.transform.map(TransformOrder::read).transpose()?,
            keep,
        })
    }
}

impl TransformOrder {
    fn read(self) -> Result<Transform, String> {
        let path = self.path.map(|path| {
            let parsed = PathAndQuery::try_from(path.as_str()).ok();
            let parsed = parsed.filter(|_| path.starts_with('/'));
            parsed.ok_or_else(|| format!("`{path}` is no path"))
        });
        let set = self.set_headers.into_iter().map(|HeaderOrder { name, value }| {
            let valid = HeaderValue::try_from(value);
            let valid = valid.map_err(|_bad| format!("the value of `{name}` is no header's"))?;
            Ok((changeable(&name)?, valid))
        });
        Ok(Transform {
            path: path.transpose()?,
            delete: self
                .delete_headers
                .iter()
                .map(|name| changeable(name))
                .collect::<Result<_, _>>()?,
            set: set.collect::<Result<_, String>>()?,
        })
    }
}

/// The name of a header that a machine may change in a client's request.
fn changeable(name: &str) -> Result<HeaderName, String> {
    let parsed = HeaderName::try_from(name).ok();
    let parsed = parsed.filter(|name| !headers::is_set_by_the_proxy(name));
    parsed.ok_or_else(|| format!("the header `{name}` cannot be changed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_read_in_any_order_with_spaces_and_quotes() {
        let replay =
            Replay::parse("state=a b; instance=148e21;region=\"iad,ord;x\"").expect("valid");
        assert_eq!(replay.instance.as_deref(), Some("148e21"));
        assert_eq!(replay.regions, ["iad", "ord;x"]);
        assert_eq!(replay.source("m", "local", 5), "instance=m;region=local;t=5;state=a b");
        let replay = Replay::parse("app=x;timeout=800ms;fallback=prefer_self").expect("valid");
        assert_eq!(replay.timeout, Some(Duration::from_millis(800)));
        assert_eq!(replay.fallback, Some(Fallback::PreferSelf));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_words() {
        for (text, words) in [
            ("nonsense", "there is no field `nonsense`"),
            ("instance=x;timeout=soon", "`soon` is no time"),
            ("app=x;fallback=home", "`home` is no fallback"),
        ] {
            let error = Replay::parse(text).expect_err("refused");
            assert!(error.contains(words), "{error}");
        }
        for (text, words) in [
            (r#"{"app":"x","cache":{"prefix":"/*","ttl":9}}"#, "10 s or more"),
            (r#"{"app":"x","state":"s","cache":{"prefix":"/*","ttl":10}}"#, "cannot be cached"),
            (r#"{"transform":{"path":"no"}}"#, "`no` is no path"),
            (r#"{"transform":{"delete_headers":["Content-Length"]}}"#, "cannot be changed"),
            (r#"{"transform":{"set_headers":[{"name":"fly-client-ip","value":"1"}]}}"#, "changed"),
            (r#"{"app":7}"#, "string"),
            ("{}", "names no target"),
            ("[]", "names no target"),
        ] {
            let error = Replay::of_json(text.as_bytes()).expect_err("refused");
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn the_json_form_says_all_that_the_header_says_and_more() {
        let text = r#"{"app":"a","region":"iad,us","elsewhere":true,"timeout":"10s",
            "transform":{"path":"/new?x=1","delete_headers":["cookie"],
                         "set_headers":[{"name":"X-One","value":"1"}]}}"#;
        let replay = Replay::of_json(text.as_bytes()).expect("valid");
        assert_eq!((replay.app.as_deref(), replay.elsewhere), (Some("a"), true));
        let transform = replay.transform.expect("one");
        assert_eq!(transform.path.expect("a path"), "/new?x=1");
        assert_eq!(transform.delete, [header::COOKIE]);
        assert_eq!(transform.set.first().map(|(name, _)| name.as_str()), Some("x-one"));
        let keep = Replay::of_json(br#"{"app":"a","cache":{"prefix":"/a/*","ttl":60}}"#);
        let ttl = Duration::from_mins(1);
        let pattern = "/a/*".to_owned();
        assert_eq!(
            keep.expect("valid").keep,
            Some(Keep::For { pattern, ttl, may_be_skipped: false })
        );
    }
}
