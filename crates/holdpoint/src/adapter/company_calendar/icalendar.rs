//! What of an iCalendar text closes production: its events, recurrences written out, with the time
//! zones that it names. The grammar and the recurrences are a library's; here stands what it
//! passes over in silence and a freeze must not: values, zones and rules that it does not know.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::time::Duration;

use calcard::common::PartialDateTime;
use calcard::common::timezone::Tz;
use calcard::icalendar::{
    ICalendar, ICalendarComponent, ICalendarComponentType, ICalendarEntry, ICalendarProperty,
    ICalendarStatus, ICalendarValue,
};
use calcard::{Entry, Parser};
use holdpoint_core::calendar::{COMPANY_EVENTS_MAX, CompanyEvent};
use holdpoint_core::project::CompanyCalendar;
use jiff::tz::TimeZoneDatabase;
use jiff::{SignedDuration, Timestamp};

use super::Unreadable;
use super::lines::{self, EventLines};
use crate::adapter::clock::Stopwatch;

/// How far ahead events matter: as far as the core looks for a window, and some weeks until the
/// calendar is read again.
const AHEAD: SignedDuration = SignedDuration::from_hours(400 * 24);

/// The most events that a calendar's text may hold.
const EVENTS_MAX: usize = 10_000;

/// The most times that one event may repeat until then: once a day since 1900, or once an hour
/// for five years.
const RECURRENCES_MAX: usize = 50_000;

/// How long recurrences may take to be written out.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The longest summary that is told, in characters.
const SUMMARY_MAX: usize = 120;

/// What is asked of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Which events count.
    pub(super) calendar: &'a CompanyCalendar,
    /// The zone of events that name none.
    pub(super) zone: &'a str,
    /// The time from which on they matter.
    pub(super) now: Timestamp,
}

/// The events of the text that count, by their time.
pub(super) fn read(text: &str, wanted: Wanted<'_>) -> Result<Vec<CompanyEvent>, Unreadable> {
    let lines = lines::events(text)?;
    if lines.len() > EVENTS_MAX {
        let message = format!("has {} events, and at most {EVENTS_MAX} are read", lines.len());
        return Err(Unreadable::whole(message)
            .hint("subscribe to a calendar that holds what closes production"));
    }
    let zone = Tz::from_str(wanted.zone).map_err(|()| {
        let message = format!("the project's time zone `{}` is not known here", wanted.zone);
        Unreadable::whole(message).hint("use a name of the IANA database in `[project] time_zone`")
    })?;
    let mut lines = lines.into_iter();
    let watch = Stopwatch::start();
    let mut events = Vec::new();
    for calendar in calendars(text) {
        for series in series(calendar, &mut lines)? {
            if watch.elapsed() > TIME_LIMIT {
                return Err(Unreadable::whole("its repeating events take too long to write out")
                    .hint("end old repeating events, or subscribe to a smaller calendar"));
            }
            series.events(zone, wanted, &mut events)?;
        }
    }
    events.sort();
    events.dedup();
    if events.len() > COMPANY_EVENTS_MAX {
        let message = format!(
            "{} events would close production, and at most {COMPANY_EVENTS_MAX} may",
            events.len()
        );
        return Err(Unreadable::whole(message)
            .hint("say which count with `summary_contains` or `categories`"));
    }
    Ok(events)
}

fn calendars(text: &str) -> Vec<ICalendar> {
    let mut parser = Parser::new(text);
    let mut calendars = Vec::new();
    loop {
        let entry = parser.entry();
        if entry == Entry::Eof {
            return calendars;
        }
        // the outline was found to be sound: what else comes are blank lines between calendars
        if let Entry::ICalendar(calendar) = entry {
            calendars.push(calendar);
        }
    }
}

/// One event with the changes of its recurrences: the same `UID`. The library expects one series
/// in each calendar, and would take a change of one for that of another.
struct Series {
    calendar: ICalendar,
    /// The lines of the events, which stand at the end of the calendar's components.
    lines: Vec<EventLines>,
}

fn series(
    calendar: ICalendar,
    lines: &mut impl Iterator<Item = EventLines>,
) -> Result<Vec<Series>, Unreadable> {
    let is_zone = |it: &&ICalendarComponent| it.component_type == ICalendarComponentType::VTimezone;
    let zones: Vec<ICalendarComponent> =
        calendar.components.iter().filter(is_zone).cloned().collect();
    let resolver = ICalendar { components: zones.clone() };
    let resolver = resolver.build_tz_resolver();
    let mut all: BTreeMap<String, Series> = BTreeMap::new();
    for (number, mut event) in calendar.components.into_iter().enumerate() {
        if event.component_type != ICalendarComponentType::VEvent {
            continue;
        }
        let lines = lines.next().unwrap_or_default();
        refuse_unknown_values(&event, &lines, |zone| resolver.resolve(zone).is_some())?;
        // a change counts as later than its series, whatever number it has
        event.entries.retain(|entry| entry.name != ICalendarProperty::Sequence);
        let uid = event.uid().map_or_else(|| format!("event {number}"), str::to_owned);
        let series = all.entry(uid).or_insert_with(|| Series {
            calendar: ICalendar { components: zones.clone() },
            lines: Vec::new(),
        });
        series.calendar.components.push(event);
        series.lines.push(lines);
    }
    Ok(all.into_values().collect())
}

/// What the library would leave out in silence, so that production stayed open.
fn refuse_unknown_values(
    event: &ICalendarComponent,
    lines: &EventLines,
    is_zone: impl Fn(&str) -> bool,
) -> Result<(), Unreadable> {
    if !event.has_property(&ICalendarProperty::Dtstart) {
        return Err(Unreadable::at(lines.line, "the event has no `DTSTART`")
            .hint("give it a beginning, or remove it"));
    }
    for entry in &event.entries {
        let Some(name) = name_of_time(&entry.name) else { continue };
        let line = lines.line_of(name);
        if let Some(zone) = entry.tz_id().filter(|zone| !is_zone(zone)) {
            return Err(Unreadable::at(line, format!("time zone `{zone}` is not known"))
                .hint("use a name of the IANA database, such as `America/Chicago`"));
        }
        if entry.values.is_empty() || !entry.values.iter().all(|value| is_known(entry, value)) {
            return Err(Unreadable::at(line, format!("the value of `{name}` is not understood"))
                .hint("correct or remove the event in the calendar that it comes from"));
        }
    }
    Ok(())
}

/// The properties that say when an event is.
fn name_of_time(property: &ICalendarProperty) -> Option<&'static str> {
    let names = [
        (ICalendarProperty::Dtstart, "DTSTART"),
        (ICalendarProperty::Dtend, "DTEND"),
        (ICalendarProperty::Duration, "DURATION"),
        (ICalendarProperty::Rrule, "RRULE"),
        (ICalendarProperty::Rdate, "RDATE"),
        (ICalendarProperty::Exdate, "EXDATE"),
        (ICalendarProperty::RecurrenceId, "RECURRENCE-ID"),
    ];
    names.into_iter().find(|(known, _)| known == property).map(|(_, name)| name)
}

fn is_known(entry: &ICalendarEntry, value: &ICalendarValue) -> bool {
    let name = &entry.name;
    if *name == ICalendarProperty::Rrule {
        // a rule of another calendar than the Gregorian would be misread
        return matches!(value, ICalendarValue::RecurrenceRule(rule) if rule.rscale.is_none());
    }
    if *name == ICalendarProperty::Duration {
        return matches!(value, ICalendarValue::Duration(_));
    }
    let is_period = matches!(value, ICalendarValue::Period(_));
    (*name == ICalendarProperty::Rdate && is_period)
        || matches!(value, ICalendarValue::PartialDateTime(at) if at.to_date_time().is_some())
}

impl Series {
    /// Adds what of it counts.
    fn events(
        mut self,
        zone: Tz,
        wanted: Wanted<'_>,
        events: &mut Vec<CompanyEvent>,
    ) -> Result<(), Unreadable> {
        let latest = wanted.now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
        self.end_rules(zone, latest);
        let expanded = self.calendar.expand_dates(zone, RECURRENCES_MAX);
        if let Some(error) = expanded.errors.first() {
            let line = self.lines_of(error.comp_id).map_or(1, |lines| lines.line_of("RRULE"));
            return Err(Unreadable::at(
                line,
                format!("the event is not understood: {}", error.error),
            )
            .hint("correct or remove the event in the calendar that it comes from"));
        }
        if expanded.events.len() >= RECURRENCES_MAX {
            let line = self.lines.first().map_or(1, |lines| lines.line_of("RRULE"));
            let message = format!("the event repeats more than {RECURRENCES_MAX} times");
            return Err(
                Unreadable::at(line, message).hint("let it begin later, or repeat less often")
            );
        }
        for one in expanded.events {
            let Some(event) = self.component(one.comp_id).filter(|it| counts(it, wanted.calendar))
            else {
                continue;
            };
            let unchecked = one.timestamps();
            let (from, to) = match one.try_into_date_time() {
                Some(one) => (one.start.timestamp(), one.end.timestamp()),
                None => unchecked,
            };
            let (from, to) = (second(from), second(to));
            if from < to && wanted.now < to && from <= latest {
                events.push(CompanyEvent { from, to, summary: summary(event) });
            }
        }
        Ok(())
    }

    /// Lets rules end where nobody looks any more, and gives their own end as the wall clock of
    /// the event's beginning: so the library compares it, and `UNTIL` is written in UTC.
    fn end_rules(&mut self, default: Tz, latest: Timestamp) {
        let resolver = ICalendar { components: self.calendar.components.clone() };
        let resolver = resolver.build_tz_resolver().with_default(default);
        for event in &mut self.calendar.components {
            let start = event.property(&ICalendarProperty::Dtstart);
            let zone = resolver.resolve_or_default(start.and_then(ICalendarEntry::tz_id));
            let start = start.and_then(|start| start.values.first()?.as_partial_date_time());
            let start = start.and_then(PartialDateTime::to_date_time);
            let is_utc = start.as_ref().is_some_and(|start| start.offset.is_some());
            let zone = if is_utc { Tz::UTC } else { zone };
            let Some(end) = on_wall_clock(latest, zone) else { continue };
            let starts_later = match (&start, end.to_date_time()) {
                (Some(start), Some(end)) => end.date_time <= start.date_time,
                _ => true,
            };
            for entry in &mut event.entries {
                for value in &mut entry.values {
                    let ICalendarValue::RecurrenceRule(rule) = value else { continue };
                    let until = rule.until.as_ref().map(|until| local_until(until, zone));
                    rule.until = match until {
                        Some(until) if starts_later || is_before(&until, &end) => Some(until),
                        // what only begins later is left out with its first recurrence
                        None if starts_later => None,
                        Some(_) | None => Some(end.clone()),
                    };
                    if starts_later {
                        rule.count = Some(1);
                    }
                }
            }
        }
    }

    fn component(&self, id: u32) -> Option<&ICalendarComponent> {
        self.calendar.components.get(usize::try_from(id).ok()?)
    }

    fn lines_of(&self, id: u32) -> Option<&EventLines> {
        let zones = self.calendar.components.len() - self.lines.len();
        self.lines.get(usize::try_from(id).ok()?.checked_sub(zones)?)
    }
}

fn is_before(one: &PartialDateTime, other: &PartialDateTime) -> bool {
    match (one.to_date_time(), other.to_date_time()) {
        (Some(one), Some(other)) => one.date_time < other.date_time,
        _ => true,
    }
}

/// The end of a rule on the wall clock of this zone.
fn local_until(until: &PartialDateTime, zone: Tz) -> PartialDateTime {
    let instant = until.to_date_time().filter(|it| it.offset.is_some()).and_then(|it| {
        let offset = it.offset?.local_minus_utc();
        Timestamp::new(it.date_time.and_utc().timestamp() - i64::from(offset), 0).ok()
    });
    instant.and_then(|instant| on_wall_clock(instant, zone)).unwrap_or_else(|| until.clone())
}

/// What the clocks of a zone show at an instant.
fn on_wall_clock(at: Timestamp, zone: Tz) -> Option<PartialDateTime> {
    let name = zone.name()?;
    let zone = TimeZoneDatabase::bundled().get(&name).ok()?;
    let local = zone.to_datetime(at);
    Some(PartialDateTime {
        year: u16::try_from(local.year()).ok(),
        month: u8::try_from(local.month()).ok(),
        day: u8::try_from(local.day()).ok(),
        hour: u8::try_from(local.hour()).ok(),
        minute: u8::try_from(local.minute()).ok(),
        second: u8::try_from(local.second()).ok(),
        ..PartialDateTime::default()
    })
}

fn counts(event: &ICalendarComponent, calendar: &CompanyCalendar) -> bool {
    if event.status() == Some(&ICalendarStatus::Cancelled) {
        return false;
    }
    let summary = texts(event, &ICalendarProperty::Summary).join(" ").to_lowercase();
    let categories = texts(event, &ICalendarProperty::Categories);
    let words = &calendar.summary_contains;
    let is_named = words.is_empty() || words.iter().any(|it| summary.contains(&it.to_lowercase()));
    let wanted = &calendar.categories;
    let is_of_kind = wanted.is_empty()
        || wanted.iter().any(|it| categories.iter().any(|found| found.eq_ignore_ascii_case(it)));
    is_named && is_of_kind
}

fn texts<'a>(event: &'a ICalendarComponent, property: &ICalendarProperty) -> Vec<&'a str> {
    let entries = event.entries.iter().filter(|entry| entry.name == *property);
    entries.flat_map(|entry| &entry.values).filter_map(ICalendarValue::as_text).collect()
}

/// One line that people are told.
fn summary(event: &ICalendarComponent) -> String {
    let text = texts(event, &ICalendarProperty::Summary).join(" ");
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().filter(|it| !it.is_control()).take(SUMMARY_MAX).collect();
    if line.is_empty() { "without a name".to_owned() } else { line }
}

fn second(seconds: i64) -> Timestamp {
    let extreme = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::new(seconds, 0).unwrap_or(extreme)
}

#[cfg(test)]
#[path = "icalendar_tests.rs"]
mod tests;
