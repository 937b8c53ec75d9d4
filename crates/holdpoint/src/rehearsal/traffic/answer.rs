//! What a client saw of one request.

use std::time::Duration;

use holdpoint_core::id::{AppName, Environment, ServiceName};
use jiff::Timestamp;

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Party {
    /// Where.
    pub environment: Environment,
    /// The service.
    pub service: ServiceName,
    /// Its app there.
    pub app: AppName,
}

/// One request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When the request was due, by the release's clock.
    pub asked_at: Timestamp,
    /// When its answer was complete, by the release's clock.
    pub ended_at: Timestamp,
    /// From when it was due until its answer was complete, in real time. It counts from when it
    /// was due, not from when it left, so that a slow service can't hide by slowing its client.
    pub took: Duration,
    /// The digest of the image that answered, where the platform tells it.
    pub image: Option<String>,
    /// What came of it.
    pub result: Received,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// The answer that was expected, whole.
    Expected,
    /// A whole answer with another status than the expected one.
    Status(u16),
    /// No whole answer; why.
    Nothing(String),
}

impl Answer {
    /// Whether the client was let down: no answer, or another than the expected one.
    pub fn is_failed(&self) -> bool {
        self.result != Received::Expected
    }
}
