//! Stories that the simulator found first: each is the core of a seed that failed.

use std::collections::BTreeSet;

use holdpoint_core::command::Command;
use holdpoint_core::effect::{Effect, Evidence, Outcome, RefusalKind};
use holdpoint_core::engine::Input;
use holdpoint_core::id::{Course, EffectId, Environment};
use holdpoint_core::observation::{Histogram, Observation, Sample};
use holdpoint_core::project::Role;
use jiff::SignedDuration;

use crate::world::{World, check, failed, refused};

/// What telemetry says now of both services in staging, of which one may be down.
fn staging_observed(world: &World, is_desk_up: bool) -> Input {
    let samples = [("search", true), ("desk", is_desk_up)].map(|(service, is_up)| Sample {
        service: service.to_owned(),
        requests: 600,
        errors: 0,
        latency: Histogram { buckets: vec![(5_000, 600)] },
        probes_passed: if is_up { 6 } else { 0 },
        probes_failed: if is_up { 0 } else { 6 },
        memory_share: Some(0.25),
        oom_kills: 0,
        machines: Vec::new(),
    });
    let from = world.now - SignedDuration::from_secs(30);
    let (environment, samples) = (Environment::Staging, samples.to_vec());
    Input::Observed(Observation {
        environment,
        from,
        to: world.now,
        samples,
        invariants: Vec::new(),
    })
}

#[test]
fn a_silence_that_nobody_noticed_in_time_does_not_let_a_soak_pass() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.start("linus", "1.0.0").unwrap();
    world.run_until_step("staging soak");
    world.input(staging_observed(&world, true)).unwrap();
    // nobody wakes the engine for half an hour, and then signals arrive first of all
    world.now += SignedDuration::from_mins(40);
    world.input(staging_observed(&world, true)).unwrap();
    let active = world.engine.state().active().unwrap();
    assert_eq!(active.current_step().unwrap().name, "staging soak", "{}", world.story());
}

#[test]
fn a_service_that_is_not_deployed_yet_is_not_held_against_the_one_before_it() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.observing = false;
    world.start("linus", "1.0.0").unwrap();
    world.run_until_step("staging rollout of search");
    for _ in 0..20 {
        world.now += SignedDuration::from_secs(30);
        world.input(staging_observed(&world, false)).unwrap();
    }
    assert_eq!(world.engine.state().active().unwrap().course(), Course::Forward);
    // once it is being deployed it has its time, and no more than that
    world.run_until_step("staging soak");
    world.input(staging_observed(&world, false)).unwrap();
    assert_eq!(world.engine.state().active().unwrap().course(), Course::Forward);
    for _ in 0..20 {
        world.now += SignedDuration::from_secs(30);
        world.input(staging_observed(&world, false)).unwrap();
    }
    assert!(world.story().contains("health of desk in staging"), "{}", world.story());
    assert!(world.engine.state().active().is_none_or(|release| release.course() == Course::Back));
}

#[test]
fn a_machine_whose_lease_was_lost_in_the_middle_is_put_back_into_the_rotation() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    let before = world.fleet();
    world.twist = Box::new(|id, effect| {
        let id = id.to_string();
        let ours = id.contains("release-2/forward") && id.contains("staging.desk");
        // the lease runs out while the machine is out of the rotation, and somebody else takes it
        if ours && matches!(effect, Effect::UpdateMachine { .. }) {
            return Some(refused(RefusalKind::LeaseLost, "the lease has run out"));
        }
        let is_second =
            ours && matches!(effect, Effect::AcquireLease { .. }) && !id.ends_with("/1");
        is_second.then(|| refused(RefusalKind::LeaseHeldByOther, "somebody else holds the lease"))
    });
    world.start("linus", "1.1.0").unwrap();
    world.run_until("the halt", |world| {
        world.engine.state().active().is_some_and(|release| release.halt.is_some())
    });
    assert!(world.fleet().contains("desk-staging: desk-1.0.0, cordoned"), "{}", world.fleet());
    world.command("grace", Command::Rollback { reason: "not today".to_owned() }).unwrap();
    world.twist = Box::new(|_, _| None);
    world.run_to_end();
    assert_eq!(world.fleet(), before);
}

#[test]
fn signals_from_before_a_release_are_not_held_against_it() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    world.observing = false;
    world.start("linus", "1.1.0").unwrap();
    world.run_until_step("staging smoke checks of search");
    let started_at = world.engine.state().active().unwrap().started_at;
    let killed = Sample { service: "search".to_owned(), oom_kills: 1, ..Sample::default() };
    let to = started_at - SignedDuration::from_secs(1);
    let from = to - SignedDuration::from_secs(30);
    let (environment, samples) = (Environment::Staging, vec![killed]);
    let late = Observation { environment, from, to, samples, invariants: Vec::new() };
    world.input(Input::Observed(late)).unwrap();
    assert_eq!(world.engine.state().active().unwrap().course(), Course::Forward);
}

#[test]
fn a_service_that_is_down_is_not_held_against_a_version_that_still_waits_for_its_lease() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    world.observing = false;
    world.twist = Box::new(|id, effect| {
        let of_desk = id.to_string().contains("staging.desk");
        let held = matches!(effect, Effect::AcquireLease { .. }) && of_desk;
        held.then(|| refused(RefusalKind::LeaseHeldByOther, "a lost answer holds the lease"))
    });
    world.start("linus", "1.1.0").unwrap();
    world.run_until("the halt", |world| {
        world.engine.state().active().is_some_and(|release| release.halt.is_some())
    });
    for _ in 0..20 {
        world.now += SignedDuration::from_secs(30);
        world.input(staging_observed(&world, false)).unwrap();
    }
    assert_eq!(world.engine.state().active().unwrap().course(), Course::Forward);
    world.twist = Box::new(|_, _| None);
    world.command("grace", Command::Resume).unwrap();
    world.run_until_step("staging soak");
    world.input(staging_observed(&world, true)).unwrap();
    assert_eq!(world.engine.state().active().unwrap().course(), Course::Forward);
}

#[test]
fn machines_of_a_version_that_was_rolled_back_are_taken_out_of_service_again() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.twist = Box::new(|_, effect| {
        let smoke = matches!(effect, Effect::Smoke { .. });
        smoke.then(|| Outcome::Done(Evidence::Checks(vec![check("finds", false)])))
    });
    world.start("linus", "1.0.0").unwrap();
    world.run_to_end();
    world.command("grace", Command::Resume).unwrap();
    world.start("linus", "1.1.0").unwrap();
    world.run_to_end();
    let back = |(id, _): &&(EffectId, Effect)| id.to_string().contains("release-2/back");
    let asked: Vec<&Effect> =
        world.performed.iter().filter(back).map(|(_, effect)| effect).collect();
    assert!(asked.iter().any(|effect| matches!(effect, Effect::StopMachine { .. })));
    assert!(
        !asked
            .iter()
            .any(|effect| matches!(effect, Effect::UpdateMachine { .. } | Effect::Uncordon { .. })),
        "{asked:#?}"
    );
}

#[test]
fn a_rollback_watches_the_environment_that_it_changes() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    // somebody else holds every lease in production: nothing there is changed
    world.twist = Box::new(|id, effect| {
        let held = matches!(effect, Effect::AcquireLease { .. })
            && id.to_string().contains("release-2/forward")
            && id.to_string().contains("/production.");
        held.then(|| refused(RefusalKind::LeaseHeldByOther, "somebody else holds the lease"))
    });
    world.start("linus", "1.1.0").unwrap();
    world.run_until_step("approvals");
    world.approve("ada", Role::Engineer).unwrap();
    world.approve("grace", Role::Manager).unwrap();
    world.run_until("the halt", |world| {
        world.engine.state().active().is_some_and(|release| release.halt.is_some())
    });
    world.command("grace", Command::Rollback { reason: "not today".to_owned() }).unwrap();
    world.run_to_end();
    assert!(world.story().contains("staging watch"), "{}", world.story());
}

#[test]
fn a_machine_that_does_not_become_healthy_on_the_way_back_gets_its_whole_change_again() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    let before = world.fleet();
    let mut looks = 0;
    world.twist = Box::new(move |id, effect| {
        let (is_health, id) = (matches!(effect, Effect::AwaitHealth { .. }), id.to_string());
        if is_health && id.contains("release-2/forward") {
            return Some(failed("the check `health` answers 500"));
        }
        // somebody else replaced the machine: the version that is waited for is gone
        let gone = is_health && id.contains("release-2/back") && looks < 3;
        looks += u32::from(gone);
        gone.then(|| failed("it has another version"))
    });
    world.start("linus", "1.1.0").unwrap();
    world.run_until("the halt", |world| {
        world.engine.state().active().is_some_and(|release| release.halt.is_some())
    });
    world.command("grace", Command::Resume).unwrap();
    world.run_to_end();
    let updates = world.performed.iter().filter(|(id, effect)| {
        matches!(effect, Effect::UpdateMachine { .. }) && id.to_string().contains("release-2/back")
    });
    let ids: BTreeSet<String> = updates.map(|(id, _)| id.to_string()).collect();
    assert_eq!(ids.len(), 2, "the second update has an id of its own: {ids:?}");
    assert_eq!(world.fleet(), before);
}

#[test]
fn a_machine_that_lost_its_lease_while_it_left_the_rotation_comes_back_to_it() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    let before = world.fleet();
    // the cordon happens, and by the time of its answer the lease is gone
    world.twist = Box::new(|id, effect| {
        let cordon = matches!(effect, Effect::Cordon { .. })
            && id.to_string().starts_with("release-2/forward");
        cordon.then(|| refused(RefusalKind::LeaseLost, "the lease is not ours"))
    });
    world.start("linus", "1.1.0").unwrap();
    world.run_until("a lease is to be taken again", |world| {
        let active = world.engine.state().active();
        active.is_some_and(|release| {
            release.forward.machines.values().any(|machine| machine.after_lease.is_some())
        })
    });
    for machine in world.machines.values_mut() {
        machine.cordoned |= machine.app.as_str() == "search-staging";
    }
    world.command("ada", Command::Rollback { reason: "it looks bad".to_owned() }).unwrap();
    world.run_to_end();
    assert_eq!(world.fleet(), before, "{}", world.story());
}

#[test]
fn a_cordon_of_unknown_fate_is_asked_for_under_a_new_lease_so_that_the_first_is_never_heard() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    let mut is_lost = false;
    world.twist = Box::new(move |_, effect| {
        let lose = matches!(effect, Effect::Cordon { .. }) && !is_lost;
        is_lost |= lose;
        lose.then_some(Outcome::Unknown)
    });
    world.start("linus", "1.1.0").unwrap();
    world.run_until_step("staging smoke checks of search");
    let cordons = world.performed.iter().filter_map(|(id, effect)| {
        let Effect::Cordon { nonce, .. } = effect else { return None };
        id.to_string().contains("release-2/forward/1/staging.search.0").then_some(nonce)
    });
    let nonces: BTreeSet<&String> = cordons.collect();
    assert_eq!(nonces.len(), 2, "each has a lease of its own: {nonces:?}");
}
