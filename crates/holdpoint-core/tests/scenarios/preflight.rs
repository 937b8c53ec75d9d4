//! Stories of releases that wait for pre-flight: what failed is mended, waived, or given up.

use holdpoint_core::command::{Command, Rehearsal, WaiveCheck};
use holdpoint_core::effect::{CheckResult, Effect, Evidence, Outcome};
use holdpoint_core::event::Ending;
use holdpoint_core::preflight::Waiver;
use holdpoint_core::project::{Person, Role};
use holdpoint_core::view;

use crate::world::{World, check, time};

/// A world in which these checks fail the first so many times that pre-flight looks.
fn world(failing: &'static [&'static str], looks: usize) -> World {
    let mut world = World::at("2026-03-03T09:20:00Z");
    let mut looked = 0;
    world.twist = Box::new(move |_, effect| {
        matches!(effect, Effect::Preflight { .. }).then(|| {
            looked += 1;
            let mut checks: Vec<CheckResult> =
                failing.iter().map(|name| check(name, looked > looks)).collect();
            checks.push(check("version", true));
            Outcome::Done(Evidence::Checks(checks))
        })
    });
    world
}

fn run_until_held(world: &mut World) {
    world.run_until("it is held", |world| {
        world.engine.state().active().is_some_and(|release| release.halt.is_some())
    });
}

fn waive(check: &str, role: Option<Role>, until: &str) -> Command {
    let (check, reason) = (check.to_owned(), "it is known".to_owned());
    Command::WaiveCheck(WaiveCheck { check, role, reason, until: time(until) })
}

#[test]
fn a_check_that_fails_holds_the_release_until_it_is_mended_and_looked_at_again() {
    let mut world = world(&["merged"], 1);
    world.start("linus", "1.0.0").unwrap();
    run_until_held(&mut world);
    while world.step() {}
    assert!(world.machines.is_empty(), "nothing is touched while it waits");
    let status = view::status(world.engine.state(), world.now).release.unwrap();
    assert_eq!(status.failed_checks.len(), 1);
    let waits_for = status.waits_for.unwrap().to_string();
    assert!(
        waits_for.contains("`holdpoint continue`: pre-flight does not hold: merged"),
        "{waits_for}"
    );
    world.command("ada", Command::Resume).unwrap();
    world.run_until_step("staging rollout of search");
    insta::assert_snapshot!(world.story());
}

#[test]
fn a_waived_check_stands_in_nobodys_way_and_the_journal_says_who_waived_it() {
    let mut world = world(&["merged", "drill"], usize::MAX);
    world.start("linus", "1.0.0").unwrap();
    run_until_held(&mut world);
    world.command("grace", waive("drill", None, "2026-03-03T12:00:00Z")).unwrap();
    let halt = world.engine.state().active().unwrap().halt.clone().unwrap();
    assert!(!halt.reason.contains("drill"), "{}", halt.reason);
    world.crash();
    world.command("grace", waive("merged", Some(Role::Manager), "2026-03-03T12:00:00Z")).unwrap();
    world.run_until_step("staging rollout of search");
    insta::assert_snapshot!(world.story());
    let late = world.command("grace", waive("merged", None, "2026-03-03T13:00:00Z")).unwrap_err();
    assert_eq!(late.to_string(), "pre-flight is over, so nothing is left to be waived");
}

#[test]
fn a_waiver_is_refused_to_whoever_may_not_give_it() {
    let mut world = world(&["merged", "app:shop"], usize::MAX);
    world.start("linus", "1.0.0").unwrap();
    let until = "2026-03-03T12:00:00Z";
    let early = world.command("grace", waive("merged", None, until)).unwrap_err();
    run_until_held(&mut world);
    let refusals = [
        early,
        world.command("linus", waive("merged", None, until)).unwrap_err(),
        world.command("ada", waive("merged", None, until)).unwrap_err(),
        world.command("ada", waive("merged", Some(Role::Engineer), until)).unwrap_err(),
        world.command("mallory", waive("merged", None, until)).unwrap_err(),
        world.command("grace", waive("merged", None, "2026-03-03T09:20:00Z")).unwrap_err(),
        world.command("grace", waive("app:shop", None, until)).unwrap_err(),
        world.command("grace", waive("version", None, until)).unwrap_err(),
    ];
    let texts: Vec<String> =
        refusals.iter().map(|refusal| format!("{refusal}\n  hint: {}", refusal.hint())).collect();
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn a_waiver_of_the_file_counts_to_its_end_and_not_for_its_own_author() {
    let waiver = |person: &str, until: &str| Waiver {
        check: "drill".to_owned(),
        person: person.to_owned(),
        role: Role::Manager,
        reason: "it is planned".to_owned(),
        until: time(until),
    };
    for (person, until, holds) in [
        ("grace", "2026-03-03T12:00:00Z", false),
        ("grace", "2026-03-03T09:00:00Z", true),
        ("linus", "2026-03-03T12:00:00Z", true),
    ] {
        let mut world = world(&["drill"], usize::MAX);
        let given = waiver(person, until);
        world
            .start_with("linus", "1.0.0", |start| start.project.preflight.waivers.push(given))
            .unwrap();
        if holds {
            run_until_held(&mut world);
        } else {
            world.run_until_step("staging rollout of search");
            assert!(world.story().contains("`drill` waived by grace as manager"));
        }
    }
}

#[test]
fn a_release_that_waits_for_pre_flight_can_be_given_up() {
    let mut world = world(&["tag"], usize::MAX);
    world.start("linus", "1.0.0").unwrap();
    run_until_held(&mut world);
    world.command("linus", Command::Rollback { reason: "the tag is wrong".to_owned() }).unwrap();
    world.run_to_end();
    let release = world.engine.state().releases.values().next().unwrap();
    assert!(matches!(release.ended, Some((_, Ending::Refused { .. }))), "{:?}", release.ended);
    assert!(world.machines.is_empty());
}

#[test]
fn a_rehearsal_ends_where_pre_flight_does_not_hold_for_nobody_is_there_to_mend_it() {
    let mut world = world(&["notes"], usize::MAX);
    world
        .start_with("linus", "1.0.0", |start| {
            start.rehearsal = Some(Rehearsal { speed: 60 });
            start
                .project
                .people
                .push(Person { name: "eve".to_owned(), roles: vec![Role::Manager] });
        })
        .unwrap();
    world.run_to_end();
    insta::assert_snapshot!(world.story());
    assert!(world.machines.is_empty());
}
