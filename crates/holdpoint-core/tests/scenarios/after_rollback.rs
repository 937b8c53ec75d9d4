//! Stories of what a rollback leaves behind: held releases, and images that are not tried twice.

use crate::world::{World, check};
use holdpoint_core::command::Command;
use holdpoint_core::effect::{Effect, Evidence, Outcome};
use holdpoint_core::id::ImageDigest;
use holdpoint_core::view;

/// A world in which 1.0.0 was released, and the `desk` of 1.1.0 failed its smoke checks in staging.
fn rolled_back() -> World {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    world.twist = Box::new(|id, effect| {
        let of_desk = matches!(effect, Effect::Smoke { service, .. } if service.as_str() == "desk");
        let fails = of_desk && id.to_string().contains("release-2/forward");
        fails.then(|| Outcome::Done(Evidence::Checks(vec![check("finds an answer", false)])))
    });
    world.start("linus", "1.1.0").expect("a release may start");
    world.run_to_end();
    world.twist = Box::new(|_, _| None);
    world
}

#[test]
fn after_a_rollback_new_releases_are_held_until_somebody_continues() {
    let mut world = rolled_back();
    let held = world.start("linus", "1.2.0").unwrap_err();
    insta::assert_snapshot!(format!("{held}\n  hint: {}", held.hint()), @r"
    new releases are held since release-2 of 1.1.0 was rolled back
      hint: see what went wrong with `holdpoint timeline`, then `holdpoint continue`
    ");
    let release = view::status(world.engine.state(), world.now).held_by.unwrap();
    assert_eq!(release.to_string(), "release-2");
    world.crash();
    world.start("linus", "1.2.0").unwrap_err();
    world.command("grace", Command::Resume).unwrap();
    assert!(
        world
            .story()
            .contains("new releases may start after the rollback of release-2, says grace"),
        "{}",
        world.story()
    );
    assert_eq!(view::status(world.engine.state(), world.now).held_by, None);
    world.start("linus", "1.2.0").unwrap();
}

#[test]
fn with_nothing_held_there_is_nothing_to_continue() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    let refused = world.command("grace", Command::Resume).unwrap_err();
    assert_eq!(refused.to_string(), "no release is under way");
}

#[test]
fn an_image_that_was_rolled_back_is_tried_again_only_with_a_reason_that_the_journal_keeps() {
    let mut world = rolled_back();
    world.command("grace", Command::Resume).unwrap();
    let refused = world.start("linus", "1.1.0").unwrap_err();
    insta::assert_snapshot!(format!("{refused}\n  hint: {}", refused.hint()), @r"
    the image desk-1.1.0 of desk was rolled back by release-2
      hint: mend them and release a higher version, or say why they will do now: `holdpoint release VERSION --again REASON`
    ");
    world.start_again("ada", "1.1.0", "the test was wrong").unwrap();
    world.run_until_step("approvals");
    let story = world.story();
    let line = story.lines().find(|line| line.contains("release-3")).unwrap();
    assert!(line.contains("started by ada, plan"), "{line}");
    assert!(line.ends_with("again because the test was wrong"), "{line}");
}

#[test]
fn only_the_service_that_went_wrong_is_to_blame() {
    let world = rolled_back();
    let suspects: Vec<&ImageDigest> = world.engine.state().suspects.keys().collect();
    assert_eq!(suspects, [&ImageDigest::new("sha256:desk-1.1.0")]);
}

#[test]
fn when_a_person_rolls_back_every_image_that_was_brought_is_to_blame_but_none_that_was_good() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    world.start("linus", "1.1.0").unwrap();
    world.run_until_step("staging soak");
    world.command("ada", Command::Rollback { reason: "I saw a leak".to_owned() }).unwrap();
    world.run_to_end();
    let suspects: Vec<String> =
        world.engine.state().suspects.keys().map(ToString::to_string).collect();
    assert_eq!(suspects, ["sha256:desk-1.1.0", "sha256:search-1.1.0"]);
    world.command("ada", Command::Resume).unwrap();
    world.start_again("linus", "1.1.0", "the leak was in the tool").unwrap();
    world.run_until_step("approvals");
    world.approve_all();
    world.run_to_end();
    assert_eq!(world.engine.state().suspects.len(), 0, "a version that arrived is good");
}
