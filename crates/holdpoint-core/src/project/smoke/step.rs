//! One question over HTTP, how it is asked, and what the answer must hold. It asks nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::expectation::JsonExpectation;
use super::json_path::JsonPath;
use super::scope::Scope;
use super::template::{self, ENV};
use crate::project::reader::{Table, Value};

/// The longest time that a step may take in all; longer ones belong in a test suite.
pub(super) const LIMIT_MS: u64 = 5 * 60 * 1000;

/// How long an answer may take unless the file says otherwise.
const WITHIN_MS: u64 = 5 * 1000;

/// How often a step with a budget is asked, unless the file says otherwise.
const SAMPLES: u32 = 20;

/// How often a step may be asked in a row.
const SAMPLES_LIMIT: u64 = 1000;

/// How many expectations one step may have.
const EXPECTATIONS_LIMIT: usize = 64;

/// HTTP methods that a step can use.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// One question and the answer that it must get. Texts may have variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpStep {
    /// What the step shows; unique in its check.
    pub name: String,
    /// HTTP method in upper case; `GET` by default.
    pub method: String,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// Header names in lower case with their values.
    pub headers: BTreeMap<String, String>,
    /// The request's body.
    pub body: Option<String>,
    /// How the request is signed.
    pub sign: Option<Signature>,
    /// The status that counts as success; 200 by default.
    pub expect_status: u16,
    /// Text that the answer's body must contain.
    pub expect_body_contains: Option<String>,
    /// What the answer's JSON must hold.
    pub expect_json: Vec<JsonExpectation>,
    /// What later steps need of the answer, by the names of their variables.
    pub capture: BTreeMap<String, JsonPath>,
    /// Each whole answer must have arrived within this time, in milliseconds; 5 s by default.
    pub within_ms: u64,
    /// For how long it is asked again until the answer is as expected, in milliseconds; 0 asks once.
    pub retry_for_ms: u64,
    /// How often it is asked in a row, at least once.
    pub samples: u32,
    /// What 95 % of the answers must have arrived within, in milliseconds.
    pub p95_ms: Option<u64>,
}

/// A signature over a request, as webhooks have it: `sha256=` and the hex digits of an
/// HMAC-SHA256, over the body or over `TIMESTAMP.BODY`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The variable of the conductor's environment that holds the secret.
    pub secret: String,
    /// The header that gets the signature.
    pub header: String,
    /// The header that gets the time of signing in Unix seconds, which is then signed too.
    pub timestamp_header: Option<String>,
}

impl HttpStep {
    /// A plain question.
    pub(in crate::project) fn new(name: &str, method: &str, path: &str) -> Self {
        Self {
            name: name.to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            headers: BTreeMap::new(),
            body: None,
            sign: None,
            expect_status: 200,
            expect_body_contains: None,
            expect_json: Vec::new(),
            capture: BTreeMap::new(),
            within_ms: WITHIN_MS,
            retry_for_ms: 0,
            samples: 1,
            p95_ms: None,
        }
    }

    /// How long it may take in all, in milliseconds.
    pub fn limit_ms(&self) -> u64 {
        let asked = self.within_ms.saturating_mul(u64::from(self.samples.max(1)));
        asked.saturating_add(self.retry_for_ms).min(LIMIT_MS)
    }

    /// Whether it needs nothing that a run or an earlier step would have to bring.
    pub(super) fn is_plain(&self) -> bool {
        self.sign.is_none() && self.asked_texts().all(|text| template::variables(text).is_empty())
    }

    /// Every text of the request that may have variables.
    pub(super) fn asked_texts(&self) -> impl Iterator<Item = &String> {
        self.headers.values().chain(&self.body).chain([&self.path])
    }

    /// The variables of the conductor's environment that it needs.
    pub(super) fn secrets(&self) -> BTreeSet<String> {
        let named = self.asked_texts().flat_map(|text| template::variables(text));
        let named = named.filter_map(|name| name.strip_prefix(ENV));
        let signing = self.sign.iter().map(|sign| sign.secret.as_str());
        named.chain(signing).map(str::to_owned).collect()
    }

    /// Reads what the table says over what the step says already, with every name that it uses.
    /// What it captures is known from then on.
    pub(super) fn read_over(&mut self, table: &mut Table<'_>, scope: &mut Scope) {
        if let Some(method) = table.take("method") {
            let method = method.word("HTTP method", &METHODS, |word| word);
            self.method = method.unwrap_or("GET").to_owned();
        }
        let path = if self.path.is_empty() {
            table.require("path", "\"/health\"")
        } else {
            table.take("path")
        };
        if let Some(path) = path.and_then(|value| read_path(&value, scope)) {
            self.path = path;
        }
        if let Some(headers) = read_headers(table, scope) {
            self.headers = headers;
        }
        if let Some(body) = table.take("body") {
            self.body = scope.text(&body);
        }
        if let Some(sign) = table.table("sign", Signature::read) {
            self.sign = Some(sign);
        }
        self.read_expectations(table, scope);
        self.read_times(table);
        if let Some(captures) = read_captures(table, scope) {
            self.capture = captures;
        }
        self.capture.keys().for_each(|name| scope.add(name));
    }

    fn read_expectations(&mut self, table: &mut Table<'_>, scope: &Scope) {
        let status = table.take("expect_status").and_then(|value| value.number(&(100..=599)));
        if let Some(status) = status.and_then(|status| u16::try_from(status).ok()) {
            self.expect_status = status;
        }
        if let Some(contains) = table.take("expect_body_contains") {
            self.expect_body_contains = scope.text(&contains);
        }
        let expected = table
            .tables("expect_json", EXPECTATIONS_LIMIT, |table| JsonExpectation::read(table, scope));
        if let Some(expected) = expected {
            self.expect_json = expected.into_iter().flatten().collect();
        }
    }

    fn read_times(&mut self, table: &mut Table<'_>) {
        if let Some(within) = table.take("within").and_then(|value| value.millis(&(1..=LIMIT_MS))) {
            self.within_ms = within;
        }
        let retry = table.take("retry_for").and_then(|value| value.millis(&(0..=LIMIT_MS)));
        self.retry_for_ms = retry.unwrap_or(self.retry_for_ms);
        let p95 = table.take("p95").and_then(|value| value.millis(&(1..=LIMIT_MS)));
        if p95.is_some() {
            (self.p95_ms, self.samples) = (p95, SAMPLES);
        }
        let samples = table.take("samples").and_then(|value| value.number(&(1..=SAMPLES_LIMIT)));
        self.samples = samples.and_then(|count| u32::try_from(count).ok()).unwrap_or(self.samples);
    }
}

impl Signature {
    fn read(table: &mut Table<'_>) -> Self {
        let (secret, place) = table.required_line("secret", "\"WEBHOOK_SECRET\"");
        if !secret.is_empty() && !template::is_environment_variable(&secret) {
            table.report.error(
                &place,
                "`secret` names the environment variable that holds the secret, and this is no name of one",
                "use letters, digits and underscores; the secret itself never stands in a file",
            );
        }
        let (header, place) = table.required_line("header", "\"x-signature\"");
        let mut names = vec![(header.clone(), place)];
        let timestamp = table.take("timestamp_header");
        let timestamp = timestamp.and_then(|value| Some((value.line()?, value.span())));
        names.extend(timestamp.clone());
        for (name, place) in names {
            if !name.is_empty() && !is_token(&name) {
                refuse_header(table, &place, &name);
            }
        }
        Self {
            secret,
            header: header.to_ascii_lowercase(),
            timestamp_header: timestamp.map(|(name, _)| name.to_ascii_lowercase()),
        }
    }
}

/// A request's path.
pub(super) fn read_path(value: &Value<'_>, scope: &Scope) -> Option<String> {
    let path = value.line()?;
    if !path.starts_with('/') || path.contains(char::is_whitespace) {
        value.report.error(
            &value.span(),
            format!("`{path}` is no path of a request"),
            "begin it with `/` and write spaces as `%20`; the host comes from the app",
        );
    }
    scope.check_text(value);
    Some(path)
}

/// A request's headers, if there are any.
pub(super) fn read_headers(
    table: &mut Table<'_>,
    scope: &Scope,
) -> Option<BTreeMap<String, String>> {
    table.take("headers")?;
    let headers = table.texts("headers").into_iter().filter_map(|(name, value)| {
        let content = value.line()?;
        if !is_token(name) || !content.is_ascii() {
            value.refuse(
                "cannot be sent as a header",
                "use letters, digits and hyphens in its name, and ASCII in its value",
            );
            return None;
        }
        scope.check_text(&value);
        Some((name.to_ascii_lowercase(), content))
    });
    Some(headers.collect())
}

fn read_captures(table: &mut Table<'_>, scope: &Scope) -> Option<BTreeMap<String, JsonPath>> {
    table.take("capture")?;
    let captures = table.texts("capture").into_iter().filter_map(|(name, value)| {
        if !template::is_variable(name) || template::BUILT_IN.contains(&name) {
            value.refuse(
                "cannot be the name of a variable",
                "use small letters, digits and underscores, and a name that no run brings itself",
            );
            return None;
        }
        Some((name.to_owned(), scope.json_path(&value)?))
    });
    Some(captures.collect())
}

fn is_token(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}

fn refuse_header(table: &Table<'_>, place: &Range<usize>, name: &str) {
    table.report.error(
        place,
        format!("`{name}` cannot be the name of a header"),
        "use letters, digits and hyphens, as in `x-signature`",
    );
}
