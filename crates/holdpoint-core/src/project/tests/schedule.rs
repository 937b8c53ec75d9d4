//! Windows, freezes, the calendar, and who is told.

use insta::assert_snapshot;

use super::*;

#[test]
fn windows_that_cannot_open_are_refused() {
    let text = r#"
[[windows]]
name = "none"
days = []
from = "10:00"
to = "14:00"
[[windows]]
name = "night"
days = ["friday"]
from = "22:00"
to = "02:00"
[[windows]]
name = "instant"
days = ["fryday"]
from = "9:00"
to = 24:00:00
[[windows]]
name = "none"
from = "25:00"
"#;
    assert_snapshot!(told_after_least(text), @r#"
    17:8: error: `windows.days` is empty
      hint: name at least one day of the week: `monday`, `tuesday`, `wednesday`, `thursday`, `friday`, `saturday` or `sunday`
    24:6: error: `windows.to` is not after `from`, so the window `night` would never open
      hint: for a window across midnight write two: one to `24:00`, and on the next day one from `00:00`
    27:9: error: `windows.days` names `fryday`, which is no day of the week
      hint: did you mean `friday`?
    28:8: error: `windows.from` is `9:00`, which is no time of day to the minute
      hint: write hours and minutes with two digits each, from `"00:00"` to `"24:00"`
    29:6: error: invalid time, expected hour between 00 and 23
      hint: the file is TOML: `key = "text"`, `[table]`, and `[[table]]` for each entry of a list
    31:8: error: there are two windows called `none`
      hint: rename or remove one of them; the first is on line 16
    32:8: error: `windows.from` is `25:00`, which is no time of day to the minute
      hint: write hours and minutes with two digits each, from `"00:00"` to `"24:00"`
    "#);
    assert_snapshot!(told(&format!("windows = []\n{}", LEAST.trim_start())), @r"
    1:11: error: `windows` is empty, so production could never change
      hint: add a `[[windows]]` table, or remove the key for the default window
    ");
}

#[test]
fn windows_that_overlap_are_warned_of_and_used() {
    let text = r#"
[[windows]]
name = "morning"
days = ["monday", "friday"]
from = "08:00"
to = "12:00"
[[windows]]
name = "noon"
days = ["friday"]
from = 11:30:00
to = "24:00"
[[windows]]
name = "touching"
days = ["monday"]
from = "12:00"
to = "13:00"
"#;
    assert_snapshot!(told_after_least(text), @r"
    21:8: warning: the windows `morning` and `noon` overlap on friday
      hint: let one end where the other begins, or make one window of them
    ");
}

#[test]
fn freezes_have_an_owner_and_an_end_after_their_beginning() {
    let text = r#"
[[freezes]]
name = "summit"
owner = "aba"
reason = "away"
from = 2026-12-12T00:00:00+01:00
to = "2026-12-07T00:00:00+01:00"
[[freezes]]
name = "summit"
owner = "ada"
from = 2026-12-12
to = "Christmas"
"#;
    assert_snapshot!(told_after_least(text), @r#"
    17:9: error: the freeze's owner `aba` is nobody in this project
      hint: did you mean `ada`?
    20:6: error: `freezes.to` is not after `from`, so the freeze `summit` would never hold
      hint: make `to` later than `from`
    21:1: error: `reason` is missing in `freezes`
      hint: add for example `reason = "everybody is at the summit"`
    22:8: error: there are two freezes called `summit`
      hint: rename or remove one of them; the first is on line 16
    24:8: error: `freezes.from` is `2026-12-12`, which is no date with a time
      hint: write for example `2026-12-07T09:00:00-06:00`; without the offset it is the project's local time
    25:6: error: `freezes.to` is `Christmas`, which is no date with a time
      hint: write for example `2026-12-07T09:00:00-06:00`; without the offset it is the project's local time
    "#);
}

#[test]
fn a_freeze_without_an_offset_is_on_the_projects_wall_clock() {
    let text = r#"
[[freezes]]
name = "summit"
owner = "ada"
reason = "away"
from = 2026-12-07T00:00:00
to = "2027-03-28T02:30"
"#;
    assert_snapshot!(told_after_least(text), @r"
    20:6: warning: `2027-03-28T02:30` is in an hour that the change of clocks skips or repeats
      hint: write the instant that is meant: it is taken for `2027-03-28T01:30:00Z`
    ");
    let project = parse(&format!("{LEAST}{text}")).0.unwrap();
    let times: Vec<String> = project
        .freezes
        .iter()
        .flat_map(|freeze| [freeze.from.to_string(), freeze.to.to_string()])
        .collect();
    assert_eq!(times, ["2026-12-06T23:00:00Z", "2027-03-28T01:30:00Z"]);
}

#[test]
fn the_calendar_is_checked() {
    assert_snapshot!(
        told_after_least(
            "[calendar]\nholidays = \"us-federl\"\nfreeze_quarter_end_days = 40\n"
        ),
        @r#"
    15:12: error: `calendar.holidays` names `us-federl`, which is no set of holidays
      hint: did you mean `us-federal`?
    16:27: error: `calendar.freeze_quarter_end_days` is 40, which is out of range
      hint: use 0 to 31
    "#
    );
}

/// What is told on 1 December 2026 about windows that a year does not open.
fn told_of_closed_windows(rest: &str) -> String {
    let text = format!("{}{rest}", LEAST.trim_start());
    let project = parse(&text).0.expect("a sound project");
    let now = "2026-12-01T12:00:00Z".parse().expect("a time");
    let findings = windows_that_stay_closed(&text, &project, now);
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_window_that_a_freeze_hides_for_ever_is_told_at_its_place() {
    let freeze = r#"
[[freezes]]
name = "for-good"
owner = "ada"
reason = "the shop is closed"
from = 2026-01-01T00:00:00Z
to = 2036-01-01T00:00:00Z
"#;
    let windows = r#"
[[windows]]
name = "midweek"
days = ["tuesday"]
from = "10:00"
to = "14:00"
"#;
    assert_snapshot!(told_of_closed_windows(&format!("{freeze}{windows}")));
    // the default window has no place of its own
    assert_snapshot!("default_window_hidden", told_of_closed_windows(freeze));
    assert_eq!(told_of_closed_windows(windows), "");
}

#[test]
fn company_calendars_are_read_and_their_problems_told() {
    let text = r#"
[[calendar.events]]
name = "company"
source = "webcal://calendar.example.com/company.ics"
summary_contains = ["summit"]
[[calendar.events]]
name = "company"
source = "ftp://calendar.example.com"
refresh = "1s"
when_unreadable = "wait"
summary = "freeze"
[[calendar.events]]
categories = "freeze"
"#;
    assert_snapshot!(told_after_least(text));
    let sound = text.split("[[calendar.events]]").take(2).collect::<Vec<_>>();
    let sound = format!("{}[[calendar.events]]", LEAST.trim_start()) + &sound.concat();
    let project = parse(&sound).0.expect("a sound project");
    let calendar = project.calendar.events.first().expect("a calendar");
    let url = "https://calendar.example.com/company.ics";
    assert_eq!(calendar.source, CalendarSource::Url(url.to_owned()));
    assert_eq!((calendar.refresh_secs, calendar.when_unreadable), (900, WhenUnreadable::Hold));
}
