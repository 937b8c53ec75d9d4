//! How a refusal reads: a status, and a JSON body `{"error": {"code", "message", "hint"}}`.

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use crate::approvals::{DecideError, Lost};
use crate::chatwoot::signature::SignatureError;
use crate::storage::StorageError;

/// An answer that isn't what was asked for.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    /// With its hint after `\nhint: `, when there is one.
    message: String,
    /// Further members of the body.
    members: Map<String, Value>,
    /// Boxed, because few refusals have one and every result carries the room for it.
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl ApiError {
    /// A refusal with this status.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), members: Map::new(), header: None }
    }

    /// There's no such thing here.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// The request makes no sense.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// With a response header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }

    fn with_members(mut self, members: Value) -> Self {
        if let Value::Object(members) = members {
            self.members = members;
        }
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (message, hint) = match self.message.split_once("\nhint: ") {
            Some((message, hint)) => (message, Some(hint)),
            None => (self.message.as_str(), None),
        };
        let mut body = self.members;
        let error = json!({ "code": self.code, "message": message, "hint": hint });
        body.insert("error".to_owned(), error);
        let mut response = (self.status, Json(Value::Object(body))).into_response();
        if let Some(header) = self.header {
            let (name, value) = *header;
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        tracing::error!(error = %error, "the database refused");
        let message = "the database didn't answer\nhint: see the service's log; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "storage", message)
    }
}

impl From<SignatureError> for ApiError {
    fn from(error: SignatureError) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "signature", error.to_string())
    }
}

impl From<DecideError> for ApiError {
    fn from(error: DecideError) -> Self {
        let message = error.to_string();
        match error {
            DecideError::Unknown { .. } => Self::not_found(message),
            DecideError::Invalid { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
            }
            DecideError::Lost(lost) => {
                let Lost { approval, action, actor, at, .. } = *lost;
                let members = json!({
                    "action_taken": action, "processed_by": actor, "processed_at": at,
                    "state": approval.state, "version": approval.version, "approval": approval,
                });
                Self::new(StatusCode::CONFLICT, "conflict", message).with_members(members)
            }
            DecideError::Storage(error) => error.into(),
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        let code = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            "too_large"
        } else {
            "invalid"
        };
        Self::new(rejection.status(), code, rejection.body_text())
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        let code = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            "too_large"
        } else {
            "unreadable"
        };
        Self::new(rejection.status(), code, rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}
