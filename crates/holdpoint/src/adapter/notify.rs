//! Tells people: a line for the terminal and a POST to each webhook. Every message carries its
//! effect's id, by which a receiver knows one that it has had already. When and what to tell is
//! the core's decision.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use holdpoint_core::effect::{Notice, NoticeKind};
use holdpoint_core::id::EffectId;
use jiff::Timestamp;
use reqwest::{Client, Url};
use serde::Serialize;
use thiserror::Error;
use tokio::sync::mpsc;

use super::http_client;

/// Chat systems answer within a second; one that takes longer than this is not waited for.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The header by which receivers tell a repeated message (draft-ietf-httpapi-idempotency-key).
const ID_HEADER: &str = "idempotency-key";

/// Tells people.
#[derive(Debug)]
pub struct Notifier {
    terminal: mpsc::Sender<Notice>,
    /// Messages that were handed to the terminal: one whose webhooks failed is asked for again.
    shown: Mutex<BTreeSet<EffectId>>,
}

/// Why a message did not reach a webhook.
#[derive(Debug, Error)]
pub enum NotifyError {
    /// The webhook's address is none.
    #[error(
        "a webhook of `[notify]` is not an address: {message}\nhint: write it as `https://HOST/PATH`"
    )]
    Address {
        /// What is wrong with it.
        message: String,
    },
    /// The webhook could not be reached.
    #[error(
        "could not tell the webhook at `{host}`: {message}\nhint: check `webhooks` of `[notify]` and that the receiver runs"
    )]
    Unreached {
        /// The host alone: the rest of the address may be a secret.
        host: String,
        /// How the call failed.
        message: String,
    },
    /// The webhook said no.
    #[error(
        "the webhook at `{host}` answered {status} to a message\nhint: check `webhooks` of `[notify]` against the receiver's settings"
    )]
    Refused {
        /// The host alone.
        host: String,
        /// The answer's status.
        status: u16,
    },
}

/// What a webhook gets.
#[derive(Debug, Serialize)]
struct Payload<'a> {
    id: &'a str,
    kind: NoticeKind,
    text: &'a str,
    at: Timestamp,
}

impl Notifier {
    /// A notifier whose lines for the terminal go into `terminal`; whoever holds the other end
    /// prints them.
    pub fn new(terminal: mpsc::Sender<Notice>) -> Self {
        Self { terminal, shown: Mutex::default() }
    }

    /// Hands a message to the terminal, once. A terminal that doesn't keep up loses lines: they are in
    /// the journal all the same.
    pub fn show(&self, id: &EffectId, notice: &Notice) {
        let is_new = self.shown.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        if !is_new {
            return;
        }
        if let Err(error) = self.terminal.try_send(notice.clone()) {
            tracing::debug!(%error, "a message was not shown on the terminal");
        }
    }

    /// Tells every webhook, all at once, and returns what went wrong.
    pub async fn tell(&self, webhooks: &[String], id: &str, notice: &Notice) -> Vec<NotifyError> {
        let told = webhooks.iter().map(|webhook| tell_one(webhook, id, notice));
        join_all(told).await.into_iter().filter_map(Result::err).collect()
    }
}

async fn tell_one(webhook: &str, id: &str, notice: &Notice) -> Result<(), NotifyError> {
    let url =
        Url::parse(webhook).map_err(|error| NotifyError::Address { message: error.to_string() })?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let unreached = |error: reqwest::Error| NotifyError::Unreached {
        host: host.clone(),
        message: http_client::described(error),
    };
    let client: Client = http_client::for_address(webhook, TIMEOUT).map_err(unreached)?;
    let payload = Payload { id, kind: notice.kind, text: &notice.text, at: notice.at };
    let sent = client.post(url).header(ID_HEADER, id).json(&payload).send().await;
    let status = sent.map_err(unreached)?.status();
    if status.is_success() {
        return Ok(());
    }
    Err(NotifyError::Refused { host, status: status.as_u16() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::extract::State;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;
    use axum::{Json, Router};
    use serde_json::{Value, json};

    use super::*;

    type Received = Arc<Mutex<Vec<(String, Value)>>>;

    async fn receive(
        State(received): State<Received>,
        headers: HeaderMap,
        Json(body): Json<Value>,
    ) -> StatusCode {
        let id = headers.get(ID_HEADER).and_then(|id| id.to_str().ok()).unwrap_or_default();
        received.lock().expect("list").push((id.to_owned(), body));
        StatusCode::NO_CONTENT
    }

    async fn receiver() -> (String, Received) {
        let received = Received::default();
        let routes = Router::new().route("/hook", post(receive)).with_state(received.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("address");
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (format!("http://{address}"), received)
    }

    fn notice() -> Notice {
        Notice {
            at: "2026-11-24T16:00:00Z".parse().expect("a time"),
            kind: NoticeKind::ApprovalWanted,
            text: "1.0.0 waits for an engineer".to_owned(),
        }
    }

    #[tokio::test]
    async fn every_webhook_gets_the_message_with_its_id() {
        let (address, received) = receiver().await;
        let (terminal, mut shown) = mpsc::channel(4);
        let notifier = Notifier::new(terminal);
        let id = EffectId::Message { number: 7 };
        notifier.show(&id, &notice());
        notifier.show(&id, &notice());
        let hook = format!("{address}/hook");
        let problems = notifier.tell(&[hook.clone(), hook], "message-7", &notice()).await;
        assert!(problems.is_empty(), "{problems:?}");
        let expected = json!({
            "id": "message-7",
            "kind": "approval-wanted",
            "text": "1.0.0 waits for an engineer",
            "at": "2026-11-24T16:00:00Z",
        });
        let expected = ("message-7".to_owned(), expected);
        assert_eq!(*received.lock().expect("list"), [expected.clone(), expected]);
        drop(notifier);
        assert_eq!((shown.recv().await, shown.recv().await), (Some(notice()), None));
    }

    #[tokio::test]
    async fn a_webhook_that_fails_keeps_no_other_from_being_told_and_its_path_secret() {
        let (address, received) = receiver().await;
        let notifier = Notifier::new(mpsc::channel(1).0);
        let webhooks = [
            "http://127.0.0.1:1/secret-token".to_owned(),
            format!("{address}/secret-token"),
            format!("{address}/hook"),
        ];
        let problems = notifier.tell(&webhooks, "message-1", &notice()).await;
        assert_eq!(problems.len(), 2);
        let text = format!("{} {}", problems[0], problems[1]);
        assert!(text.contains("answered 404") && text.contains("could not tell"), "{text}");
        assert!(!text.contains("secret-token"), "{text}");
        assert_eq!(received.lock().expect("list").len(), 1);
    }
}
