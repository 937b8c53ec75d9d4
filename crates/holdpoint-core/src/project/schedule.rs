//! When production may be changed, as the file says it. What it means for a
//! given instant is decided by [`crate::calendar`].

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say everything")]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Day {
    /// Every day, from Monday, as ISO 8601 counts them.
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    /// The word used in files and texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Monday => "monday",
            Self::Tuesday => "tuesday",
            Self::Wednesday => "wednesday",
            Self::Thursday => "thursday",
            Self::Friday => "friday",
            Self::Saturday => "saturday",
            Self::Sunday => "sunday",
        }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Minutes in a day of 24 hours; as a window's end it means the following midnight.
pub const MINUTES_PER_DAY: u16 = 24 * 60;

/// Recurring time in which production steps may start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Unique in the project.
    pub name: String,
    /// Never empty, without duplicates.
    pub days: Vec<Day>,
    /// Start of the window on the project's wall clock, in minutes after midnight.
    pub from_minute: u16,
    /// End of the window, exclusive; after `from_minute` and at most [`MINUTES_PER_DAY`].
    pub to_minute: u16,
}

impl Window {
    /// The runbook's "Recommended Windows": Tuesday to Thursday, 10:00 to 14:00.
    pub fn midweek() -> Self {
        Self {
            name: "midweek".to_owned(),
            days: vec![Day::Tuesday, Day::Wednesday, Day::Thursday],
            from_minute: 10 * 60,
            to_minute: 14 * 60,
        }
    }
}

/// Which public holidays close production for the whole local day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holidays {
    /// None.
    None,
    /// The eleven of the United States' federal government, on the days on which they are observed.
    UsFederal,
}

/// Days on which no window opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarPolicy {
    /// Public holidays.
    pub holidays: Holidays,
    /// Whether the last day of a month is closed.
    pub avoid_month_end: bool,
    /// How many of the last days of a quarter are closed; 0 for none, at most 31.
    pub freeze_quarter_end_days: u32,
}

impl Default for CalendarPolicy {
    fn default() -> Self {
        Self { holidays: Holidays::UsFederal, avoid_month_end: true, freeze_quarter_end_days: 7 }
    }
}

/// A named prohibition of production steps. It beats every window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Unique in the project.
    pub name: String,
    /// The person of the project who can lift it.
    pub owner: String,
    /// Why, in a person's words.
    pub reason: String,
    /// The first instant at which it holds.
    pub from: Timestamp,
    /// The first instant at which it no longer holds; after `from`.
    pub to: Timestamp,
}
