//! `POST /webhooks/chatwoot`: believed when its signature is right, answered when the message is
//! on the disk. What is none of ours is answered 200 with the reason, because Chatwoot turns a
//! failing webhook off.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use http::HeaderMap;
use serde_json::{Value, json};

use super::error::ApiError;
use crate::chatwoot::payload::{self, Webhook};
use crate::chatwoot::signature::{self, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use crate::intake::{self, Taken};
use crate::{Service, clock};

/// Takes a webhook.
pub(super) async fn take(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let taken = accept(&service, &headers, body).await;
    let outcome = match &taken {
        Ok(answer) => answer.get("status").and_then(Value::as_str).unwrap_or_default(),
        Err(_) => "refused",
    };
    service.metrics.webhook(outcome);
    taken.map(Json)
}

async fn accept(
    service: &Service,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Value, ApiError> {
    let body = body?;
    let now_ms = clock::now_ms();
    let secrets = &service.settings.webhook_secrets;
    if !secrets.is_empty() {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let (given, at) = (header(SIGNATURE_HEADER), header(TIMESTAMP_HEADER));
        signature::verify(secrets, given, at, &body, now_ms)?;
    }
    let body: Value = serde_json::from_slice(&body).map_err(|error| {
        ApiError::bad_request(format!("the webhook's body isn't JSON: {error}"))
    })?;
    let message = match payload::read(&body, service.settings.account_id) {
        Webhook::Message(message) => message,
        Webhook::Ignored { reason } => {
            tracing::debug!(reason, "webhook ignored");
            return Ok(json!({ "status": "ignored", "reason": reason }));
        }
    };
    let (message_id, conversation_id) = (message.message_id, message.conversation_id);
    let taken = intake::take(&service.storage, &message, now_ms).await?;
    let status = match taken {
        Taken::Accepted => "accepted",
        Taken::Duplicate => "duplicate",
    };
    tracing::info!(message_id, conversation_id, status, "message taken");
    if taken == Taken::Accepted {
        service.new_message.notify_one();
    }
    // the message waits in this machine's queue, and in no other's
    Ok(json!({ "status": status, "machine_id": service.settings.machine_id }))
}
