//! Calendars outside of the project's file whose events keep production from being changed, as
//! the file names them. Nothing is opened or asked for here.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::reader::{Table, Value};

/// How many calendars a project may have.
const CALENDARS_LIMIT: usize = 16;

/// How many words of each kind may choose among a calendar's events.
const WORDS_LIMIT: usize = 64;

/// How often a calendar is read again by default: a freeze that is entered in a hurry counts
/// before an announced start.
const REFRESH_SECS: u64 = 15 * 60;

/// How often a calendar is read at most: more is a burden to its server.
const REFRESH_SECS_LEAST: u64 = 60;

/// Where a calendar is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalendarSource {
    /// A file, relative to the project's.
    File(String),
    /// An address of HTTP or HTTPS.
    Url(String),
}

/// What it means that a calendar can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenUnreadable {
    /// Production steps wait until it can.
    Hold,
    /// What was known of it still counts, and nothing else.
    Ignore,
}

impl WhenUnreadable {
    const ALL: [Self; 2] = [Self::Hold, Self::Ignore];

    fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Ignore => "ignore",
        }
    }
}

/// A calendar of the company. Its events are freezes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompanyCalendar {
    /// Unique in the project.
    pub name: String,
    /// Where it is.
    pub source: CalendarSource,
    /// Words of which an event's summary has at least one, in any case of letters; empty when
    /// every summary counts.
    pub summary_contains: Vec<String>,
    /// Categories of which an event has at least one, in any case of letters; empty when every
    /// category counts.
    pub categories: Vec<String>,
    /// How often it is read again while a release is under way.
    pub refresh_secs: u64,
    /// What it means that it can't be read.
    pub when_unreadable: WhenUnreadable,
}

impl CompanyCalendar {
    /// The tables `[[calendar.events]]`.
    pub(super) fn read_all(calendar: &mut Table<'_>) -> Vec<Self> {
        let mut places = Vec::new();
        let calendars = calendar.tables("events", CALENDARS_LIMIT, |table| {
            let (calendar, place) = Self::read(table);
            places.push(place);
            calendar
        });
        let calendars = calendars.unwrap_or_default();
        let names = calendars.iter().map(|calendar| calendar.name.as_str());
        calendar.report.distinct("calendars", names.zip(&places));
        calendars
    }

    /// The calendar, and the place of its name.
    fn read(table: &mut Table<'_>) -> (Self, Range<usize>) {
        let (name, place) = table.required_line("name", "\"company\"");
        let source = table.require("source", "\"company.ics\"");
        let source = source.and_then(|value| read_source(&value));
        let mut words = |key| {
            let value = table.take(key);
            let lines = value.map(|value| value.lines(WORDS_LIMIT)).unwrap_or_default();
            lines.into_iter().map(|(line, _)| line).collect()
        };
        let (summary_contains, categories) = (words("summary_contains"), words("categories"));
        let mut refresh_secs = REFRESH_SECS;
        table.secs("refresh", REFRESH_SECS_LEAST, &mut refresh_secs);
        let when_unreadable = table.take("when_unreadable").and_then(|value| {
            value.word("way to go on", &WhenUnreadable::ALL, WhenUnreadable::as_str)
        });
        let calendar = Self {
            name,
            source: source.unwrap_or(CalendarSource::File(String::new())),
            summary_contains,
            categories,
            refresh_secs,
            when_unreadable: when_unreadable.unwrap_or(WhenUnreadable::Hold),
        };
        (calendar, place)
    }
}

fn read_source(value: &Value<'_>) -> Option<CalendarSource> {
    let written = value.line()?;
    let Some((scheme, rest)) = written.split_once("://") else {
        return Some(CalendarSource::File(written));
    };
    // what calendar programs call a subscription is HTTPS
    let is_subscription = scheme.eq_ignore_ascii_case("webcal");
    let is_web = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if (is_subscription || is_web) && !host.is_empty() && !rest.contains(char::is_whitespace) {
        let url = if is_subscription { format!("https://{rest}") } else { written };
        return Some(CalendarSource::Url(url));
    }
    value.refuse(
        format!("is `{written}`, where no calendar can be read"),
        "name a file, as in `\"company.ics\"`, or a whole URL, as in `\"https://calendar.example.com/company.ics\"`",
    );
    None
}
