//! Pre-flight as people meet it: looked at without a release, and as what holds one.

use serde_json::Value;

use super::world::{World, until};

async fn is_held(world: &World) -> bool {
    let release = world.status().await.and_then(|status| status.release);
    release.is_some_and(|release| !release.failed_checks.is_empty())
}

#[tokio::test]
async fn what_must_hold_is_looked_at_without_a_release_and_holds_one_until_it_is_waived_or_mended()
{
    let world = World::new().await;
    let checked = world.run(&["check", "--version", "1.0.0"]).await;
    assert_eq!(checked.code, Some(3), "{}\n{}", checked.stdout, checked.stderr);
    for expected in [
        "✔ version",
        "✖ notes",
        "mend: write what changes for whom into `notes/1.0.0.md`",
        "or waive it as manager: `holdpoint waive notes",
        "waived, 1 failed",
    ] {
        assert!(checked.stdout.contains(expected), "{expected}: {}", checked.stdout);
    }
    let only = world.run(&["check", "--only", "parity", "--offline", "--json"]).await;
    assert_eq!(only.code, Some(0), "{}", only.stderr);
    let document: Value = serde_json::from_str(&only.stdout).expect("JSON");
    let standings = document.pointer("/preflight/checks").and_then(Value::as_array);
    let standings: Vec<&Value> = standings.iter().flat_map(|all| all.iter()).collect();
    assert_eq!(standings.len(), 2, "{document}");
    assert!(standings.iter().all(|one| one.pointer("/standing") == Some(&"passed".into())));
    let unknown = world.run(&["check", "--only", "weather"]).await;
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);

    world.edit("fly.web.staging.toml", "internal_port = 8080", "internal_port = 8081");
    let release = world.start(&["release", "1.0.0"]);
    until("pre-flight holds the release", async || is_held(&world).await).await;
    let status = world.run(&["status"]).await.stdout;
    assert!(status.contains("✖ notes") && status.contains("✖ parity:web"), "{status}");
    assert!(status.contains("internal_port  8081"), "{status}");
    let waive = |who: &'static str| {
        ["waive", "notes", "--reason", "they are printed", "--until", "4h", "--as", who]
    };
    let refused = world.run(&waive("ada")).await;
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(refused.stderr.contains("ask somebody"), "{}", refused.stderr);
    let waived = world.run(&waive("grace")).await;
    assert_eq!(waived.code, Some(0), "{}", waived.stderr);
    assert!(is_held(&world).await, "the other check still fails");
    world.edit("fly.web.staging.toml", "internal_port = 8081", "internal_port = 8080");
    let continued = world.run(&["continue", "--as", "ada"]).await;
    assert_eq!(continued.code, Some(0), "{}", continued.stderr);
    world.until_step("staging rollout of store").await;
    let timeline = world.run(&["timeline"]).await.stdout;
    assert!(timeline.contains("`notes` waived by grace as manager until"), "{timeline}");
    drop(release);
    world.end().await;
}
