//! The one place of this crate that reads a clock or waits for time to pass.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The time of day, for what people and clients read.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// A point on the clock that never goes back, for durations.
#[expect(clippy::disallowed_methods, reason = "this module is the crate's clock")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// Waits.
#[expect(clippy::disallowed_methods, reason = "this module is the crate's clock")]
pub(crate) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// A timer that can be set anew.
pub(crate) fn timer(deadline: Instant) -> tokio::time::Sleep {
    tokio::time::sleep_until(deadline.into())
}

/// Waits until the deadline; for ever, if there is none.
pub(crate) async fn pause_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
