//! The smoke checks of the example project, asked of its two real services on a real platform, by
//! the command and by a release's executor.

mod world;

use holdpoint_core::id::Course;
use serde_json::Value;

use world::World;

#[tokio::test]
async fn the_examples_checks_pass_again_and_again_and_show_each_step() {
    let world = World::new().await;
    for _ in 0..2 {
        let ended = world.run(&["smoke", "production"]).await;
        assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
        for step in [
            "agrees on the protocol",
            "protocol 2026-07-28",
            "cites `shipping-times-and-carriers.md`",
            "of 20 answers (budget 30000 ms)",
            "sees it sent once",
            "finds nothing new in the queue",
            "synthetic check of /health",
        ] {
            assert!(ended.stdout.contains(step), "no `{step}` in\n{}", ended.stdout);
        }
    }
    let ended = world.run(&["smoke", "production", "--service", "agent-service", "--json"]).await;
    let document: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(document["passed"], true, "{document}");
    assert_eq!(document["services"].as_array().expect("services").len(), 1);

    let checks = world.ask("llamaindex-mcp", Course::Forward).await;
    assert!(checks.iter().all(|check| check.passed), "{checks:?}");
    let synthetic = checks.iter().find(|check| check.name == "synthetic check of /health");
    assert!(synthetic.is_some_and(|check| check.detail.contains("P95 ")), "{checks:?}");
    let back = world.ask("llamaindex-mcp", Course::Back).await;
    assert_eq!(back.len() + 1, checks.len(), "a slow way back is none");

    world.edit("smoke/agent-service.toml", "equals = \"duplicate\"", "equals = \"accepted\"");
    world.edit("smoke/llamaindex-mcp.toml", "cites = \"shipping\"", "cites = \"nowhere at all\"");
    let ended = world.run(&["smoke", "production"]).await;
    assert_eq!(ended.code, Some(1), "{}\n{}", ended.stdout, ended.stderr);
    for part in [
        "FAIL  cites where it is from",
        "no citation of `nowhere at all`",
        "`$.status` is `\"duplicate\"`, not `\"accepted\"`",
        "sees it still sent once",
        "2 of 7 checks failed",
    ] {
        assert!(ended.stdout.contains(part), "no `{part}` in\n{}", ended.stdout);
    }
    world.end().await;
}
