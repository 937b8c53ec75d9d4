//! Releases that go well, as clients and bystanders see them.

use super::world::{World, until};

#[tokio::test]
async fn no_request_fails_during_a_whole_good_release() {
    let world = World::new().await;
    world.release("1.0.0", 0).await;
    let traffic = world.traffic();
    until("every app answers", async || traffic.log().answers().len() == 4).await;
    world.release("1.1.0", 0).await;
    let answers = traffic.stop().await;
    for (party, answers) in &answers {
        let failed: Vec<_> = answers.iter().filter(|answer| answer.is_failed()).take(5).collect();
        assert!(failed.is_empty(), "{party:?}: {failed:?}");
        assert!(answers.len() > 100, "{party:?} was asked only {} times", answers.len());
    }
    let fleet = world.fleet().await;
    for (app, machines) in &fleet {
        assert_eq!(machines.len(), 2, "{app}");
        for machine in machines {
            assert!(machine.contains("\"started\" \"1.1.0\""), "{app}: {machine}");
            assert!(!machine.contains("leased"), "{app}: {machine}");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn people_in_another_terminal_see_the_release_and_steer_it() {
    let world = World::new().await;
    std::fs::write(world.root().join("notes/1.0.0.md"), "News.").expect("written");
    let release = world.start(&["release", "1.0.0"]);
    world.until_step("approvals").await;

    let status = world.run(&["status"]).await;
    assert!(status.stdout.contains("wants approval by engineer"), "{}", status.stdout);
    let own = world.run(&["approve", "--role", "engineer", "--as", "rita"]).await;
    assert_eq!(own.code, Some(3), "{}", own.stderr);
    let halted = world.run(&["halt", "--reason", "lunch", "--as", "ada"]).await;
    assert_eq!(halted.code, Some(0), "{}", halted.stderr);
    for person in ["ada", "grace"] {
        let approved = world.run(&["approve", "--as", person]).await;
        assert_eq!(approved.code, Some(0), "{}", approved.stderr);
        assert!(approved.stdout.contains("plan "), "{}", approved.stdout);
    }
    let status = world.run(&["status", "--json"]).await;
    assert!(status.stdout.contains("lunch"), "{}", status.stdout);
    let second = world.run(&["release", "1.1.0"]).await;
    assert_eq!(second.code, Some(3));
    assert!(second.stderr.contains("`holdpoint release 1.0.0`"), "{}", second.stderr);
    let continued = world.run(&["continue", "--as", "ada"]).await;
    assert_eq!(continued.code, Some(0), "{}", continued.stderr);

    let ended = super::world::ended(release).await;
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    let again = world.run(&["release", "1.0.0"]).await;
    assert_eq!(again.code, Some(3));
    assert!(again.stderr.contains("already released by release-1"), "{}", again.stderr);
    let verified = world.run(&["journal", "verify"]).await;
    assert!(verified.stdout.starts_with("the journal is whole"), "{}", verified.stdout);
    let timeline = world.run(&["timeline"]).await;
    assert!(timeline.stdout.contains("approved by ada as engineer"), "{}", timeline.stdout);
    world.end().await;
}
