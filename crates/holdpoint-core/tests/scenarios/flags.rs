//! What a person or a scanner knows and no signal shows.

use holdpoint_core::command::{Command, Rejection};
use holdpoint_core::event::Ending;
use holdpoint_core::flag::Flag;
use holdpoint_core::project::Role;

use crate::world::World;

fn raise(world: &mut World, flag: Flag, reason: &str) -> Result<(), Rejection> {
    world.command("scanner", Command::RaiseFlag { flag, reason: reason.to_owned() })
}

fn second_release_until(world: &mut World, step: &str) {
    world.release("1.0.0");
    world.start("linus", "1.1.0").expect("accepted");
    world.approve("ada", Role::Engineer).expect("accepted");
    world.approve("grace", Role::Manager).expect("accepted");
    world.run_until_step(step);
}

fn incidents(world: &World) -> Vec<String> {
    let incidents = world.engine.state().incidents.iter();
    incidents.map(|(id, incident)| format!("{id}: {}", incident.title)).collect()
}

#[test]
fn a_security_flag_turns_a_release_back_at_once_in_staging_and_in_production() {
    for step in ["staging soak", "production rollout of desk"] {
        let mut world = World::at("2026-03-03T09:20:00Z");
        second_release_until(&mut world, step);
        let (raised_at, records) = (world.now, world.records.len());
        raise(&mut world, Flag::Security, "the new image holds a private key").unwrap();
        let record = &world.records[records];
        assert_eq!(record.at, raised_at);
        assert!(record.body.contains("RollbackStarted"), "{}", record.body);
        world.run_to_end();
        assert!(!world.fleet().contains("1.1.0"), "{}", world.fleet());
        let told = world.told();
        let why = "security flag raised by scanner: the new image holds a private key";
        assert!(told.contains(why), "{told}");
        assert_eq!(incidents(&world), [format!("INC-1: Shop 1.1.0: {why}")]);
    }
}

#[test]
fn data_that_is_damaged_turns_a_release_back_whatever_it_waits_for() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    world.start("linus", "1.1.0").unwrap();
    world.run_until_step("approvals");
    let reason = "it was me".to_owned();
    world.command("linus", Command::Halt { reason }).unwrap();
    raise(&mut world, Flag::Corruption, "two orders have the same number").unwrap();
    world.run_to_end();
    assert!(!world.fleet().contains("1.1.0"), "{}", world.fleet());
}

#[test]
fn a_flag_before_anything_was_changed_ends_the_release() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.start("linus", "1.0.0").unwrap();
    raise(&mut world, Flag::Security, "a dependency is known to be bad").unwrap();
    let release = world.engine.state().releases.values().next_back().unwrap();
    assert!(matches!(&release.ended, Some((_, Ending::Refused { .. }))), "{}", world.story());
    assert!(world.machines.is_empty());
}

#[test]
fn a_flag_with_nothing_to_turn_back_opens_one_incident_and_holds_production() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    raise(&mut world, Flag::Security, "a key leaked").unwrap();
    let again = raise(&mut world, Flag::Security, "a key leaked").unwrap_err();
    insta::assert_snapshot!(format!("{again}\nhint: {}", again.hint()), @"
    the security flag is raised already: INC-1 is open
    hint: production is held by it until `holdpoint incident close INC-1 --resolution …`
    ");
    raise(&mut world, Flag::Corruption, "orders are missing").unwrap();
    assert_eq!(
        incidents(&world),
        [
            "INC-1: security flag raised by scanner: a key leaked",
            "INC-2: corruption flag raised by scanner: orders are missing"
        ]
    );
    world.run_until("people told", |world| world.engine.state().outbox.is_empty());
    assert!(world.told().contains("production is held until INC-1 is closed"), "{}", world.told());
}

#[test]
fn a_flag_on_the_way_back_is_kept_and_changes_nothing_of_the_way() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    second_release_until(&mut world, "production rollout of desk");
    raise(&mut world, Flag::Security, "a key leaked").unwrap();
    raise(&mut world, Flag::Corruption, "orders are missing").unwrap();
    raise(&mut world, Flag::Corruption, "orders are missing").unwrap_err();
    world.run_to_end();
    assert_eq!(incidents(&world).len(), 2);
    assert!(!world.fleet().contains("1.1.0"), "{}", world.fleet());
}
