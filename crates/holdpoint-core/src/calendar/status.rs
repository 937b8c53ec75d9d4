//! What the calendar says about an instant, and how it is told to people. It
//! decides nothing.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Whether a production step may start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalendarStatus {
    /// It may.
    Open {
        /// The first instant at which it may no longer; `None` when that is more than a year away.
        closes_at: Option<Timestamp>,
        /// The name of the window that is open.
        window: String,
    },
    /// It may not.
    Closed {
        /// The next instant at which it may; `None` when no window opens within a year.
        opens_at: Option<Timestamp>,
        /// Everything that stands against it now, the strongest first; never empty.
        reasons: Vec<ClosedReason>,
    },
}

impl CalendarStatus {
    /// Whether a production step may start.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// The text for people, with times of this zone.
    pub(super) fn describe(&self, zone: &TimeZone) -> String {
        match self {
            Self::Open { closes_at: Some(closes_at), window } => {
                format!("window `{window}` is open until {}", local(*closes_at, zone))
            }
            Self::Open { closes_at: None, window } => {
                format!("window `{window}` is open for a year and longer")
            }
            Self::Closed { opens_at, reasons } => {
                let reasons: Vec<String> =
                    reasons.iter().map(|reason| reason.describe(zone)).collect();
                let next = match opens_at {
                    Some(opens_at) => format!("opens {}", local(*opens_at, zone)),
                    None => "no window opens within a year".to_owned(),
                };
                format!("{}; {next}", reasons.join("; "))
            }
        }
    }
}

/// The text for people, with times in UTC; [`super::Calendar::describe`] gives it in local time.
impl fmt::Display for CalendarStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.describe(&TimeZone::UTC))
    }
}

/// A stretch of time in which production steps may start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The window that opens.
    pub window: String,
    /// The first instant.
    pub opens_at: Timestamp,
    /// The first instant at which it is over; `None` when that is more than a year later.
    pub closes_at: Option<Timestamp>,
}

/// One thing that stands against a production step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedReason {
    /// Somebody has forbidden it.
    Freeze {
        /// The freeze's name.
        name: String,
        /// Who can lift it.
        owner: String,
        /// Why, in the owner's words.
        reason: String,
        /// When it ends.
        until: Timestamp,
    },
    /// A calendar of the company must be known and is not.
    CalendarUnreadable {
        /// Its name.
        calendar: String,
        /// Why it is not known.
        problem: String,
    },
    /// The company does something that production steps must not disturb.
    CompanyEvent {
        /// What it is called.
        summary: String,
        /// When it is over.
        until: Timestamp,
    },
    /// The local date is a public holiday, or the working day on which one is observed.
    Holiday {
        /// The holiday's name.
        name: String,
        /// The next local midnight.
        until: Timestamp,
    },
    /// The local date is one of the last days of its quarter.
    QuarterEnd {
        /// The first instant of the next quarter.
        until: Timestamp,
    },
    /// The local date is the last day of its month.
    MonthEnd {
        /// The first instant of the next month.
        until: Timestamp,
    },
    /// No window covers the local time.
    OutsideWindow {
        /// When the next window begins, whatever else may stand against it then; `None` when none
        /// does within a year.
        next: Option<Timestamp>,
    },
}

impl ClosedReason {
    /// When it no longer stands against a step; `None` when that is not known.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Freeze { until, .. }
            | Self::CompanyEvent { until, .. }
            | Self::Holiday { until, .. }
            | Self::QuarterEnd { until }
            | Self::MonthEnd { until } => Some(*until),
            Self::OutsideWindow { next } => *next,
            Self::CalendarUnreadable { .. } => None,
        }
    }

    /// The text for people, with times of this zone.
    pub(super) fn describe(&self, zone: &TimeZone) -> String {
        match self {
            Self::Freeze { name, owner, reason, until } => {
                format!("freeze `{name}` of {owner} until {}: {reason}", local(*until, zone))
            }
            Self::CalendarUnreadable { calendar, problem } => {
                format!("calendar `{calendar}` is not known: {problem}")
            }
            Self::CompanyEvent { summary, until } => {
                format!("company event \"{summary}\" until {}", local(*until, zone))
            }
            Self::Holiday { name, until } => {
                format!("holiday ({name}) until {}", local(*until, zone))
            }
            Self::QuarterEnd { until } => {
                format!("end of the quarter until {}", local(*until, zone))
            }
            Self::MonthEnd { until } => format!("end of the month until {}", local(*until, zone)),
            Self::OutsideWindow { next: Some(next) } => {
                format!("outside every window; the next begins {}", local(*next, zone))
            }
            Self::OutsideWindow { next: None } => {
                "outside every window; none begins within a year".to_owned()
            }
        }
    }
}

/// The text for people, with times in UTC; [`super::Calendar::describe_reason`] gives it in local
/// time.
impl fmt::Display for ClosedReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.describe(&TimeZone::UTC))
    }
}

/// An instant as people of this zone write it, to the minute: `Tue 2026-12-01 10:00 CST`.
pub(super) fn local(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned_datetime(zone.clone()).strftime("%a %Y-%m-%d %H:%M %Z").to_string()
}
