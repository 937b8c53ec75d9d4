//! Company events: what is known of the calendars outside of the project's file, and whether that
//! can still be relied on. Files and addresses are read elsewhere.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::ClosedReason;
use crate::project::{CompanyCalendar, WhenUnreadable};

/// After the time of how many readings a calendar is no longer relied on: one or two may fail.
const READINGS_MISSED: u64 = 3;

/// The most events of one calendar that count; with more, somebody forgot to say which do.
pub const COMPANY_EVENTS_MAX: usize = 512;

/// A stretch of time in which the company does something that production steps must not disturb.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CompanyEvent {
    /// The first instant.
    pub from: Timestamp,
    /// The first instant at which it is over.
    pub to: Timestamp,
    /// What it is called.
    pub summary: String,
}

/// What came of reading a calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CalendarReading {
    /// The events that count, by their time.
    Read(Vec<CompanyEvent>),
    /// Why it could not be read, in a sentence.
    Failed(String),
}

/// What is known of one calendar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownCalendar {
    /// The events of the last reading that succeeded.
    pub events: Vec<CompanyEvent>,
    /// When that was.
    pub read_at: Option<Timestamp>,
    /// Since when it can't be read, and why; `None` while it can.
    pub failing: Option<(Timestamp, String)>,
}

/// What is known of every calendar, by name.
pub type KnownCalendars = BTreeMap<String, KnownCalendar>;

impl KnownCalendar {
    /// From when on it is no longer relied on; `None` if it was never read.
    pub fn stale_at(&self, calendar: &CompanyCalendar) -> Option<Timestamp> {
        let secs = calendar.refresh_secs.saturating_mul(READINGS_MISSED);
        let good_for = SignedDuration::from_secs(i64::try_from(secs).unwrap_or(i64::MAX));
        self.read_at?.checked_add(good_for).ok()
    }

    /// Takes over what a reading at `now` brought.
    pub fn learn(&mut self, now: Timestamp, reading: &CalendarReading) {
        match reading {
            CalendarReading::Read(events) => {
                *self = Self { events: events.clone(), read_at: Some(now), failing: None };
            }
            CalendarReading::Failed(problem) => {
                let since = self.failing.as_ref().map_or(now, |(since, _)| *since);
                self.failing = Some((since, problem.clone()));
            }
        }
    }
}

/// The events of all these calendars, and the calendars that must be known at `now` and are not.
pub(super) fn known_at(
    calendars: &[CompanyCalendar],
    known: &KnownCalendars,
    now: Timestamp,
) -> (Vec<CompanyEvent>, Vec<ClosedReason>) {
    let mut events = Vec::new();
    let mut unknown = Vec::new();
    for calendar in calendars {
        let found = known.get(&calendar.name);
        events.extend(found.iter().flat_map(|found| found.events.iter().cloned()));
        let is_fresh = found.and_then(|found| found.stale_at(calendar)).is_some_and(|at| now < at);
        if is_fresh || calendar.when_unreadable == WhenUnreadable::Ignore {
            continue;
        }
        let problem = match found.and_then(|found| found.failing.as_ref()) {
            Some((_, problem)) => problem.clone(),
            None => "it was not read lately".to_owned(),
        };
        let calendar = calendar.name.clone();
        unknown.push(ClosedReason::CalendarUnreadable { calendar, problem });
    }
    (events, unknown)
}
