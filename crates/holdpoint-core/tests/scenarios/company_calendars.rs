//! Company events as freezes: they hold production until they are over, and a calendar that can't
//! be read holds it too.

use holdpoint_core::calendar::{CalendarReading, CompanyEvent};
use holdpoint_core::command::Command;
use holdpoint_core::engine::Input;
use holdpoint_core::project::{CalendarSource, CompanyCalendar, Role, WhenUnreadable};
use holdpoint_core::view;
use jiff::{SignedDuration, Timestamp};

use crate::world::{World, time};

/// A Tuesday on which the whole company meets until noon; the window is open from 10:00.
const MORNING: &str = "2026-03-03T09:00:00Z";

const REFRESH: SignedDuration = SignedDuration::from_mins(15);

fn meeting() -> CalendarReading {
    CalendarReading::Read(vec![CompanyEvent {
        from: time("2026-03-03T08:00:00Z"),
        to: time("2026-03-03T12:00:00Z"),
        summary: "All hands".to_owned(),
    }])
}

/// A release that has all approvals, in a project with a calendar, of which this was read.
fn release(reading: CalendarReading, when_unreadable: WhenUnreadable) -> World {
    let mut world = World::at(MORNING);
    let mut start = world.facts_to_start("1.0.0");
    start.project.calendar.events = vec![CompanyCalendar {
        name: "company".to_owned(),
        source: CalendarSource::File("company.ics".to_owned()),
        summary_contains: Vec::new(),
        categories: Vec::new(),
        refresh_secs: 900,
        when_unreadable,
    }];
    read(&mut world, reading);
    world.command("linus", Command::StartRelease(Box::new(start))).expect("it starts");
    world.run_until_step("approvals");
    world.approve("ada", Role::Engineer).expect("ada may approve");
    world.approve("grace", Role::Manager).expect("grace may approve");
    world
}

fn read(world: &mut World, reading: CalendarReading) {
    world.input(Input::CalendarRead("company".to_owned(), reading)).expect("never refused");
}

/// Reads the calendar again every quarter of an hour until then.
fn go_on_reading(world: &mut World, until: &str, reading: &CalendarReading) {
    while world.now < time(until) && world.engine.state().active().is_some() {
        let next = world.now + REFRESH;
        read(world, reading.clone());
        let mut steps = 0;
        while world.now < next && steps < 2_000 && world.step() {
            steps += 1;
        }
        world.now = world.now.max(next);
    }
}

/// The lines of the timeline that tell of calendars and of production.
fn told(world: &World) -> String {
    let counts = ["calendar `", "announced", "production rollout of search: started", "released"];
    let story = world.story();
    let lines = story.lines().filter(|line| counts.iter().any(|word| line.contains(word)));
    lines.collect::<Vec<_>>().join("\n")
}

fn waits_for(world: &World) -> String {
    let status = view::status(world.engine.state(), world.now);
    let release = status.release.expect("a release");
    release.waits_for.map_or_else(String::new, |reason| reason.to_string())
}

fn started_at(world: &World) -> Option<Timestamp> {
    let status = view::status(world.engine.state(), world.now);
    let steps = status.release?.steps;
    let step = steps.into_iter().find(|step| step.name == "production rollout of search");
    step.and_then(|step| step.started_at)
}

#[test]
fn a_company_event_holds_production_until_it_is_over_also_after_a_crash() {
    let mut world = release(meeting(), WhenUnreadable::Hold);
    go_on_reading(&mut world, "2026-03-03T11:00:00Z", &meeting());
    insta::assert_snapshot!(waits_for(&world), @r#"a production window: company event "All hands" until Tue 2026-03-03 12:00 UTC"#);
    world.crash();
    go_on_reading(&mut world, "2026-03-03T13:30:00Z", &meeting());
    assert!(started_at(&world) >= Some(time("2026-03-03T12:00:00Z")), "{}", world.story());
    insta::assert_snapshot!(told(&world));
}

#[test]
fn a_calendar_that_can_no_longer_be_read_holds_production_until_it_can() {
    let nothing = CalendarReading::Read(Vec::new());
    let mut world = release(nothing.clone(), WhenUnreadable::Hold);
    let failed = CalendarReading::Failed("calendar.example.com does not answer".to_owned());
    read(&mut world, failed.clone());
    let status = view::status(world.engine.state(), world.now);
    let unread = status.unread_calendars.first().expect("it is told at once");
    assert_eq!(unread.holds_from, Some(time("2026-03-03T09:45:00Z")));
    go_on_reading(&mut world, "2026-03-03T11:00:00Z", &failed);
    insta::assert_snapshot!(waits_for(&world), @"a production window: calendar `company` is not known: calendar.example.com does not answer");
    assert_eq!(started_at(&world), None);
    go_on_reading(&mut world, "2026-03-03T13:30:00Z", &nothing);
    assert!(started_at(&world) >= Some(time("2026-03-03T11:00:00Z")), "{}", world.story());
    insta::assert_snapshot!(told(&world));
}

#[test]
fn a_calendar_that_may_be_missed_holds_nothing_but_what_is_known_of_it() {
    let failed = CalendarReading::Failed("no such file".to_owned());
    let mut world = release(failed.clone(), WhenUnreadable::Ignore);
    go_on_reading(&mut world, "2026-03-03T11:00:00Z", &failed);
    let started = started_at(&world).expect("it went on");
    assert!(started < time("2026-03-03T10:30:00Z"), "{}", world.story());
}
