//! Chatwoot's messages API: sending a reply, and looking whether one was sent.
//!
//! Chatwoot knows no idempotency key, so a reply carries the approval's id where Chatwoot keeps
//! it (`content_attributes`, `echo_id`), and a reply whose fate is unknown is looked for by that,
//! or by its words and time, before it is sent again.

use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::approvals::ReplyArguments;
use crate::settings::ChatwootSettings;

/// Where the approval's id is kept in a message.
const MARKER: &str = "idempotency_key";
/// How long one request may take. A send that outlasts it may still arrive: its fate is unknown.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// A page of messages is 20 messages; this is far more.
const ANSWER_MAX_BYTES: usize = 8 * 1024 * 1024;
/// How many pages back a reply is looked for.
const PAGES_MAX: u32 = 20;
/// How far Chatwoot's clock may be behind this one.
const SKEW_SECS: i64 = 60;
/// The longest part of an error body that is told.
const CAUSE_MAX_CHARS: usize = 300;

/// Why a request didn't do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nothing was done; it can be tried again.
    #[error("{0}")]
    NotDone(String),
    /// It will never be done.
    #[error("{0}")]
    Refused(String),
    /// It may have been done.
    #[error("{0}")]
    Unknown(String),
}

/// Chatwoot, as seen from here.
#[derive(Debug)]
pub(crate) struct Client {
    client: reqwest::Client,
    base_url: String,
}

impl Client {
    pub(crate) fn new(settings: &ChatwootSettings) -> Result<Self, reqwest::Error> {
        let mut headers = HeaderMap::new();
        if let Ok(mut token) = HeaderValue::from_str(settings.token.expose_secret()) {
            token.set_sensitive(true);
            headers.insert(HeaderName::from_static("api_access_token"), token);
        }
        let client = crate::client::builder()
            .default_headers(headers)
            .timeout(REQUEST_TIMEOUT)
            // A redirected POST would arrive as a GET.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client, base_url: settings.base_url.clone() })
    }

    /// Sends a reply; tells the message's id when Chatwoot does.
    pub(crate) async fn send(
        &self,
        reply: &ReplyArguments,
        key: &str,
    ) -> Result<Option<String>, ClientError> {
        let body = json!({
            "content": reply.content, "private": false, "message_type": "outgoing",
            "content_type": "text", "echo_id": key, "content_attributes": { MARKER: key },
        });
        let request = self.client.post(self.messages_url(reply));
        let request = request.header("idempotency-key", key).json(&body);
        let response = request.send().await.map_err(|error| transport("send the reply", &error))?;
        let status = response.status();
        if !status.is_success() {
            let cause = cause(response).await;
            return Err(refusal("send the reply", status, &cause));
        }
        // It is sent, whatever the body says.
        let body = read(response).await.unwrap_or(Value::Null);
        Ok(receipt(&body))
    }

    /// Looks for a reply that may have been sent since `approved_at_ms`; tells its id.
    pub(crate) async fn find(
        &self,
        reply: &ReplyArguments,
        key: &str,
        approved_at_ms: i64,
    ) -> Result<Option<String>, ClientError> {
        let operation = "look for the reply";
        let since_secs = approved_at_ms.div_euclid(1_000) - SKEW_SECS;
        let mut before: Option<i64> = None;
        for _page in 0..PAGES_MAX {
            let mut request = self.client.get(self.messages_url(reply));
            if let Some(before) = before {
                request = request.query(&[("before", before)]);
            }
            let response = request.send().await.map_err(|error| transport(operation, &error))?;
            let status = response.status();
            if !status.is_success() {
                let cause = cause(response).await;
                return Err(refusal(operation, status, &cause));
            }
            let body = read(response).await.map_err(ClientError::Unknown)?;
            let Some(messages) = body.get("payload").and_then(Value::as_array) else {
                return Err(ClientError::Unknown(format!(
                    "can't {operation}: Chatwoot's answer has no `payload`"
                )));
            };
            let found = messages.iter().find(|message| matches(message, reply, key, since_secs));
            if let Some(message) = found {
                return Ok(Some(receipt(message).unwrap_or_else(|| key.to_owned())));
            }
            let oldest = messages.iter().filter_map(|message| message.get("id")?.as_i64()).min();
            let reached = messages.iter().any(|message| created_secs(message) < since_secs);
            // A server that doesn't page gives the same page again.
            if oldest.is_none() || oldest == before || reached {
                return Ok(None);
            }
            before = oldest;
        }
        Ok(None)
    }

    fn messages_url(&self, reply: &ReplyArguments) -> String {
        let ReplyArguments { account_id, conversation_id, .. } = reply;
        let base_url = &self.base_url;
        format!("{base_url}/api/v1/accounts/{account_id}/conversations/{conversation_id}/messages")
    }
}

fn matches(message: &Value, reply: &ReplyArguments, key: &str, since_secs: i64) -> bool {
    let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str);
    if text("/content_attributes/idempotency_key") == Some(key) || text("/echo_id") == Some(key) {
        return true;
    }
    let message_type = message.get("message_type");
    let outgoing = message_type
        .is_some_and(|value| value.as_i64() == Some(1) || value.as_str() == Some("outgoing"));
    let private = message.get("private").and_then(Value::as_bool).unwrap_or(false);
    let same = text("/content").is_some_and(|content| words(content).eq(words(&reply.content)));
    outgoing && !private && same && created_secs(message) >= since_secs
}

/// Chatwoot may trim a message or change its line ends.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

/// A message without a readable time counts as new: sending twice is worse than looking longer.
fn created_secs(message: &Value) -> i64 {
    message.get("created_at").and_then(Value::as_i64).unwrap_or(i64::MAX)
}

fn receipt(message: &Value) -> Option<String> {
    message.get("id").and_then(Value::as_i64).map(|id| id.to_string())
}

fn transport(operation: &str, error: &reqwest::Error) -> ClientError {
    let message = format!("can't {operation}: Chatwoot can't be reached: {error}");
    if error.is_connect() { ClientError::NotDone(message) } else { ClientError::Unknown(message) }
}

/// What a status says about the request. Refused for good is only what no operator can mend; a
/// wrong token or address is tried again until somebody has.
fn refusal(operation: &str, status: StatusCode, cause: &str) -> ClientError {
    let message = format!("can't {operation}: Chatwoot answered {status}: {cause}");
    match status.as_u16() {
        400 | 404 | 410 | 413 | 415 | 422 => ClientError::Refused(message),
        408 | 500..=599 => ClientError::Unknown(message),
        _ => ClientError::NotDone(message),
    }
}

async fn cause(response: reqwest::Response) -> String {
    let body = read(response).await.map(|body| body.to_string());
    body.unwrap_or_else(|error| error).chars().take(CAUSE_MAX_CHARS).collect()
}

async fn read(mut response: reqwest::Response) -> Result<Value, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
        if bytes.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err("Chatwoot's answer is larger than 8 MiB".to_owned());
        }
        bytes.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&bytes).map_err(|error| format!("Chatwoot's answer isn't JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> ReplyArguments {
        ReplyArguments {
            account_id: 1,
            conversation_id: 7,
            content: "It is\non its way.".to_owned(),
        }
    }

    #[test]
    fn a_reply_is_recognised_by_its_marker_or_its_words() {
        let seen = |message: Value| matches(&message, &reply(), "key-1", 1_000);
        assert!(seen(json!({"content": "edited", "content_attributes": {MARKER: "key-1"}})));
        assert!(seen(json!({"content": "edited", "echo_id": "key-1"})));
        let words = "It is on its way. ";
        assert!(seen(json!({"content": words, "message_type": 1, "created_at": 1_000})));
        assert!(seen(json!({"content": words, "message_type": "outgoing", "created_at": 1_000})));
    }

    #[test]
    fn another_message_is_not_taken_for_the_reply() {
        let seen = |message: Value| matches(&message, &reply(), "key-1", 1_000);
        let words = "It is on its way.";
        assert!(!seen(json!({"content": words, "message_type": 0, "created_at": 2_000})));
        assert!(!seen(json!({"content": words, "message_type": 1, "created_at": 999})));
        let private = json!(
            {"content": words, "message_type": 1, "private": true, "created_at": 2_000}
        );
        assert!(!seen(private));
        assert!(!seen(json!({"content": "No.", "message_type": 1, "created_at": 2_000})));
        assert!(!seen(json!(null)));
    }

    #[test]
    fn only_what_nobody_can_mend_is_refused_for_good() {
        let class = |status| refusal("send", StatusCode::from_u16(status).unwrap(), "");
        assert!(matches!(class(404), ClientError::Refused(_)));
        assert!(matches!(class(422), ClientError::Refused(_)));
        assert!(matches!(class(401), ClientError::NotDone(_)));
        assert!(matches!(class(429), ClientError::NotDone(_)));
        assert!(matches!(class(502), ClientError::Unknown(_)));
    }
}
