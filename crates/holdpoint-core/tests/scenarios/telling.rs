//! Stories of messages: which channel hears what, and what becomes of a channel that is down.

use crate::world::{PROJECT, World, failed, refused, time};
use holdpoint_core::command::{Command, Rehearsal};
use holdpoint_core::effect::{Effect, RefusalKind};
use holdpoint_core::event::Ending;
use holdpoint_core::project;
use holdpoint_core::view;

const CHANNELS: &str = r#"
[[notify.channels]]
kind = "terminal"
notices = ["delivery"]
[[notify.channels]]
kind = "slack"
name = "team"
url_from = "SLACK_WEBHOOK_URL"
[[notify.channels]]
kind = "email"
name = "managers"
host = "localhost"
from = "releases@example.com"
to = ["grace@example.com"]
notices = ["announcement", "rollback", "complete"]
"#;

fn world() -> World {
    let mut world = World::at("2026-03-03T09:20:00Z");
    let (project, findings) = project::parse(&format!("{PROJECT}{CHANNELS}"));
    assert_eq!(findings, []);
    world.project = project.expect("a project");
    world
}

fn is_for_team(effect: &Effect) -> bool {
    matches!(effect, Effect::Notify(delivery) if delivery.channel.name == "team")
}

#[test]
fn each_channel_hears_what_it_wants_and_in_its_order() {
    let mut world = world();
    world.release("1.0.0");
    insta::assert_snapshot!(world.told());
}

#[test]
fn a_channel_that_is_down_is_told_on_the_others_once_and_holds_up_nothing() {
    let mut world = world();
    world.twist = Box::new(|_, effect| {
        is_for_team(effect).then(|| failed("no answer within the time limit"))
    });
    world.release("1.0.0");
    let releases = &world.engine.state().releases;
    let ended = releases.values().next_back().and_then(|release| release.ended.clone());
    assert_eq!(ended, Some((time("2026-03-03T10:22:00Z"), Ending::Released)));
    let told: Vec<String> =
        world.told().lines().filter(|line| !line.contains("team: ")).map(str::to_owned).collect();
    insta::assert_snapshot!(told.join("\n"));
    let status = view::status(world.engine.state(), world.now);
    assert_eq!(status.messages_waiting, 0, "every message is given up in the end");
    let trouble = &status.delivery_troubles["team"];
    assert_eq!((trouble.reason.as_str(), trouble.lost), ("no answer within the time limit", 8));
    let tries = world.performed.iter().filter(|(id, _)| id.to_string().ends_with("/team")).count();
    assert_eq!(tries, 5 + 7, "five times for the first, and once each for what came after");
}

#[test]
fn a_channel_that_takes_messages_again_is_no_trouble_any_more() {
    let mut world = world();
    let mut refusals = 1;
    world.twist = Box::new(move |_, effect| {
        let refuses = is_for_team(effect) && refusals > 0;
        refusals -= i32::from(refuses);
        refuses.then(|| refused(RefusalKind::Other, "`SLACK_WEBHOOK_URL` is not set"))
    });
    world.release("1.0.0");
    assert!(world.told().contains("`team` takes no messages"), "{}", world.told());
    let status = view::status(world.engine.state(), world.now);
    assert!(status.delivery_troubles.is_empty(), "{:?}", status.delivery_troubles);
}

#[test]
fn messages_of_before_a_crash_are_sent_again_under_the_same_ids() {
    let mut world = world();
    world.start("linus", "1.0.0").unwrap();
    let ids = |world: &World| {
        let told = world.performed.iter().filter(|(_, one)| matches!(one, Effect::Notify(_)));
        told.map(|(id, _)| id.to_string()).collect::<Vec<_>>()
    };
    let before = ids(&world);
    world.crash();
    assert_eq!((before.len(), ids(&world)), (1, [before.clone(), before].concat()));
}

#[test]
fn a_rehearsal_is_told_on_the_terminal_alone() {
    let mut world = world();
    let mut start = world.facts_to_start("1.0.0");
    start.rehearsal = Some(Rehearsal { speed: 60 });
    world.command("linus", Command::StartRelease(Box::new(start))).unwrap();
    world.run_until_step("approvals");
    assert_eq!(world.told(), "");
    assert!(world.story().contains("told: Shop 1.0.0: release started"), "{}", world.story());
}
