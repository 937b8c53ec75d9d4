//! Stories of releases: what happens in the world, and the timeline that the core makes of it.

use crate::world::{World, check, failed, refused, time};
use holdpoint_core::command::Command;
use holdpoint_core::effect::{Effect, Evidence, Outcome, RefusalKind};
use holdpoint_core::id::Environment;
use holdpoint_core::project::Role;
use holdpoint_core::view::{self, plan_text};

#[test]
fn a_good_release_goes_through_every_step_of_the_runbook() {
    // Tuesday, 40 minutes before the window opens
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    insta::assert_snapshot!("good_release", world.story());
    insta::assert_snapshot!("good_release_told", world.told());
}

#[test]
fn a_bad_version_is_rolled_back_to_what_ran_before() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    let before = world.fleet();
    world.bad_image = Some("1.1.0".to_owned());
    let first = world.records.len();
    world.release("1.1.0");
    assert_eq!(world.fleet(), before, "image and config are as they were");
    let story = world.story();
    let since = story.find("release-2 of 1.1.0").expect("the second release is in the story");
    insta::assert_snapshot!("rollback", &story[since..]);
    assert!(world.records.len() > first);
    assert!(world.engine.state().open_incident().is_some(), "a breach opens an incident");
}

#[test]
fn people_read_a_plan_as_a_difference_before_they_approve() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    world.bad_image = Some("1.1.0".to_owned());
    world.release("1.1.0");
    let release = world.engine.state().releases.values().next_back().unwrap();
    let back = release.back.as_ref().unwrap();
    let texts = [plan_text(&release.forward.plan), plan_text(&back.plan)];
    insta::assert_snapshot!("plans", texts.join("\n"));
}

#[test]
fn a_version_that_does_not_become_healthy_in_staging_never_reaches_production() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    world.twist = Box::new(|id, effect| {
        let sick = matches!(effect, Effect::AwaitHealth { .. })
            && id.to_string().contains("release-2/forward");
        sick.then(|| failed("the check `health` answers 500"))
    });
    world.start("linus", "1.1.0").unwrap();
    world.run_to_end();
    let story = world.story();
    let since = story.find("release-2 of 1.1.0").unwrap();
    insta::assert_snapshot!("sick_in_staging", &story[since..]);
    assert!(!world.fleet().contains("1.1.0"), "{}", world.fleet());
}

#[test]
fn the_first_release_of_all_that_fails_takes_its_machines_out_of_service() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.twist = Box::new(|_, effect| {
        let smoke = matches!(effect, Effect::Smoke { .. });
        smoke.then(|| Outcome::Done(Evidence::Checks(vec![check("finds an answer", false)])))
    });
    world.start("linus", "1.0.0").unwrap();
    world.run_to_end();
    insta::assert_snapshot!(world.fleet());
}

#[test]
fn nobody_approves_their_own_release_nor_for_a_role_they_lack_nor_twice() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.start("linus", "1.0.0").unwrap();
    let refusals = [
        world.approve("linus", Role::Engineer).unwrap_err(),
        world.approve("ada", Role::Manager).unwrap_err(),
        world.approve("mallory", Role::Engineer).unwrap_err(),
        world.approve("grace", Role::Reliability).unwrap_err(),
        {
            world.approve("ada", Role::Engineer).unwrap();
            world.approve("ada", Role::Engineer).unwrap_err()
        },
        {
            let plan = holdpoint_core::id::PlanDigest::new("sha256:another");
            world.command("grace", Command::Approve { plan, role: Role::Manager }).unwrap_err()
        },
    ];
    let digest = world.engine.state().active().unwrap().forward.digest.short().to_owned();
    let texts: Vec<String> = refusals
        .iter()
        .map(|refusal| format!("{refusal}\n  hint: {}", refusal.hint()).replace(&digest, "PLAN"))
        .collect();
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn an_approval_that_is_not_used_within_a_day_expires() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.start("linus", "1.0.0").unwrap();
    world.approve("ada", Role::Engineer).unwrap();
    world.run_until("a day later", |world| world.now >= time("2026-03-04T09:21:00Z"));
    let missing = world.engine.state().active().unwrap().missing_approvals();
    assert_eq!(missing, [Role::Engineer, Role::Manager]);
}

#[test]
fn a_release_waits_for_the_window_and_announces_its_start_ahead() {
    // Friday: no window before Tuesday
    let mut world = World::at("2026-03-06T15:00:00Z");
    world.start("linus", "1.0.0").unwrap();
    world.run_until_step("approvals");
    world.approve("ada", Role::Engineer).unwrap();
    world.approve("grace", Role::Manager).unwrap();
    world.run_until_step("production rollout of search");
    assert_eq!(world.now, time("2026-03-10T10:00:00Z"));
    let story = world.story();
    assert!(story.contains("09:45:00 start in production announced"), "{story}");
}

#[test]
fn a_window_that_closes_in_the_middle_of_a_rollout_lets_the_wave_finish_and_holds_the_next() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    world.now = time("2026-03-04T12:40:00Z");
    world.start("linus", "1.1.0").unwrap();
    world.run_until_step("approvals");
    world.approve("ada", Role::Engineer).unwrap();
    world.approve("grace", Role::Manager).unwrap();
    world.run_until("the first production wave", |world| {
        world
            .engine
            .state()
            .active()
            .is_some_and(|release| release.forward.touched(Environment::Production))
    });
    world.now = time("2026-03-04T14:00:00Z");
    world.run_until("the next day", |world| world.now >= time("2026-03-05T10:00:00Z"));
    let waves: Vec<String> = world
        .story()
        .lines()
        .skip_while(|line| !line.contains("release-2"))
        .filter(|line| {
            line.contains("production rollout of search: wave") || line.contains("waits")
        })
        .map(str::to_owned)
        .collect();
    insta::assert_snapshot!(waves.join("\n"));
}

#[test]
fn a_soak_begins_anew_when_health_is_lost() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.start("linus", "1.0.0").unwrap();
    world.run_until_step("staging soak");
    world.run_until("ten minutes of soak", |world| world.now >= time("2026-03-03T09:30:00Z"));
    world.observing = false;
    world.run_until("signals are old", |world| world.story().contains("begins anew"));
    world.observing = true;
    world.run_until_step("approvals");
    let soak: Vec<String> = world
        .story()
        .lines()
        .filter(|line| line.contains("staging soak"))
        .map(str::to_owned)
        .collect();
    insta::assert_snapshot!(soak.join("\n"));
}

#[test]
fn a_machine_that_somebody_else_leases_halts_the_release_and_continue_takes_it_up_again() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    world.twist = Box::new(|_, effect| {
        let lease = matches!(effect, Effect::AcquireLease { .. });
        lease.then(|| refused(RefusalKind::LeaseHeldByOther, "lease currently held by bob"))
    });
    world.start("linus", "1.1.0").unwrap();
    world.run_until("a halt", |world| {
        world.engine.state().active().is_some_and(|release| release.halt.is_some())
    });
    world.twist = Box::new(|_, _| None);
    world.command("linus", Command::Resume).unwrap();
    world.run_until_step("approvals");
    assert!(world.story().contains("halted: lease currently held by bob"), "{}", world.story());
}

#[test]
fn a_machine_that_changed_since_the_plan_halts_the_release() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    world.start("linus", "1.1.0").unwrap();
    for machine in world.machines.values_mut() {
        machine.instance += 1;
    }
    world.run_until("a halt", |world| world.story().contains("was changed since the plan"));
}

#[test]
fn a_lease_lost_on_the_way_is_taken_again_and_the_change_goes_on_where_it_was() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    let mut lost = false;
    world.twist = Box::new(move |_, effect| {
        let once = matches!(effect, Effect::Uncordon { nonce: Some(_), .. }) && !lost;
        lost |= once;
        once.then(|| refused(RefusalKind::LeaseLost, "the lease is not valid any more"))
    });
    world.release("1.1.0");
    insta::assert_snapshot!(world.fleet());
}

#[test]
fn an_outcome_of_unknown_fate_is_asked_for_again_under_the_same_id() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    let mut unknowns = 3;
    world.twist = Box::new(move |_, effect| {
        let lost = matches!(effect, Effect::CreateMachine { .. }) && unknowns > 0;
        unknowns -= i32::from(lost);
        lost.then_some(Outcome::Unknown)
    });
    world.release("1.0.0");
    let mut creates: Vec<String> = world
        .performed
        .iter()
        .filter(|(_, effect)| matches!(effect, Effect::CreateMachine { .. }))
        .map(|(id, _)| id.to_string())
        .collect();
    assert_eq!(creates.len(), 6 + 3);
    creates.sort();
    creates.dedup();
    assert_eq!(creates.len(), 6, "no new id for an unknown fate");
    assert_eq!(world.machines.len(), 6, "{}", world.fleet());
}

#[test]
fn a_person_can_roll_back_at_any_time_and_halt_and_continue() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    let before = world.fleet();
    world.start("linus", "1.1.0").unwrap();
    world.run_until_step("staging soak");
    world.command("ada", Command::Halt { reason: "let me look".to_owned() }).unwrap();
    world.command("ada", Command::Resume).unwrap();
    world.command("ada", Command::Rollback { reason: "I saw a leak".to_owned() }).unwrap();
    world.run_to_end();
    assert_eq!(world.fleet(), before);
    let refusal = world.command("ada", Command::Halt { reason: "late".to_owned() }).unwrap_err();
    assert_eq!(refusal.to_string(), "no release is under way");
}

#[test]
fn a_rollback_goes_on_although_secrets_cannot_be_put_back_and_people_are_told() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    let before = world.fleet();
    world.bad_image = Some("1.1.0".to_owned());
    world.twist = Box::new(|_, effect| {
        let Effect::RestoreSecrets { app, .. } = effect else {
            return None;
        };
        Some(if app.as_str().starts_with("search") {
            refused(RefusalKind::Other, "version 7 is no longer kept")
        } else {
            failed("the API answered 503")
        })
    });
    world.release("1.1.0");
    assert_eq!(world.fleet(), before);
    let told = world.told();
    for reason in ["version 7 is no longer kept", "the API answered 503"] {
        let words = format!("could not be put back: {reason}; the rollback goes on without them");
        assert!(told.contains(&words), "{told}");
    }
    assert!(!world.story().contains("halted"), "{}", world.story());
}

#[test]
fn a_version_is_released_once_and_an_empty_answer_is_no_first_deployment() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    let again = world.start("linus", "1.0.0").unwrap_err();
    world.machines.clear();
    let empty = world.start("linus", "1.1.0").unwrap_err();
    insta::assert_snapshot!(format!("{again}\n{empty}"));
}

#[test]
fn messages_that_cannot_be_delivered_do_not_hold_up_a_release() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.twist = Box::new(|_, effect| {
        let message = matches!(effect, Effect::Notify(_) | Effect::Document { .. });
        message.then(|| failed("connection refused"))
    });
    world.release("1.0.0");
}

#[test]
fn an_open_incident_keeps_production_from_starting_until_it_is_closed() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    world.bad_image = Some("1.1.0".to_owned());
    world.release("1.1.0");
    let (incident, _) = world.engine.state().open_incident().unwrap();
    world.command("grace", Command::Resume).unwrap();
    world.start("linus", "1.2.0").unwrap();
    world.run_until_step("approvals");
    world.approve("ada", Role::Engineer).unwrap();
    world.approve("grace", Role::Manager).unwrap();
    world
        .run_until("a while in the window step", |world| world.now >= time("2026-03-03T13:00:00Z"));
    assert!(!world.fleet().contains("search: search-1.2.0"), "{}", world.fleet());
    let resolution = "found a missing index".to_owned();
    world.command("ada", Command::CloseIncident { incident, resolution }).unwrap();
    world.run_to_end();
    assert!(world.fleet().contains("search: search-1.2.0"), "{}", world.fleet());
}

#[test]
fn a_soak_lasts_until_there_were_enough_requests_to_certify_the_version() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.answers_per_machine = 1;
    world.start("linus", "1.0.0").unwrap();
    world.run_until_step("staging soak");
    world.run_until("the end of its time", |world| world.now >= time("2026-03-03T09:55:00Z"));
    let status = view::status(world.engine.state(), world.now).release.unwrap();
    insta::assert_snapshot!(status.waits_for.unwrap().to_string(), @"the gates to hold: error comparison of search in staging: errors 0/69 (0.0 %) in 34 min 30 s, allowed 1.0 %; evidence 1:2.3, rolls back at 250:1; needs about 51 more requests to certify");
    world.run_until_step("approvals");
    let waited = world.now.duration_since(time("2026-03-03T09:20:00Z")).as_secs() / 60;
    assert!((55..65).contains(&waited), "{waited} minutes");
}

#[test]
fn a_version_is_compared_with_what_the_one_before_it_did_until_the_rollout() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    let histories = |world: &World| {
        let all = &world.engine.state().histories[&Environment::Production];
        all.values().map(|history| history.errors().requests).collect::<Vec<_>>()
    };
    let before = histories(&world);
    assert!(before.iter().all(|requests| *requests > 5_000), "{before:?}");
    world.start("linus", "1.1.0").unwrap();
    world.run_until_step("approvals");
    world.command("grace", Command::Rollback { reason: "not today".to_owned() }).unwrap();
    world.run_to_end();
    let after = histories(&world);
    assert!(after.iter().zip(&before).all(|(after, before)| after > before), "{after:?}");
}
