//! The conductor dies after every single record of a release and of a rollback, comes back, and
//! ends where an undisturbed run ends.

use crate::world::World;
use holdpoint_core::engine::Engine;
use holdpoint_core::event::Ending;
use holdpoint_core::id::ReleaseId;
use holdpoint_core::project::Role;

/// Releases 1.0.0 and a bad 1.1.0; `crash_at` is the number of the record after which the
/// conductor dies.
fn two_releases(crash_at: Option<usize>) -> World {
    let mut world = World::at("2026-03-03T09:20:00Z");
    // each observation is a record, and a crash
    world.observed_every_secs = 60;
    world.bad_image = Some("1.1.0".to_owned());
    for version in ["1.0.0", "1.1.0"] {
        world.start("linus", version).expect("linus may start");
        world.approve("ada", Role::Engineer).expect("ada may approve");
        world.approve("grace", Role::Manager).expect("grace may approve");
        let mut crashed = world.records.len() > crash_at.unwrap_or(usize::MAX);
        for _ in 0..20_000 {
            if !crashed && crash_at.is_some_and(|at| world.records.len() >= at) {
                world.crash();
                crashed = true;
            }
            if world.engine.state().active().is_none() {
                break;
            }
            assert!(world.step(), "{}", world.story());
        }
    }
    while !world.engine.state().outbox.is_empty() {
        assert!(world.step());
    }
    world
}

#[test]
fn every_crash_point_leads_to_the_same_end() {
    let undisturbed = two_releases(None);
    let fleet = undisturbed.fleet();
    for crash_at in 1..=undisturbed.records.len() {
        let world = two_releases(Some(crash_at));
        assert_eq!(world.fleet(), fleet, "after record {crash_at}\n{}", world.story());
        let endings: Vec<&Ending> = world
            .engine
            .state()
            .releases
            .values()
            .filter_map(|release| release.ended.as_ref().map(|(_, ending)| ending))
            .collect();
        assert_eq!(endings, [&Ending::Released, &Ending::RolledBack], "after record {crash_at}");
    }
}

#[test]
fn every_prefix_of_the_journal_gives_the_state_that_the_engine_had_there() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.start("linus", "1.0.0").unwrap();
    world.approve("ada", Role::Engineer).unwrap();
    world.approve("grace", Role::Manager).unwrap();
    while world.engine.state().active().is_some() {
        assert!(world.step());
        let recovered = Engine::recover(world.records.iter().cloned()).unwrap();
        assert_eq!(recovered.state(), world.engine.state());
    }
    assert!(world.engine.state().releases.contains_key(&ReleaseId(1)));
}

#[test]
fn a_journal_that_was_touched_is_refused() {
    let world = two_releases(None);
    let mut altered = world.records.clone();
    altered[3].body = altered[3].body.replace("linus", "mallory");
    altered[3].body.push(' ');
    let mut missing = world.records.clone();
    missing.remove(3);
    let texts = [altered, missing].map(|records| Engine::recover(records).unwrap_err().to_string());
    insta::assert_snapshot!(texts.join("\n"));
}
