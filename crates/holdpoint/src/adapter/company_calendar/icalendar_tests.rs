//! Calendars as programs of other people write them, and what of them closes production.

use holdpoint_core::project::{CalendarSource, WhenUnreadable};
use insta::assert_snapshot;
use proptest::strategy::Strategy as _;

use super::*;

fn calendar(summary_contains: &[&str], categories: &[&str]) -> CompanyCalendar {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    CompanyCalendar {
        name: "company".to_owned(),
        source: CalendarSource::File("company.ics".to_owned()),
        summary_contains: owned(summary_contains),
        categories: owned(categories),
        refresh_secs: 900,
        when_unreadable: WhenUnreadable::Hold,
    }
}

fn read_from(text: &str, zone: &str, now: &str) -> Result<Vec<CompanyEvent>, Unreadable> {
    let now = now.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    read(text, Wanted { calendar: &calendar(&[], &[]), zone, now })
}

fn lines_of(events: &[CompanyEvent]) -> String {
    let lines = events.iter().map(|it| format!("{} to {}: {}", it.from, it.to, it.summary));
    lines.collect::<Vec<_>>().join("\n")
}

/// The first events from 1 December 2026 on of a calendar in Chicago with these lines.
fn told(events: &str) -> String {
    match read_from(&text(events), "America/Chicago", "2026-12-01T00:00:00Z") {
        Ok(events) => lines_of(events.get(..events.len().min(8)).unwrap_or_default()),
        Err(unreadable) => {
            format!("{unreadable}\nhint: {}", unreadable.hint.clone().unwrap_or_default())
        }
    }
}

/// A calendar of events, each of which is given by its own lines.
fn text(events: &str) -> String {
    let events = events.trim().split("\n\n").enumerate();
    let events: Vec<String> = events
        .map(|(number, event)| format!("BEGIN:VEVENT\nUID:{number}\n{event}\nEND:VEVENT\n"))
        .collect();
    format!("BEGIN:VCALENDAR\nVERSION:2.0\n{}END:VCALENDAR\n", events.concat())
}

#[test]
fn an_event_is_in_the_zone_that_it_names_or_in_the_projects() {
    assert_snapshot!(told(
        "
SUMMARY:in UTC
DTSTART:20261202T160000Z
DTEND:20261202T180000Z

SUMMARY:in Berlin
DTSTART;TZID=Europe/Berlin:20261203T100000
DURATION:PT1H30M

SUMMARY:as Outlook names it
DTSTART;TZID=Eastern Standard Time:20261204T100000
DTEND;TZID=Eastern Standard Time:20261204T110000

SUMMARY:on the project's clock
DTSTART:20261205T100000
DTEND:20261205T110000

SUMMARY:all day
DTSTART;VALUE=DATE:20261224
DTEND;VALUE=DATE:20261227
"
    ));
}

#[test]
fn a_day_lasts_from_midnight_to_midnight_also_when_the_clocks_change() {
    assert_snapshot!(told("
SUMMARY:23 hours
DTSTART;VALUE=DATE:20270314
"), @"2027-03-14T06:00:00Z to 2027-03-15T05:00:00Z: 23 hours");
}

#[test]
fn recurrences_keep_to_the_wall_clock_and_end_as_they_say() {
    assert_snapshot!(
        "daily_with_exceptions",
        told(
            "
SUMMARY:daily
DTSTART;TZID=America/Chicago:20261130T090000
DTEND;TZID=America/Chicago:20261130T093000
RRULE:FREQ=DAILY;COUNT=5
EXDATE;TZID=America/Chicago:20261202T090000
"
        )
    );
    assert_snapshot!(
        "weekly_across_the_change",
        told(
            "
SUMMARY:weekly
DTSTART;TZID=America/Chicago:20210104T100000
DTEND;TZID=America/Chicago:20210104T110000
RRULE:FREQ=WEEKLY;INTERVAL=8;BYDAY=TU,TH
"
        )
    );
    assert_snapshot!(
        "monthly_last_friday",
        told(
            "
SUMMARY:monthly
DTSTART;VALUE=DATE:20260130
RRULE:FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20270301
"
        )
    );
    assert_snapshot!(told("
SUMMARY:yearly
DTSTART;VALUE=DATE:19990704
RRULE:FREQ=YEARLY
"), @"2027-07-04T05:00:00Z to 2027-07-05T05:00:00Z: yearly");
}

#[test]
fn the_last_recurrence_counts_also_east_of_greenwich() {
    let events = "
SUMMARY:until its last time, given in UTC
DTSTART;TZID=Asia/Tokyo:20261207T090000
DTEND;TZID=Asia/Tokyo:20261207T100000
RRULE:FREQ=DAILY;UNTIL=20261209T000000Z
";
    assert_snapshot!(told(events), @r"
    2026-12-07T00:00:00Z to 2026-12-07T01:00:00Z: until its last time, given in UTC
    2026-12-08T00:00:00Z to 2026-12-08T01:00:00Z: until its last time, given in UTC
    2026-12-09T00:00:00Z to 2026-12-09T01:00:00Z: until its last time, given in UTC
    ");
}

#[test]
fn a_moved_or_cancelled_recurrence_is_where_it_was_moved_to_and_touches_no_other_event() {
    let text = "BEGIN:VCALENDAR
BEGIN:VEVENT
UID:a
SUMMARY:weekly
DTSTART:20261201T100000Z
DTEND:20261201T110000Z
RRULE:FREQ=WEEKLY;COUNT=4
END:VEVENT
BEGIN:VEVENT
UID:b
SUMMARY:another at the same times
DTSTART:20261201T100000Z
DTEND:20261201T110000Z
RRULE:FREQ=WEEKLY;COUNT=2
END:VEVENT
BEGIN:VEVENT
UID:a
SEQUENCE:3
SUMMARY:weekly\\, moved
RECURRENCE-ID:20261208T100000Z
DTSTART:20261209T120000Z
DTEND:20261209T130000Z
END:VEVENT
BEGIN:VEVENT
UID:a
STATUS:CANCELLED
SUMMARY:weekly
RECURRENCE-ID:20261215T100000Z
DTSTART:20261215T100000Z
DTEND:20261215T110000Z
END:VEVENT
END:VCALENDAR
";
    let events = read_from(text, "UTC", "2026-12-01T00:00:00Z").expect("it is understood");
    assert_snapshot!(lines_of(&events));
}

#[test]
fn only_what_the_project_asks_for_counts() {
    let text = text(
        "
SUMMARY:Company SUMMIT in Chicago
CATEGORIES:Travel,Freeze
DTSTART;VALUE=DATE:20261207

SUMMARY:Summit catering
DTSTART;VALUE=DATE:20261208

SUMMARY:Lunch
CATEGORIES:FREEZE
DTSTART;VALUE=DATE:20261209
",
    );
    let count = |calendar: CompanyCalendar| {
        let now = "2026-12-01T00:00:00Z".parse().expect("a time");
        read(&text, Wanted { calendar: &calendar, zone: "UTC", now }).expect("understood").len()
    };
    assert_eq!(count(calendar(&[], &[])), 3);
    assert_eq!(count(calendar(&["summit"], &[])), 2);
    assert_eq!(count(calendar(&[], &["freeze"])), 2);
    assert_eq!(count(calendar(&["summit"], &["freeze"])), 1);
}

#[test]
fn what_is_over_or_far_away_does_not_count() {
    assert_snapshot!(told("
SUMMARY:over
DTSTART:20261101T100000Z
DTEND:20261101T110000Z

SUMMARY:in years
DTSTART:20361101T100000Z
DTEND:20361101T110000Z

SUMMARY:begins in years
DTSTART:20361101T100000Z
DTEND:20361101T110000Z
RRULE:FREQ=DAILY
"), @"");
}

#[test]
fn what_is_not_understood_is_told_with_its_line_and_never_passed_over() {
    let day = "DTSTART;VALUE=DATE:20261207";
    let all = [
        "SUMMARY:no beginning",
        "DTSTART:soon",
        "DTSTART;VALUE=DATE:20261307",
        "DTSTART;TZID=Mars/Olympus:20261207T100000\nDTEND:20261207T110000",
        &format!("{day}\nDTEND:never"),
        &format!("{day}\nRRULE:FREQ=SOMETIMES"),
        &format!("{day}\nRRULE:INTERVAL=2"),
        &format!("{day}\nRRULE:FREQ=DAILY;UNTIL=20261201"),
        &format!("{day}\nRRULE:FREQ=DAILY\nEXDATE:then"),
        "DTSTART:19700101T000000Z\nRRULE:FREQ=MINUTELY",
    ];
    let told: Vec<String> = all.iter().map(|event| format!("{event}\n  {}", told(event))).collect();
    assert_snapshot!(told.join("\n\n"));
}

#[test]
fn more_events_than_can_be_meant_are_refused_with_the_way_to_choose() {
    let often =
        "SUMMARY:often\nDTSTART:20261201T000000Z\nDTEND:20261201T001000Z\nRRULE:FREQ=HOURLY";
    assert_snapshot!(told(often), @r"
    9593 events would close production, and at most 512 may
    hint: say which count with `summary_contains` or `categories`
    ");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]
    /// Lines of calendars in any order and with any damage.
    #[test]
    fn no_text_brings_the_reader_down(
        lines in proptest::collection::vec(
            proptest::prop_oneof![
                proptest::sample::select(vec![
                    "BEGIN:VCALENDAR", "END:VCALENDAR", "BEGIN:VEVENT", "END:VEVENT", "UID:1",
                    "BEGIN:VTIMEZONE", "END:VTIMEZONE", "TZID:Mine", "SEQUENCE:2", "SUMMARY:x",
                    "DTSTART;TZID=Mine:20261207T100000", "DTSTART;VALUE=DATE:99991231",
                    "DTSTART:00010101T000000Z", "DTEND:20261207T110000Z", "DURATION:-P9999W",
                    "DURATION:PT1H", "RRULE:FREQ=YEARLY;BYMONTHDAY=-31", "RRULE:FREQ=DAILY;COUNT=3",
                    "RRULE:FREQ=WEEKLY;INTERVAL=0", "RRULE:FREQ=MONTHLY;BYDAY=5SU;UNTIL=20261207",
                    "RECURRENCE-ID:20261208T100000Z", "EXDATE:20261208T100000Z", " folded",
                    "RDATE;VALUE=PERIOD:20261207T100000Z/PT1H", "STATUS:CANCELLED",
                ]).prop_map(str::to_owned),
                "[A-Z;=:\\-\" \u{e9}0-9]{0,20}",
            ],
            0..24,
        )
    ) {
        let whole = lines.join("\n");
        let framed = format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20261207T100000Z\n{whole}\nEND:VEVENT\nEND:VCALENDAR");
        for text in [whole, framed] {
            drop(read_from(&text, "America/Chicago", "2026-12-01T00:00:00Z"));
        }
    }
}
