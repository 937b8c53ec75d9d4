//! Stories told by the wall clock, and a comparison with a scan of every minute.

use insta::assert_snapshot;
use jiff::civil::date;
use proptest::prelude::*;

use super::holiday::tests::CLOSED;
use super::*;

fn calendar(zone_name: &str, windows: Vec<Window>) -> Calendar {
    Calendar {
        zone: zone(zone_name).unwrap(),
        windows,
        policy: CalendarPolicy::default(),
        freezes: Vec::new(),
        company: Vec::new(),
        unknown: Vec::new(),
    }
}

fn midweek_in_chicago() -> Calendar {
    calendar("America/Chicago", vec![Window::midweek()])
}

fn freeze(name: &str, from: &str, to: &str) -> Freeze {
    Freeze {
        name: name.to_owned(),
        owner: "grace".to_owned(),
        reason: "everybody is away".to_owned(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
    }
}

fn told(calendar: &Calendar, now: &str) -> String {
    calendar.describe(&calendar.status(now.parse().unwrap()))
}

#[test]
fn a_window_opens_at_its_first_instant_and_closes_at_its_end() {
    let calendar = midweek_in_chicago();
    assert_snapshot!(told(&calendar, "2026-12-01T15:59:59.999Z"), @"outside every window; the next begins Tue 2026-12-01 10:00 CST; opens Tue 2026-12-01 10:00 CST");
    assert_snapshot!(told(&calendar, "2026-12-01T16:00:00Z"), @"window `midweek` is open until Tue 2026-12-01 14:00 CST");
    assert_snapshot!(told(&calendar, "2026-12-01T19:59:59.999Z"), @"window `midweek` is open until Tue 2026-12-01 14:00 CST");
    assert_snapshot!(told(&calendar, "2026-12-01T20:00:00Z"), @"outside every window; the next begins Wed 2026-12-02 10:00 CST; opens Wed 2026-12-02 10:00 CST");
}

#[test]
fn friday_and_the_weekend_wait_for_tuesday() {
    let calendar = midweek_in_chicago();
    let after_thursday = told(&calendar, "2026-12-03T20:00:00Z");
    assert_snapshot!(after_thursday, @"outside every window; the next begins Tue 2026-12-08 10:00 CST; opens Tue 2026-12-08 10:00 CST");
    assert_eq!(told(&calendar, "2026-12-04T17:00:00Z"), after_thursday);
    assert_eq!(told(&calendar, "2026-12-06T17:00:00Z"), after_thursday);
}

#[test]
fn a_holiday_closes_the_local_day_and_not_the_day_of_greenwich() {
    let calendar = midweek_in_chicago();
    assert_snapshot!(told(&calendar, "2026-11-11T17:00:00Z"), @"holiday (Veterans Day) until Thu 2026-11-12 00:00 CST; opens Thu 2026-11-12 10:00 CST");
    assert_snapshot!(told(&calendar, "2026-11-12T05:59:00Z"), @"holiday (Veterans Day) until Thu 2026-11-12 00:00 CST; outside every window; the next begins Thu 2026-11-12 10:00 CST; opens Thu 2026-11-12 10:00 CST");
}

#[test]
fn the_end_of_month_and_quarter_are_told_together() {
    let calendar = midweek_in_chicago();
    assert_snapshot!(told(&calendar, "2026-06-30T17:00:00Z"), @"end of the quarter until Wed 2026-07-01 00:00 CDT; end of the month until Wed 2026-07-01 00:00 CDT; opens Wed 2026-07-01 10:00 CDT");
    assert_snapshot!(told(&calendar, "2026-06-24T17:00:00Z"), @"end of the quarter until Wed 2026-07-01 00:00 CDT; opens Wed 2026-07-01 10:00 CDT");
    assert_snapshot!(told(&calendar, "2026-06-23T17:00:00Z"), @"window `midweek` is open until Tue 2026-06-23 14:00 CDT");
}

#[test]
fn a_freeze_beats_a_window_and_cuts_it_short() {
    let mut calendar = midweek_in_chicago();
    calendar.freezes = vec![freeze("summit", "2026-12-01T18:00:00Z", "2026-12-02T17:30:00Z")];
    assert_snapshot!(told(&calendar, "2026-12-01T17:00:00Z"), @"window `midweek` is open until Tue 2026-12-01 12:00 CST");
    assert_snapshot!(told(&calendar, "2026-12-01T18:00:00Z"), @"freeze `summit` of grace until Wed 2026-12-02 11:30 CST: everybody is away; opens Wed 2026-12-02 11:30 CST");
    assert_snapshot!(told(&calendar, "2026-12-02T17:30:00Z"), @"window `midweek` is open until Wed 2026-12-02 14:00 CST");
}

#[test]
fn the_window_keeps_to_the_wall_clock_when_daylight_saving_ends() {
    let calendar = midweek_in_chicago();
    // 2026-11-01: 10:00 is 15:00 in UTC before it and 16:00 after it.
    let before = calendar.status("2026-10-29T14:00:00Z".parse().unwrap());
    assert_snapshot!(before, @"outside every window; the next begins Thu 2026-10-29 15:00 UTC; opens Thu 2026-10-29 15:00 UTC");
    let after = calendar.status("2026-11-03T15:00:00Z".parse().unwrap());
    assert_snapshot!(after, @"outside every window; the next begins Tue 2026-11-03 16:00 UTC; opens Tue 2026-11-03 16:00 UTC");
}

#[test]
fn a_window_in_the_skipped_hour_does_not_open_and_one_in_the_repeated_hour_opens_twice() {
    let night = Window {
        name: "night".to_owned(),
        days: vec![Day::Sunday],
        from_minute: 2 * 60,
        to_minute: 3 * 60,
    };
    let calendar = calendar("America/Chicago", vec![night.clone()]);
    // 2027-03-14 has no 02:00 to 03:00.
    assert_snapshot!(told(&calendar, "2027-03-14T06:00:00Z"), @"outside every window; the next begins Sun 2027-03-21 02:00 CDT; opens Sun 2027-03-21 02:00 CDT");

    let repeated = Window { from_minute: 60, to_minute: 90, ..night };
    let calendar = Calendar { windows: vec![repeated], ..calendar };
    assert_snapshot!(told(&calendar, "2026-11-01T06:10:00Z"), @"window `night` is open until Sun 2026-11-01 01:30 CDT");
    assert_snapshot!(told(&calendar, "2026-11-01T06:40:00Z"), @"outside every window; the next begins Sun 2026-11-01 01:00 CST; opens Sun 2026-11-01 01:00 CST");
}

#[test]
fn windows_that_touch_are_one_opening() {
    let morning = Window { to_minute: 12 * 60, ..Window::midweek() };
    let afternoon =
        Window { name: "afternoon".to_owned(), from_minute: 12 * 60, ..Window::midweek() };
    let calendar = calendar("America/Chicago", vec![morning, afternoon]);
    assert_snapshot!(told(&calendar, "2026-12-01T17:00:00Z"), @"window `midweek` is open until Tue 2026-12-01 14:00 CST");
}

#[test]
fn nothing_within_a_year_is_said_and_not_searched_for_ever() {
    let mut never = midweek_in_chicago();
    never.freezes = vec![freeze("for good", "2026-01-01T00:00:00Z", "2036-01-01T00:00:00Z")];
    assert_snapshot!(told(&never, "2026-12-01T17:00:00Z"), @"freeze `for good` of grace until Mon 2035-12-31 18:00 CST: everybody is away; no window opens within a year");
    assert_eq!(never.next_open_day("2026-12-01T17:00:00Z".parse().unwrap()), None);

    let windowless = calendar("UTC", Vec::new());
    assert_snapshot!(told(&windowless, "2026-12-01T17:00:00Z"), @"outside every window; none begins within a year; no window opens within a year");

    let always = Window {
        from_minute: 0,
        to_minute: MINUTES_PER_DAY,
        days: Day::ALL.to_vec(),
        ..Window::midweek()
    };
    let mut always = calendar("UTC", vec![always]);
    always.policy = CalendarPolicy {
        holidays: Holidays::None,
        avoid_month_end: false,
        freeze_quarter_end_days: 0,
        events: Vec::new(),
    };
    assert_snapshot!(told(&always, "2026-12-01T17:00:00Z"), @"window `midweek` is open for a year and longer");
}

#[test]
fn the_ends_of_time_do_not_panic() {
    let calendar = midweek_in_chicago();
    for now in [Timestamp::MIN, Timestamp::MAX] {
        assert!(!calendar.status(now).is_open());
    }
}

#[test]
fn the_next_open_day_is_today_while_a_window_is_still_to_come() {
    let calendar = midweek_in_chicago();
    let day = |now: &str| calendar.next_open_day(now.parse().unwrap()).unwrap();
    assert_eq!(day("2026-12-01T12:00:00Z"), date(2026, 12, 1));
    assert_eq!(day("2026-12-01T17:00:00Z"), date(2026, 12, 1));
    assert_eq!(day("2026-12-01T20:00:00Z"), date(2026, 12, 2));
    assert_eq!(day("2026-11-26T12:00:00Z"), date(2026, 12, 1));
}

/// The rules once more, as plainly as they can be put, for one minute.
fn plainly_open(calendar: &Calendar, at: Timestamp) -> bool {
    let local = at.to_zoned_datetime(calendar.zone.clone());
    let clock = local.strftime("%H:%M").to_string();
    let in_window = calendar.windows.iter().any(|window| {
        let hour = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let weekday = local.strftime("%A").to_string().to_lowercase();
        window.days.iter().any(|day| day.as_str() == weekday)
            && hour(window.from_minute) <= clock
            && clock < hour(window.to_minute)
    });
    let (year, month, day) = (local.year(), local.month(), local.day());
    let holiday = calendar.policy.holidays == Holidays::UsFederal
        && CLOSED.iter().any(|closed| (closed.0, closed.1, closed.2) == (year, month, day));
    let last_day = local.days_in_month();
    let month_end = calendar.policy.avoid_month_end && day == last_day;
    let days_left: u32 = {
        let mut probe = local.date();
        let mut days = 0;
        while !(probe.month() % 3 == 0 && probe.day() == probe.days_in_month()) {
            probe = probe.tomorrow().unwrap();
            days += 1;
        }
        days
    };
    let quarter_end = days_left < calendar.policy.freeze_quarter_end_days;
    let frozen = calendar.freezes.iter().any(|freeze| freeze.from <= at && at < freeze.to);
    in_window && !holiday && !month_end && !quarter_end && !frozen
}

/// Zones with an hour, half an hour and no daylight saving, with changes at midnight, and with
/// offsets that are no whole hours.
const ZONES: [&str; 8] = [
    "America/Chicago",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "America/Havana",
    "Africa/Cairo",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "UTC",
];

fn any_window() -> impl Strategy<Value = Window> {
    let days = proptest::sample::subsequence(Day::ALL.to_vec(), 1..=7);
    (days, 0..MINUTES_PER_DAY, 1..=MINUTES_PER_DAY).prop_map(|(days, one, other)| {
        let (from_minute, to_minute) =
            if one < other { (one, other) } else { (other - 1, one + 1) };
        Window { name: "any".to_owned(), days, from_minute, to_minute }
    })
}

/// Minutes since 2026-01-01T00:00Z: anywhere in three years, or within days of a change of clocks
/// (Chicago, Berlin, Lord Howe, Havana, Cairo) or of a year's end.
fn any_minute() -> impl Strategy<Value = i64> {
    const DAY: i64 = 24 * 60;
    let changes = vec![66, 87, 93, 113, 276, 297, 302, 303, 363];
    prop_oneof![
        0..1000 * DAY,
        (proptest::sample::select(changes), -3 * DAY..2 * DAY)
            .prop_map(|(day, offset)| day * DAY + offset),
    ]
}

fn minute(minutes: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + SignedDuration::from_mins(minutes)
}

fn any_calendar_and_minute() -> impl Strategy<Value = (Calendar, i64)> {
    let freezes = proptest::collection::vec((-3000_i64..9000, 1_i64..6000), 0..=2);
    let policy = (any::<bool>(), any::<bool>(), 0_u32..10);
    let windows = proptest::collection::vec(any_window(), 0..=3);
    (proptest::sample::select(ZONES.to_vec()), windows, policy, freezes, any_minute()).prop_map(
        |(
            zone_name,
            windows,
            (holidays, avoid_month_end, freeze_quarter_end_days),
            freezes,
            now,
        )| {
            let mut calendar = calendar(zone_name, windows);
            calendar.policy = CalendarPolicy {
                holidays: if holidays { Holidays::UsFederal } else { Holidays::None },
                avoid_month_end,
                freeze_quarter_end_days,
                events: Vec::new(),
            };
            calendar.freezes = freezes
                .into_iter()
                .map(|(from, length)| Freeze {
                    from: minute(now + from),
                    to: minute(now + from + length),
                    ..freeze("any", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
                })
                .collect();
            (calendar, now)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_calendar_agrees_with_a_scan_of_every_minute((calendar, now) in any_calendar_and_minute()) {
        let open = plainly_open(&calendar, minute(now));
        let scanned = 9 * 24 * 60;
        let change = (now + 1..now + scanned)
            .map(minute)
            .find(|at| plainly_open(&calendar, *at) != open);
        let announced = match calendar.status(minute(now)) {
            CalendarStatus::Open { closes_at, .. } => {
                prop_assert!(open);
                closes_at
            }
            CalendarStatus::Closed { opens_at, reasons } => {
                prop_assert!(!open);
                prop_assert!(!reasons.is_empty());
                opens_at
            }
        };
        match change {
            Some(change) => prop_assert_eq!(announced, Some(change)),
            None => prop_assert!(announced.is_none_or(|at| at >= minute(now + scanned))),
        }
    }
}
