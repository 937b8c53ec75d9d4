//! When production may be changed: windows, freezes, holidays, ends of months
//! and quarters, on the project's wall clock. It is asked about an instant and
//! answers for it; it has no clock and waits for nothing. Whether an incident
//! is open is the engine's knowledge, not the calendar's.

mod company;
mod holiday;
mod status;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use crate::project::{CalendarPolicy, Day, Freeze, Holidays, MINUTES_PER_DAY, Project, Window};

pub use company::{
    COMPANY_EVENTS_MAX, CalendarReading, CompanyEvent, KnownCalendar, KnownCalendars,
};
pub use status::{CalendarStatus, ClosedReason, Opening};

/// How far ahead an opening is looked for: a year and the days that a holiday or
/// a month's end can shift it by, so that a window that opens once a year is found.
const HORIZON: SignedDuration = SignedDuration::from_hours(370 * 24);

/// The rules of one project about when a production step may start.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    windows: Vec<Window>,
    policy: CalendarPolicy,
    freezes: Vec<Freeze>,
    company: Vec<CompanyEvent>,
    /// Calendars that must be known and are not. Nobody can tell when they will be.
    unknown: Vec<ClosedReason>,
}

impl Calendar {
    /// The project's calendar. The time zone's rules come from the copy that is
    /// compiled in, so that every computer gives the same answer; a zone it does
    /// not know, which no parsed project has, counts as UTC.
    pub fn new(project: &Project) -> Self {
        Self {
            zone: zone(&project.time_zone).unwrap_or(TimeZone::UTC),
            windows: project.windows.clone(),
            policy: project.calendar.clone(),
            freezes: project.freezes.clone(),
            company: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// The project's calendar with the company's events, as far as they are known at `now`.
    pub fn with_company(project: &Project, known: &KnownCalendars, now: Timestamp) -> Self {
        let (company, unknown) = company::known_at(&project.calendar.events, known, now);
        Self { company, unknown, ..Self::new(project) }
    }

    /// Whether a production step may start at this instant, till or from when, and why not.
    pub fn status(&self, now: Timestamp) -> CalendarStatus {
        let reasons = self.reasons(now);
        match self.window_at(now) {
            Some(window) if reasons.is_empty() => CalendarStatus::Open {
                closes_at: self.first_after(now, |at| !self.is_open(at)),
                window: window.name.clone(),
            },
            Some(_) | None if !self.unknown.is_empty() => {
                CalendarStatus::Closed { opens_at: None, reasons }
            }
            Some(_) | None => CalendarStatus::Closed {
                opens_at: self.first_after(now, |at| self.is_open(at)),
                reasons,
            },
        }
    }

    /// The first local date, today included, on which a production step may still start.
    pub fn next_open_day(&self, now: Timestamp) -> Option<Date> {
        match self.status(now) {
            CalendarStatus::Open { .. } => Some(self.local(now).date()),
            CalendarStatus::Closed { opens_at, .. } => opens_at.map(|at| self.local(at).date()),
        }
    }

    /// The next openings after `now`, at most `count` of them and without one that is under way.
    pub fn openings(&self, now: Timestamp, count: usize) -> Vec<Opening> {
        let mut openings = Vec::new();
        let under_way = self.is_open(now);
        let mut at =
            if under_way { self.first_after(now, |at| !self.is_open(at)) } else { Some(now) };
        while let Some(from) = at.filter(|_| openings.len() < count) {
            let Some(opens_at) = self.first_after(from, |at| self.is_open(at)) else { break };
            at = self.first_after(opens_at, |at| !self.is_open(at));
            let window = self.window_at(opens_at).map(|window| window.name.clone());
            openings.push(Opening { window: window.unwrap_or_default(), opens_at, closes_at: at });
        }
        openings
    }

    /// The same rules with this window alone.
    pub(crate) fn with_window(&self, window: &Window) -> Self {
        Self { windows: vec![window.clone()], ..self.clone() }
    }

    /// What stands against a step the next time that a window begins, besides the clock.
    pub(crate) fn hidden_by(&self, now: Timestamp) -> Option<(Timestamp, Vec<ClosedReason>)> {
        let at = match self.window_at(now) {
            Some(_) => now,
            None => self.first_after(now, |at| self.window_at(at).is_some())?,
        };
        Some((at, self.reasons(at)))
    }

    /// An instant as people of the project write it.
    pub fn local_time(&self, at: Timestamp) -> String {
        status::local(at, &self.zone)
    }

    /// The status in one line, with the project's local times.
    pub fn describe(&self, status: &CalendarStatus) -> String {
        status.describe(&self.zone)
    }

    /// The reason in one line, with the project's local times.
    pub fn describe_reason(&self, reason: &ClosedReason) -> String {
        reason.describe(&self.zone)
    }

    fn is_open(&self, at: Timestamp) -> bool {
        let date = self.local(at).date();
        self.window_at(at).is_some()
            && !self.freezes.iter().any(|freeze| holds(freeze, at))
            && !self.company.iter().any(|event| event.from <= at && at < event.to)
            && self.holiday(date).is_none()
            && !self.is_quarter_end(date)
            && !self.is_month_end(date)
    }

    /// Everything that stands against a step, the strongest first.
    fn reasons(&self, at: Timestamp) -> Vec<ClosedReason> {
        let date = self.local(at).date();
        let mut reasons: Vec<ClosedReason> = self
            .freezes
            .iter()
            .filter(|freeze| holds(freeze, at))
            .map(|freeze| ClosedReason::Freeze {
                name: freeze.name.clone(),
                owner: freeze.owner.clone(),
                reason: freeze.reason.clone(),
                until: freeze.to,
            })
            .collect();
        reasons.extend(self.unknown.iter().cloned());
        let company = self.company.iter().filter(|event| event.from <= at && at < event.to);
        reasons.extend(company.map(|event| ClosedReason::CompanyEvent {
            summary: event.summary.clone(),
            until: event.to,
        }));
        if let Some(name) = self.holiday(date) {
            let until = self.start_of_day_after(date);
            reasons.push(ClosedReason::Holiday { name: name.to_owned(), until });
        }
        if self.is_quarter_end(date) {
            let until = self.start_of_day_after(last_of_quarter(date));
            reasons.push(ClosedReason::QuarterEnd { until });
        }
        if self.is_month_end(date) {
            reasons.push(ClosedReason::MonthEnd { until: self.start_of_day_after(date) });
        }
        if self.window_at(at).is_none() {
            let next = self.first_after(at, |at| self.window_at(at).is_some());
            reasons.push(ClosedReason::OutsideWindow { next });
        }
        reasons
    }

    /// The first window of the file that covers this instant's wall-clock time.
    fn window_at(&self, at: Timestamp) -> Option<&Window> {
        let local = self.local(at);
        let minute = minute_of_day(local.time());
        self.windows.iter().find(|window| {
            runs_on(window, local.date())
                && (window.from_minute..window.to_minute).contains(&minute)
        })
    }

    fn holiday(&self, date: Date) -> Option<&'static str> {
        match self.policy.holidays {
            Holidays::None => None,
            Holidays::UsFederal => holiday::us_federal(date),
        }
    }

    fn is_month_end(&self, date: Date) -> bool {
        self.policy.avoid_month_end && date == date.last_of_month()
    }

    fn is_quarter_end(&self, date: Date) -> bool {
        let days_left = date.duration_until(last_of_quarter(date)).as_hours() / 24;
        days_left < i64::from(self.policy.freeze_quarter_end_days)
    }

    /// The first instant after `now`, within the horizon, of which `wanted` is
    /// true. `wanted` must depend on nothing but the rules of this calendar.
    fn first_after(&self, now: Timestamp, wanted: impl Fn(Timestamp) -> bool) -> Option<Timestamp> {
        let end = now.checked_add(HORIZON).ok()?;
        let mut at = now;
        loop {
            at = self.next_change(at).filter(|next| *next <= end)?;
            if wanted(at) {
                return Some(at);
            }
        }
    }

    /// The next instant at which any rule can change its mind. Between two such
    /// instants every rule says the same. The wall clock reaches a time of day
    /// by running on to it, perhaps twice, or by jumping over it: hence both
    /// readings of an ambiguous time, and the jumps themselves.
    fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let date = self.local(now).date();
        let edges = self
            .windows
            .iter()
            .filter(|window| runs_on(window, date))
            .flat_map(|window| [window.from_minute, window.to_minute])
            .chain([MINUTES_PER_DAY])
            .filter_map(|minute| at_minute(date, minute))
            .flat_map(|local| {
                let readings = self.zone.to_ambiguous_timestamp(local);
                [readings.earlier().ok(), readings.later().ok()]
            })
            .flatten();
        let jump = self.zone.following(now).next().map(|transition| transition.timestamp());
        let freezes = self.freezes.iter().flat_map(|freeze| [freeze.from, freeze.to]);
        let company = self.company.iter().flat_map(|event| [event.from, event.to]);
        edges.chain(jump).chain(freezes).chain(company).filter(|at| *at > now).min()
    }

    fn start_of_day_after(&self, date: Date) -> Timestamp {
        date.tomorrow()
            .and_then(|date| date.to_zoned_datetime(self.zone.clone()))
            .and_then(|midnight| midnight.start_of_day())
            .map_or(Timestamp::MAX, |midnight| midnight.timestamp())
    }

    fn local(&self, at: Timestamp) -> DateTime {
        self.zone.to_datetime(at)
    }
}

/// The compiled-in rules of a time zone.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
}

fn holds(freeze: &Freeze, at: Timestamp) -> bool {
    freeze.from <= at && at < freeze.to
}

fn runs_on(window: &Window, date: Date) -> bool {
    let offset = usize::try_from(date.weekday().to_monday_zero_offset()).ok();
    offset.and_then(|offset| Day::ALL.get(offset)).is_some_and(|day| window.days.contains(day))
}

/// Whole minutes since midnight on the wall clock.
fn minute_of_day(time: Time) -> u16 {
    u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).unwrap_or(0)
}

/// The wall-clock time of this many minutes after midnight; 24 hours are the next midnight.
fn at_minute(date: Date, minute: u16) -> Option<DateTime> {
    if minute >= MINUTES_PER_DAY {
        return Some(date.tomorrow().ok()?.to_datetime(Time::midnight()));
    }
    let hour = i8::try_from(minute / 60).ok()?;
    let minute = i8::try_from(minute % 60).ok()?;
    Some(date.to_datetime(Time::new(hour, minute, 0, 0).ok()?))
}

fn last_of_quarter(date: Date) -> Date {
    let last_month = (date.month() + 2) / 3 * 3;
    Date::new(date.year(), last_month, 1).map_or(date, Date::last_of_month)
}

#[cfg(test)]
mod tests;
