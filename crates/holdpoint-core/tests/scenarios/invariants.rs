//! Damage of data, as a value that must stay sees it.

use holdpoint_core::command::Command;
use holdpoint_core::id::Environment;
use holdpoint_core::project::{Invariant, Must, Role};
use holdpoint_core::view;

use crate::world::World;

/// A shop whose orders are counted, with a first release.
fn shop() -> World {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    world.project.gates.invariants = vec![Invariant {
        name: "orders".to_owned(),
        service: "desk".to_owned(),
        environments: vec![Environment::Staging, Environment::Production],
        command: vec!["count-orders".to_owned()],
        must: Must::Stay,
        every_secs: 30,
        timeout_secs: 10,
    }];
    world
}

fn start(world: &mut World) {
    world.start("linus", "1.1.0").expect("accepted");
    world.approve("ada", Role::Engineer).expect("accepted");
    world.approve("grace", Role::Manager).expect("accepted");
}

fn waits_for(world: &World) -> String {
    let status = view::status(world.engine.state(), world.now).release.expect("a release");
    status.waits_for.map_or_else(String::new, |reason| reason.to_string())
}

#[test]
fn a_value_that_stays_lets_a_release_through() {
    let mut world = shop();
    start(&mut world);
    world.run_until_step("production validation");
    let status = view::status(world.engine.state(), world.now).release.unwrap();
    let invariants: Vec<String> = status
        .verdicts
        .iter()
        .map(|verdict| verdict.finding().to_string())
        .filter(|finding| finding.starts_with("invariant"))
        .collect();
    assert_eq!(invariants, ["invariant of desk in production: `orders` is 42, as it must"]);
    world.run_to_end();
    assert!(world.fleet().contains("1.1.0") && !world.fleet().contains("1.0.0"));
}

#[test]
fn a_value_that_changes_in_production_turns_the_release_back_at_once() {
    let mut world = shop();
    let before = world.fleet();
    start(&mut world);
    world.run_until_step("production rollout of desk");
    world.answers.insert(Environment::Production, Ok("41".to_owned()));
    world.run_to_end();
    assert_eq!(world.fleet(), before);
    let told = world.told();
    let why = "invariant of desk in production: `orders` is 41, was 42 before the rollout and must \
               stay";
    assert!(told.contains(why), "{told}");
    let (_, incident) = world.engine.state().open_incident().unwrap();
    assert!(incident.title.contains(why), "{}", incident.title);
}

#[test]
fn no_rollout_begins_before_there_is_a_value_to_compare_with() {
    let mut world = shop();
    world.answers.insert(Environment::Production, Err("connection refused".to_owned()));
    start(&mut world);
    world.run_until_step("production rollout of search");
    let since = world.now;
    world.run_until("some minutes", |world| world.now.duration_since(since).as_secs() > 300);
    assert_eq!(
        waits_for(&world),
        "the gates to hold: invariant of desk in production: `orders` has no value before the \
         rollout: connection refused"
    );
    assert!(!world.fleet().contains("search: search-1.1.0"), "{}", world.fleet());
    world.answers.clear();
    world.run_to_end();
    assert!(world.fleet().contains("search: search-1.1.0"), "{}", world.fleet());
}

#[test]
fn no_answer_after_the_rollout_neither_promotes_nor_rolls_back() {
    let mut world = shop();
    start(&mut world);
    world.run_until_step("staging soak");
    world.answers.insert(Environment::Staging, Err("connection refused".to_owned()));
    let since = world.now;
    world.run_until("an hour", |world| world.now.duration_since(since).as_secs() > 3600);
    assert!(waits_for(&world).contains("`orders` has no answer: connection refused"));
    world.answers.clear();
    world.run_until_step("production window");
    world.command("ada", Command::Rollback { reason: "enough".to_owned() }).unwrap();
    world.answers.insert(Environment::Staging, Ok("7".to_owned()));
    world.run_to_end();
    assert!(!world.fleet().contains("1.1.0"), "{}", world.fleet());
}
