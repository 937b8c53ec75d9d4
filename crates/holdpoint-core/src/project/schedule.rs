//! When production may be changed, as the file says it. What it means for a
//! given instant is decided by [`crate::calendar`].

use std::fmt;
use std::ops::Range;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use toml::de::DeValue;

use super::company_calendar::CompanyCalendar;
use super::people::Person;
use super::reader::{Table, Value};
use super::report::Report;
use super::similar::did_you_mean;

/// How many windows a project may have.
const WINDOWS_LIMIT: usize = 64;

/// How many freezes a project may have.
const FREEZES_LIMIT: usize = 256;

/// How many of a quarter's last days may be closed; with more than a month of
/// them, somebody means a freeze.
const QUARTER_END_LIMIT: u64 = 31;

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

    pub(super) fn read_all(root: &mut Table<'_>) -> Vec<Self> {
        let mut places = Vec::new();
        let windows = root.tables("windows", WINDOWS_LIMIT, |table| {
            let (window, place) = Self::read(table);
            places.push(place);
            window
        });
        let Some(windows) = windows else { return vec![Self::midweek()] };
        if let Some(value) = root.take("windows")
            && value.raw().as_array().is_some_and(|array| array.is_empty())
        {
            value.refuse(
                "is empty, so production could never change",
                "add a `[[windows]]` table, or remove the key for the default window",
            );
        }
        root.report
            .distinct("windows", windows.iter().map(|window| window.name.as_str()).zip(&places));
        warn_of_overlaps(root.report, &windows, &places);
        windows
    }

    /// The window, and the place of its name.
    fn read(table: &mut Table<'_>) -> (Self, Range<usize>) {
        let (name, place) = table.required_line("name", "\"midweek\"");
        let days = table
            .require("days", "[\"tuesday\"]")
            .map(|value| value.words("day of the week", &Day::ALL, Day::as_str))
            .unwrap_or_default();
        let from = table.require("from", "\"10:00\"").and_then(|value| read_time(&value));
        let to = table.require("to", "\"14:00\"").and_then(|value| read_time(&value));
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
            && let Some(value) = table.take("to")
        {
            let hint = if from == to {
                "make `to` later than `from`; a whole day is from `00:00` to `24:00`"
            } else {
                "for a window across midnight write two: one to `24:00`, and on the next day one from `00:00`"
            };
            value.refuse(
                format!("is not after `from`, so the window `{name}` would never open"),
                hint,
            );
        }
        let (from_minute, to_minute) = (from.unwrap_or(0), to.unwrap_or(MINUTES_PER_DAY));
        (Self { name, days, from_minute, to_minute }, place)
    }

    /// The first day on which both are open at once.
    fn overlap(&self, other: &Self) -> Option<Day> {
        let together = self.from_minute < other.to_minute && other.from_minute < self.to_minute;
        self.days.iter().copied().find(|day| together && other.days.contains(day))
    }
}

/// Which public holidays close production for the whole local day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holidays {
    /// None.
    None,
    /// The eleven of the United States' federal government: the days themselves, and those on
    /// which they are observed.
    UsFederal,
}

impl Holidays {
    const ALL: [Self; 2] = [Self::None, Self::UsFederal];

    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::UsFederal => "us-federal",
        }
    }
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
    /// Calendars of the company, whose events close production.
    #[serde(default)]
    pub events: Vec<CompanyCalendar>,
}

impl CalendarPolicy {
    pub(super) fn read(root: &mut Table<'_>) -> Self {
        let mut policy = Self::default();
        root.table("calendar", |table| {
            let holidays = table.take("holidays");
            if let Some(holidays) = holidays
                .and_then(|value| value.word("set of holidays", &Holidays::ALL, Holidays::as_str))
            {
                policy.holidays = holidays;
            }
            table.boolean("avoid_month_end", &mut policy.avoid_month_end);
            let days = table.take("freeze_quarter_end_days");
            if let Some(days) = days.and_then(|value| value.number(&(0..=QUARTER_END_LIMIT))) {
                policy.freeze_quarter_end_days = u32::try_from(days).unwrap_or(0);
            }
            policy.events = CompanyCalendar::read_all(table);
        });
        policy
    }
}

impl Default for CalendarPolicy {
    fn default() -> Self {
        Self {
            holidays: Holidays::UsFederal,
            avoid_month_end: true,
            freeze_quarter_end_days: 7,
            events: Vec::new(),
        }
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

impl Freeze {
    pub(super) fn read_all(root: &mut Table<'_>, zone: &TimeZone, people: &[Person]) -> Vec<Self> {
        let mut places = Vec::new();
        let freezes = root.tables("freezes", FREEZES_LIMIT, |table| {
            let (freeze, place) = Self::read(table, zone, people);
            places.push(place);
            freeze
        });
        let freezes = freezes.unwrap_or_default();
        root.report
            .distinct("freezes", freezes.iter().map(|freeze| freeze.name.as_str()).zip(&places));
        freezes
    }

    /// The freeze, and the place of its name.
    fn read(table: &mut Table<'_>, zone: &TimeZone, people: &[Person]) -> (Self, Range<usize>) {
        let (name, place) = table.required_line("name", "\"company-summit\"");
        let (owner, owner_place) = table.required_line("owner", "\"ada\"");
        refuse_unknown_owner(table.report, &owner, &owner_place, people);
        let (reason, _) = table.required_line("reason", "\"everybody is at the summit\"");
        let example = "2026-12-07T00:00:00-06:00";
        let from = table.require("from", example).and_then(|value| read_instant(&value, zone));
        let to = table.require("to", example).and_then(|value| read_instant(&value, zone));
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
            && let Some(value) = table.take("to")
        {
            value.refuse(
                format!("is not after `from`, so the freeze `{name}` would never hold"),
                "make `to` later than `from`",
            );
        }
        let from = from.unwrap_or(Timestamp::UNIX_EPOCH);
        let to = to.unwrap_or(Timestamp::UNIX_EPOCH);
        (Self { name, owner, reason, from, to }, place)
    }
}

fn warn_of_overlaps(report: &Report<'_>, windows: &[Window], places: &[Range<usize>]) {
    for (index, (window, place)) in windows.iter().zip(places).enumerate() {
        for earlier in windows.iter().take(index) {
            if let Some(day) = earlier.overlap(window) {
                report.warning(
                    place,
                    format!(
                        "the windows `{}` and `{}` overlap on {day}",
                        earlier.name, window.name
                    ),
                    "let one end where the other begins, or make one window of them",
                );
            }
        }
    }
}

fn refuse_unknown_owner(report: &Report<'_>, owner: &str, place: &Range<usize>, people: &[Person]) {
    if owner.is_empty() || people.iter().any(|person| person.name == owner) {
        return;
    }
    let hint = match did_you_mean(owner, people.iter().map(|person| person.name.as_str())) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "name a person of `[[people]]`, so that somebody can lift it".to_owned(),
    };
    report.absent(place, format!("the freeze's owner `{owner}` is nobody in this project"), hint);
}

/// A time of day as minutes after midnight: `"10:00"`, or TOML's own `10:00:00`.
fn read_time(value: &Value<'_>) -> Option<u16> {
    let written = match value.raw() {
        DeValue::Datetime(datetime) => datetime.to_string(),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => value.text()?.to_owned(),
    };
    let minutes = minutes_of(&written);
    if minutes.is_none() {
        value.refuse(
            format!("is `{written}`, which is no time of day to the minute"),
            "write hours and minutes with two digits each, from `\"00:00\"` to `\"24:00\"`",
        );
    }
    minutes
}

fn minutes_of(text: &str) -> Option<u16> {
    let clock = text.strip_suffix(":00").filter(|rest| rest.contains(':')).unwrap_or(text);
    let (hours, minutes) = clock.split_once(':')?;
    let two_digits = |part: &str| {
        let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        if digits { part.parse::<u16>().ok() } else { None }
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= MINUTES_PER_DAY).then_some(total)
}

/// An instant: a date and time with an offset, or without one on the project's wall clock.
pub(super) fn read_instant(value: &Value<'_>, zone: &TimeZone) -> Option<Timestamp> {
    let written = match value.raw() {
        DeValue::Datetime(datetime) => datetime.to_string(),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => value.text()?.to_owned(),
    };
    if let Ok(instant) = written.parse::<Timestamp>() {
        return Some(instant);
    }
    let local = written.parse::<DateTime>().ok().filter(|_| written.contains(':'));
    let reading = local.map(|local| zone.to_ambiguous_timestamp(local));
    let Some(instant) = reading.and_then(|reading| reading.compatible().ok()) else {
        value.refuse(
            format!("is `{written}`, which is no date with a time"),
            "write for example `2026-12-07T09:00:00-06:00`; without the offset it is the project's local time",
        );
        return None;
    };
    if reading.is_some_and(|reading| reading.is_ambiguous()) {
        value.report.warning(
            &value.span(),
            format!("`{written}` is in an hour that the change of clocks skips or repeats"),
            format!("write the instant that is meant: it is taken for `{instant}`"),
        );
    }
    Some(instant)
}
