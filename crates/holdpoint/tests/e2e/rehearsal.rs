//! A rehearsal as a newcomer starts it.

use super::world::World;

/// The world's policies, long enough for a scaled clock.
fn lengthen(world: &World) {
    world.edit("holdpoint.toml", "soak = \"1s\"", "soak = \"2m\"");
    world.edit("holdpoint.toml", "settle = \"1s\"", "settle = \"30s\"");
    world.edit("holdpoint.toml", "validate = \"1s\"", "validate = \"5m\"");
    world.edit("holdpoint.toml", "watch_after_rollback = \"1s\"", "watch_after_rollback = \"30s\"");
    world.edit("holdpoint.toml", "critical_for = \"1s\"", "critical_for = \"30s\"");
    world.edit("holdpoint.toml", "stale_after = \"10s\"", "stale_after = \"5m\"");
    for version in ["1.0.0", "1.1.0"] {
        let notes = world.root().join(format!("notes/{version}.md"));
        std::fs::write(notes, "News.").expect("written");
    }
}

#[tokio::test]
async fn a_rehearsal_releases_a_good_version_and_takes_a_bad_one_back() {
    let world = World::without_platform();
    lengthen(&world);
    let ended = world.run(&["rehearse", "--traffic", "20", "--fault-share", "0.5"]).await;
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("everything went as it should"), "{}", ended.stdout);
    assert!(ended.stdout.contains("test-engineer as engineer"), "{}", ended.stdout);
    let marked = world.log().iter().filter(|line| line.ends_with("(rehearsal)")).count();
    assert_eq!(marked, 5, "{:?}", world.log());
}

#[tokio::test]
async fn a_rehearsal_whose_bad_version_is_not_bad_says_that_nothing_was_caught() {
    let world = World::without_platform();
    lengthen(&world);
    let ended = world.run(&["rehearse", "--traffic", "20", "--fault-share", "0"]).await;
    assert_eq!(ended.code, Some(4), "{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("✖ no   1.1.0 is caught by a gate"), "{}", ended.stdout);
}
