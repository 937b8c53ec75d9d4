//! The kinds of faults, with what each can be told, and where in the platform each strikes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::api::RoutePattern;
use crate::error::Refusal;

/// The longest delay: whoever wants more wants a reset.
const DELAY_MS_MAX: u64 = 3_600_000;

/// The longest time between two kills: a day.
const EVERY_SECS_MAX: u64 = 86_400;

/// Patterns of one fault.
const ROUTES_MAX: usize = 20;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Kind {
    /// Requests reach their machine later: by `ms`, and up to `jitter_ms` more.
    Latency {
        ms: u64,
        #[serde(default)]
        jitter_ms: u64,
    },
    /// Answers of machines get this status in place of their own.
    Error { status: u16 },
    /// The client's connection is reset before the answer, or in the middle of its body.
    Reset {
        #[serde(default)]
        when: ResetWhen,
    },
    /// Programs are killed: once, or again and again.
    Kill {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        every_secs: Option<u64>,
    },
    /// Programs start later, or their checks fail for a while after the start.
    SlowStart {
        ms: u64,
        #[serde(default)]
        part: SlowPart,
    },
    /// Health checks fail: all, or the one of this name.
    FailingCheck {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        check: Option<String>,
    },
    /// The machine's memory is filled until the kernel kills its program.
    Memory {},
    /// The machine's volumes take no more data.
    DiskFull {},
    /// The API refuses, and does nothing.
    ApiError {
        status: u16,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        routes: Vec<RoutePattern>,
    },
    /// The API does what it was asked, and the connection is closed before the answer.
    ApiLost {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        routes: Vec<RoutePattern>,
    },
    /// The API begins later.
    ApiSlow {
        ms: u64,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        routes: Vec<RoutePattern>,
    },
}

/// Where a connection is closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResetWhen {
    #[default]
    BeforeAnswer,
    MidBody,
}

/// What of a start is slow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SlowPart {
    #[default]
    Program,
    Readiness,
}

/// Where a fault strikes. Each has a bit, so that a place without faults costs one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Place {
    Request = 1,
    Answer = 2,
    Start = 4,
    Check = 8,
    Api = 16,
    /// Struck by the fault's own task and not by what passes.
    Machine = 32,
}

impl Kind {
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Latency { .. } => Place::Request,
            Self::Error { .. } | Self::Reset { .. } => Place::Answer,
            Self::SlowStart { part: SlowPart::Program, .. } => Place::Start,
            Self::SlowStart { part: SlowPart::Readiness, .. } | Self::FailingCheck { .. } => {
                Place::Check
            }
            Self::ApiError { .. } | Self::ApiLost { .. } | Self::ApiSlow { .. } => Place::Api,
            Self::Kill { .. } | Self::Memory {} | Self::DiskFull {} => Place::Machine,
        }
    }

    /// The name that clients use.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Latency { .. } => "latency",
            Self::Error { .. } => "error",
            Self::Reset { .. } => "reset",
            Self::Kill { .. } => "kill",
            Self::SlowStart { .. } => "slow_start",
            Self::FailingCheck { .. } => "failing_check",
            Self::Memory {} => "memory",
            Self::DiskFull {} => "disk_full",
            Self::ApiError { .. } => "api_error",
            Self::ApiLost { .. } => "api_lost",
            Self::ApiSlow { .. } => "api_slow",
        }
    }

    /// The limits that have no meaning for this kind.
    pub(super) fn refused_limits(&self) -> &'static [&'static str] {
        match self {
            Self::Latency { .. }
            | Self::Error { .. }
            | Self::Reset { .. }
            | Self::FailingCheck { .. }
            | Self::SlowStart { part: SlowPart::Program, .. } => &[],
            Self::Kill { .. } | Self::Memory {} => &["share", "after"],
            Self::SlowStart { part: SlowPart::Readiness, .. } | Self::DiskFull {} => {
                &["share", "after", "count"]
            }
            Self::ApiError { .. } | Self::ApiLost { .. } | Self::ApiSlow { .. } => {
                &["image_digest"]
            }
        }
    }

    /// Checks the numbers and names of the kind itself.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        match self {
            Self::Latency { ms, jitter_ms } => {
                within("ms", ms.saturating_add(*jitter_ms), 1..=DELAY_MS_MAX)
            }
            Self::SlowStart { ms, .. } => within("ms", *ms, 1..=DELAY_MS_MAX),
            Self::ApiSlow { ms, routes } => {
                within("ms", *ms, 1..=DELAY_MS_MAX)?;
                within("the number of routes", routes.len() as u64, 0..=ROUTES_MAX as u64)
            }
            Self::Error { status } => within("status", u64::from(*status), 400..=599),
            Self::ApiError { status, routes, .. } => {
                within("status", u64::from(*status), 400..=599)?;
                within("the number of routes", routes.len() as u64, 0..=ROUTES_MAX as u64)
            }
            Self::ApiLost { routes } => {
                within("the number of routes", routes.len() as u64, 0..=ROUTES_MAX as u64)
            }
            Self::Kill { every_secs: Some(every_secs) } => {
                within("every_secs", *every_secs, 1..=EVERY_SECS_MAX)
            }
            Self::Kill { every_secs: None }
            | Self::Reset { .. }
            | Self::FailingCheck { .. }
            | Self::Memory {}
            | Self::DiskFull {} => Ok(()),
        }
    }
}

/// Refuses a number outside its bounds.
pub(super) fn within(
    name: &str,
    number: u64,
    bounds: std::ops::RangeInclusive<u64>,
) -> Result<(), Refusal> {
    if bounds.contains(&number) {
        return Ok(());
    }
    let (least, most) = (bounds.start(), bounds.end());
    Err(Refusal::bad_request(format!("{name} must be from {least} to {most}, and is {number}")))
}

/// A delay of so many milliseconds.
pub(super) fn delay(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
