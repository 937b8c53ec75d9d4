//! The one place that reads the clock and that waits: every other module takes the time as a value.
//!
//! Times are whole milliseconds since the Unix epoch, in UTC, because that is what the database
//! compares; people see RFC 3339.

use std::time::Duration;

use tokio::sync::Notify;

/// Milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A point on the monotonic clock, for measuring how long something took.
#[expect(clippy::disallowed_methods, reason = "this is the service's clock")]
pub(crate) fn monotonic() -> std::time::Instant {
    std::time::Instant::now()
}

/// `ms` as RFC 3339 in UTC, for example `2026-11-24T03:36:45.120Z`.
///
/// A time that no calendar holds is written as its number.
pub(crate) fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}

/// Waits until `deadline_ms`, or until `wake` is notified, whichever is first; with no deadline,
/// until `wake`.
pub(crate) async fn wait_until(deadline_ms: Option<i64>, wake: &Notify) {
    let Some(deadline_ms) = deadline_ms else {
        wake.notified().await;
        return;
    };
    let left_ms = u64::try_from(deadline_ms.saturating_sub(now_ms())).unwrap_or(0);
    // Both ends of this wait are what the caller asked for, so which one it was says nothing.
    drop(tokio::time::timeout(Duration::from_millis(left_ms), wake.notified()).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_as_rfc_3339_in_utc() {
        assert_eq!(rfc3339(1_764_000_000_120), "2025-11-24T16:00:00.12Z");
    }

    #[test]
    fn a_time_out_of_the_calendar_is_still_written() {
        assert_eq!(rfc3339(i64::MAX), i64::MAX.to_string());
    }
}
