//! The body of a refusal. Machine calls answer `error`, app calls answer
//! `message`; Fly's client prefers `message`, and so does [`ErrorBody::text`].

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// A code such as `name_taken` or `insufficient_capacity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

impl ErrorBody {
    /// A body as the machine routes write it.
    pub fn new(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }

    /// The same with a status code such as `name_taken`.
    pub fn with_status(error: impl Into<String>, status: impl Into<String>) -> Self {
        Self { error: Some(error.into()), status: Some(status.into()), message: None }
    }

    /// What to show a person, if the body says anything.
    pub fn text(&self) -> Option<&str> {
        self.message.as_deref().or(self.error.as_deref()).filter(|text| !text.is_empty())
    }
}
