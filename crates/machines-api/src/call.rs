//! One HTTP call: its address, its sending and the reading of its answer. Bodies
//! are bounded, redirects are not followed, nothing is sent twice.

use std::time::Duration;

use http::{Method, StatusCode};
use reqwest::{RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, Effect, ErrorClass};
use crate::types::ErrorBody;

/// A list of a few thousand machines with their events stays far below this.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// A refusal that isn't JSON (a gateway's page) is quoted up to here.
const MAX_QUOTED_CHARACTERS: usize = 300;

/// The name under which a lease's nonce travels.
const NONCE_HEADER: &str = "fly-machine-lease-nonce";

pub(crate) struct Call {
    operation: String,
    effect: Effect,
    request: Result<RequestBuilder, ApiError>,
}

impl Call {
    /// `segments` are the parts of the path after `/v1`, each escaped here.
    pub(crate) fn new(
        http: &reqwest::Client,
        base: &Url,
        method: Method,
        segments: &[&str],
        operation: String,
    ) -> Self {
        let effect = if method == Method::GET { Effect::Read } else { Effect::Write };
        let request = address(base, segments)
            .map(|url| http.request(method, url))
            .map_err(|message| refused(&operation, message));
        Self { operation, effect, request }
    }

    pub(crate) fn timeout(self, timeout: Duration) -> Self {
        self.map(|request| request.timeout(timeout))
    }

    pub(crate) fn query<T: Serialize + ?Sized>(self, query: &T) -> Self {
        self.map(|request| request.query(query))
    }

    pub(crate) fn body<T: Serialize + ?Sized>(self, body: &T) -> Self {
        self.map(|request| request.json(body))
    }

    pub(crate) fn nonce(self, nonce: Option<&str>) -> Self {
        match nonce {
            Some(nonce) => self.map(|request| request.header(NONCE_HEADER, nonce)),
            None => self,
        }
    }

    /// Sends the call and reads the answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        self.read(|error| format!("the answer could not be read: {error}")).await
    }

    /// The same for an answer that holds secrets: the parser's own words could quote one.
    pub(crate) async fn secret_json<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        self.read(|_quotes_values| "the answer could not be read".to_owned()).await
    }

    async fn read<T: DeserializeOwned>(
        self,
        words: impl FnOnce(serde_json::Error) -> String,
    ) -> Result<T, ApiError> {
        let (operation, effect) = (self.operation.clone(), self.effect);
        let (status, bytes) = self.send().await?;
        serde_json::from_slice(&bytes).map_err(|error| ApiError {
            operation,
            status: Some(status.as_u16()),
            message: words(error),
            class: ErrorClass::of_lost_answer(effect),
        })
    }

    /// Sends the call; its answer carries nothing.
    pub(crate) async fn done(self) -> Result<(), ApiError> {
        self.send().await.map(|_| ())
    }

    async fn send(self) -> Result<(StatusCode, Vec<u8>), ApiError> {
        let Self { operation, effect, request } = self;
        let response = match request?.send().await {
            Ok(response) => response,
            Err(error) => return Err(unsent_or_lost(operation, effect, &error)),
        };
        let status = response.status();
        let bytes = match read_bounded(response).await {
            Ok(bytes) => bytes,
            // A refusal stays a refusal, though its words got lost.
            Err(message) if !status.is_success() => message.into_bytes(),
            Err(message) => {
                let class = ErrorClass::of_lost_answer(effect);
                return Err(ApiError { operation, status: Some(status.as_u16()), message, class });
            }
        };
        if status.is_success() {
            return Ok((status, bytes));
        }
        Err(ApiError {
            operation,
            status: Some(status.as_u16()),
            message: words(&bytes, status),
            class: ErrorClass::of_status(status.as_u16(), effect),
        })
    }

    fn map(mut self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Self {
        self.request = self.request.map(change);
        self
    }
}

/// A refusal that this side makes before anything is sent.
fn refused(operation: &str, message: String) -> ApiError {
    ApiError { operation: operation.to_owned(), status: None, message, class: ErrorClass::Refused }
}

fn address(base: &Url, segments: &[&str]) -> Result<Url, String> {
    if let Some(bad) = segments.iter().find(|segment| matches!(**segment, "" | "." | "..")) {
        return Err(format!("`{bad}` is no name that can stand in an address"));
    }
    let mut url = base.clone();
    match url.path_segments_mut() {
        Ok(mut path) => {
            path.pop_if_empty().push("v1").extend(segments);
        }
        Err(()) => return Err(format!("`{base}` cannot be the base of an address")),
    }
    Ok(url)
}

fn unsent_or_lost(operation: String, effect: Effect, error: &reqwest::Error) -> ApiError {
    let class = if error.is_builder() {
        ErrorClass::Refused
    } else if error.is_connect() {
        // Nothing was sent, so even a write may be repeated.
        ErrorClass::Retry
    } else {
        ErrorClass::of_lost_answer(effect)
    };
    ApiError { operation, status: None, message: with_causes(error), class }
}

/// An error and what caused it, since reqwest's own text names neither.
fn with_causes(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() {
        "no answer within the time limit".to_owned()
    } else {
        error.to_string()
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn read_bounded(mut response: Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > MAX_ANSWER_BYTES => {
                return Err(format!("the answer is longer than {MAX_ANSWER_BYTES} bytes"));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(bytes),
            Err(error) => return Err(format!("the answer broke off: {}", with_causes(&error))),
        }
    }
}

/// The API's words: `message` or `error` of a JSON body with its code, else the raw text.
fn words(bytes: &[u8], status: StatusCode) -> String {
    if let Ok(body) = serde_json::from_slice::<ErrorBody>(bytes)
        && let Some(text) = body.text()
    {
        return match &body.status {
            Some(code) if code != "unknown" && !text.contains(code) => format!("{text} ({code})"),
            Some(_) | None => text.to_owned(),
        };
    }
    let raw: String =
        String::from_utf8_lossy(bytes).trim().chars().take(MAX_QUOTED_CHARACTERS).collect();
    if raw.is_empty() {
        status.canonical_reason().unwrap_or("no message").to_lowercase()
    } else {
        raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_refusal_are_found_in_every_form() {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        for (body, expected) in [
            (
                r#"{"error":"no room","status":"insufficient_capacity"}"#,
                "no room (insufficient_capacity)",
            ),
            (r#"{"message":"taken","error":"x"}"#, "taken"),
            (r#"{"error":"bad","status":"unknown"}"#, "bad"),
            ("<html>", "<html>"),
            ("", "unprocessable entity"),
        ] {
            assert_eq!(words(body.as_bytes(), status), expected);
        }
    }

    #[test]
    fn a_name_cannot_leave_its_place_in_the_address() {
        let base = Url::parse("http://127.0.0.1:1/").unwrap();
        let url = address(&base, &["apps", "a/../b?c"]).unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:1/v1/apps/a%2F..%2Fb%3Fc");
        assert!(address(&base, &["apps", ".."]).is_err());
        assert!(address(&base, &["apps", ""]).is_err());
    }
}
