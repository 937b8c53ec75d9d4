//! Stories of what a release leaves in the runbooks.

use crate::world::{PROJECT, World};
use holdpoint_core::command::{Command, Rehearsal};
use holdpoint_core::document::Document;
use holdpoint_core::effect::Effect;
use holdpoint_core::project;

fn world() -> World {
    let mut world = World::at("2026-03-03T09:20:00Z");
    let documents = "[documents]\nrunbook = \"docs/deployment.md\"\nmonitoring_runbook = \"docs/monitoring.md\"\n";
    let (project, findings) = project::parse(&format!("{PROJECT}{documents}"));
    assert_eq!(findings, []);
    world.project = project.expect("a project");
    world
}

fn sections(world: &World) -> Vec<String> {
    let effects = world.performed.iter();
    effects
        .filter_map(|(_, effect)| {
            let Effect::Write(document) = effect else { return None };
            let Document::Section(section) = &**document else { return None };
            assert!(section.around.is_none(), "a runbook is written by people");
            Some(format!("=== {}\n{}", section.file, section.text))
        })
        .collect()
}

#[test]
fn a_release_leaves_baselines_sizing_thresholds_and_its_timeline_in_the_runbooks() {
    let mut world = world();
    world.release("1.0.0");
    insta::assert_snapshot!(sections(&world).join("\n"));
}

#[test]
fn a_rehearsal_and_a_rollback_leave_the_runbooks_alone() {
    let mut world = world();
    let mut start = world.facts_to_start("1.0.0");
    start.rehearsal = Some(Rehearsal { speed: 60 });
    world.command("linus", Command::StartRelease(Box::new(start))).unwrap();
    world.run_until_step("staging soak");
    world.command("ada", Command::Rollback { reason: "enough".to_owned() }).unwrap();
    world.run_to_end();
    assert!(sections(&world).is_empty());
}
