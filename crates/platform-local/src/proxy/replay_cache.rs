//! Remembers to which machines an app had requests replayed, by path or by a cookie's or header's
//! value, so that the next such request goes there at once. It is bounded, and only an
//! optimization: what it forgets is asked of the app again.

use std::{
    collections::BTreeMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, header};
use sha2::{Digest as _, Sha256};

use super::choice::Choice;
use crate::clock;

/// Decisions that are kept at once, each in some hundred bytes.
const DECISIONS_MAX: usize = 10_000;

/// Patterns of one host.
const RULES_MAX: usize = 100;

/// A cookie's or header's value is kept as a digest: it may be a secret, and of any length.
type Value = [u8; 32];

/// What requests have in common that go to the same target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Path,
    Cookie(String),
    Header(HeaderName),
}

/// For which requests a decision is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// Without the last `/`: these paths and those below.
    prefix: String,
    key: Key,
    may_be_skipped: bool,
}

/// Where a request is sent without asking.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) app: String,
    pub(super) choice: Choice,
}

/// A decision that fits a request.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) target: Target,
    pub(super) may_be_skipped: bool,
}

#[derive(Debug)]
struct Decision {
    target: Target,
    until: Instant,
}

#[derive(Debug)]
struct Kept {
    rule: Rule,
    decisions: BTreeMap<Value, Decision>,
}

/// The decisions, by the host that they were made for.
#[derive(Debug, Default)]
pub(super) struct ReplayCache {
    /// Looked at by every request, most of which go no further.
    count: AtomicUsize,
    hosts: RwLock<BTreeMap<String, Vec<Kept>>>,
}

/// The part of a request that decisions are found by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a HeaderMap,
}

impl Rule {
    /// Of a pattern such as `/some/path/*` or `example.com/some/path`, if a request fits it.
    pub(super) fn new(
        pattern: &str,
        key: Key,
        may_be_skipped: bool,
        asked: &Asked<'_>,
    ) -> Option<Self> {
        let (host, path) = pattern.split_at(pattern.find('/')?);
        let path = path.strip_suffix("/*").or_else(|| path.strip_suffix('/')).unwrap_or(path);
        let rule = Self { prefix: path.to_owned(), key, may_be_skipped };
        let fits = (host.is_empty() || host.eq_ignore_ascii_case(asked.host))
            && rule.value_in(asked).is_some();
        fits.then_some(rule)
    }

    /// Longer ones come first.
    pub(super) fn length(&self) -> usize {
        self.prefix.len()
    }

    fn value_in(&self, asked: &Asked<'_>) -> Option<Value> {
        let rest = asked.path.strip_prefix(self.prefix.as_str())?;
        if !rest.is_empty() && !rest.starts_with('/') {
            return None;
        }
        let value = match &self.key {
            Key::Path => &[],
            Key::Cookie(name) => cookie(asked.headers, name)?.as_bytes(),
            Key::Header(name) => asked.headers.get(name)?.as_bytes(),
        };
        Some(Sha256::digest(value).into())
    }
}

impl ReplayCache {
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    /// The decision that fits a request, by the longest path.
    pub(super) fn find(&self, asked: &Asked<'_>) -> Option<Found> {
        let now = clock::instant();
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        hosts.get(asked.host)?.iter().find_map(|Kept { rule, decisions }| {
            let decision = decisions.get(&rule.value_in(asked)?)?;
            let target = (decision.until > now).then(|| decision.target.clone())?;
            Some(Found { target, may_be_skipped: rule.may_be_skipped })
        })
    }

    /// Keeps a decision. When there is no room, those that have run out make some.
    pub(super) fn keep(&self, asked: &Asked<'_>, rule: &Rule, ttl: Duration, target: Target) {
        let Some(value) = rule.value_in(asked) else { return };
        let now = clock::instant();
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        if count(&hosts) >= DECISIONS_MAX {
            drop_old(&mut hosts, now);
        }
        let has_room = count(&hosts) < DECISIONS_MAX;
        let rules = hosts.entry(asked.host.to_owned()).or_default();
        let place = rules.iter().position(|kept| kept.rule == *rule);
        if place.is_none() && has_room && rules.len() < RULES_MAX {
            rules.push(Kept { rule: rule.clone(), decisions: BTreeMap::new() });
            rules.sort_by_key(|kept| std::cmp::Reverse(kept.rule.length()));
        }
        if has_room && let Some(kept) = rules.iter_mut().find(|kept| kept.rule == *rule) {
            kept.decisions.insert(value, Decision { target, until: now + ttl });
        }
        self.count.store(count(&hosts), Relaxed);
    }

    /// Forgets all that fits a request.
    pub(super) fn forget(&self, asked: &Asked<'_>) {
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(rules) = hosts.get_mut(asked.host) {
            for Kept { rule, decisions } in rules.iter_mut() {
                if let Some(value) = rule.value_in(asked) {
                    decisions.remove(&value);
                }
            }
            rules.retain(|kept| !kept.decisions.is_empty());
        }
        hosts.retain(|_, rules| !rules.is_empty());
        self.count.store(count(&hosts), Relaxed);
    }
}

type Hosts = BTreeMap<String, Vec<Kept>>;

fn count(hosts: &Hosts) -> usize {
    hosts.values().flatten().map(|kept| kept.decisions.len()).sum()
}

fn drop_old(hosts: &mut Hosts, now: Instant) {
    for rules in hosts.values_mut() {
        for kept in rules.iter_mut() {
            kept.decisions.retain(|_, decision| decision.until > now);
        }
        rules.retain(|kept| !kept.decisions.is_empty());
    }
    hosts.retain(|_, rules| !rules.is_empty());
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key.trim(), value.trim()))
        .find(|(key, _)| *key == name)
        .map(|it| it.1)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TTL: Duration = Duration::from_mins(1);

    fn target(app: &str) -> Target {
        Target { app: app.to_owned(), choice: Choice::default() }
    }

    fn app(cache: &ReplayCache, asked: &Asked<'_>) -> Option<String> {
        cache.find(asked).map(|found| found.target.app)
    }

    #[test]
    fn the_longest_path_wins_and_other_paths_are_asked_again() {
        let (cache, headers) = (ReplayCache::default(), HeaderMap::new());
        let at = |path| Asked { host: "shop.localhost", path, headers: &headers };
        for (pattern, to) in [("/*", "wide"), ("/a/b/*", "narrow"), ("shop.localhost/c", "own")] {
            let asked = at(pattern.trim_start_matches("shop.localhost").trim_end_matches("/*"));
            let asked = if pattern == "/*" { at("/") } else { asked };
            let rule = Rule::new(pattern, Key::Path, false, &asked).expect("it fits");
            cache.keep(&asked, &rule, TTL, target(to));
        }
        assert_eq!(app(&cache, &at("/a/b/c")).as_deref(), Some("narrow"));
        assert_eq!(app(&cache, &at("/a/bc")).as_deref(), Some("wide"));
        assert_eq!(app(&cache, &at("/c")).as_deref(), Some("own"));
        assert!(app(&cache, &Asked { host: "other.localhost", ..at("/") }).is_none());
        assert!(
            Rule::new("/x/*", Key::Path, false, &at("/y")).is_none(),
            "it must fit the request"
        );
        assert!(Rule::new("other.test/*", Key::Path, false, &at("/y")).is_none());
        cache.forget(&at("/a/b"));
        assert!(app(&cache, &at("/a/b")).is_none());
        assert!(app(&cache, &at("/a/bc")).is_none(), "the wide one fitted too");
        assert_eq!(app(&cache, &at("/c/d")).as_deref(), Some("own"));
    }

    #[test]
    fn a_session_is_told_by_its_cookies_value_and_ends_with_its_time() {
        let cache = ReplayCache::default();
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(value));
            headers
        };
        let (one, two, none) = (with("a=1; session=one"), with("session=two"), with("a=1"));
        let asked = |headers| Asked { host: "shop.localhost", path: "/", headers };
        let key = Key::Cookie("session".to_owned());
        let rule = Rule::new("/", key.clone(), true, &asked(&one)).expect("it fits");
        assert!(Rule::new("/", key, true, &asked(&none)).is_none());
        cache.keep(&asked(&one), &rule, TTL, target("first"));
        assert!(cache.find(&asked(&one)).expect("found").may_be_skipped);
        assert!(app(&cache, &asked(&two)).is_none());
        cache.keep(&asked(&two), &rule, Duration::ZERO, target("late"));
        assert!(app(&cache, &asked(&two)).is_none(), "it has run out");
    }

    #[test]
    fn sessions_without_number_cost_bounded_memory() {
        let cache = ReplayCache::default();
        let name = HeaderName::from_static("session");
        for number in 0..DECISIONS_MAX + 100 {
            let mut headers = HeaderMap::new();
            headers.insert(&name, HeaderValue::from(number));
            let asked = Asked { host: "shop.localhost", path: "/", headers: &headers };
            let rule = Rule::new("/", Key::Header(name.clone()), false, &asked).expect("it fits");
            cache.keep(&asked, &rule, TTL, target("x"));
        }
        assert_eq!(cache.count.load(Relaxed), DECISIONS_MAX);
    }
}
