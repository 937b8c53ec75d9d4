//! Bad input and faults: each is told with what mends it, and nothing is lost.

use std::net::TcpListener;

use super::world::{World, ended, interrupt};

#[tokio::test]
async fn ctrl_c_stops_at_a_safe_point_and_resume_goes_on() {
    let world = World::new().await;
    std::fs::write(world.root().join("notes/1.0.0.md"), "News.").expect("written");
    let release = world.start(&["release", "1.0.0"]);
    world.until_step("approvals").await;
    interrupt(&release);
    let stopped = ended(release).await;
    assert_eq!(stopped.code, Some(5), "{}\n{}", stopped.stdout, stopped.stderr);
    assert!(stopped.stderr.contains("`holdpoint resume`"), "{}", stopped.stderr);
    let status = world.run(&["status"]).await;
    assert!(status.stdout.contains("nobody drives it"), "{}", status.stdout);
    let approve = world.run(&["approve", "--as", "ada"]).await;
    assert_eq!(approve.code, Some(6), "{}", approve.stderr);
    let people = world.people();
    let resumed = world.run(&["resume"]).await;
    assert_eq!(resumed.code, Some(0), "{}\n{}", resumed.stdout, resumed.stderr);
    people.abort();
    let nothing = world.run(&["resume"]).await;
    assert_eq!(nothing.code, Some(3), "{}", nothing.stderr);
    world.end().await;
}

#[tokio::test]
async fn a_service_that_does_not_build_is_told_with_its_last_words() {
    let world = World::new().await;
    world.edit("holdpoint.toml", "[\"true\"]", "[\"sh\", \"-c\", \"echo no such crate; exit 3\"]");
    let refused = world.run(&["release", "1.0.0"]).await;
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(refused.stderr.contains("no such crate"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
    world.end().await;
}

#[tokio::test]
async fn a_program_that_exits_at_once_is_taken_back_from_staging() {
    let world = World::new().await;
    world.release("1.0.0", 0).await;
    // In both environments: what differs would be told by pre-flight.
    for file in ["fly.store.staging.toml", "fly.store.production.toml"] {
        world.edit(file, "NOTE = \"none\"", "EXIT_CODE = \"7\"");
    }
    let ended = world.release("1.1.0", 4).await;
    assert!(ended.stdout.contains("rolls back"), "{}", ended.stdout);
    let fleet = world.fleet().await;
    for machine in fleet.values().flatten() {
        assert!(machine.contains("\"started\" \"1.0.0\""), "{machine}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_health_check_that_never_passes_ends_the_release() {
    let world = World::new().await;
    for file in ["fly.store.staging.toml", "fly.store.production.toml"] {
        world.edit(file, "NOTE = \"none\"", "SICK = \"yes\"");
    }
    world.edit("holdpoint.toml", "health_within = \"30s\"", "health_within = \"3s\"");
    let ended = world.release("1.0.0", 4).await;
    assert!(ended.stdout.contains("✖"), "{}", ended.stdout);
    world.end().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let world = World::without_platform();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let refused = world.run(&["up", "--listen", &address, "--proxy-listen", "127.0.0.1:0"]).await;
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(refused.stderr.contains(&address), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_is_refused_before_anything_is_built() {
    let world = World::new().await;
    std::fs::copy(
        world.state_dir().join("platform.json"),
        world.directory.path().join("platform.json"),
    )
    .expect("copied");
    // nobody can write there, not even root
    let refused = world.run(&["release", "1.0.0", "--state-dir", "/proc/holdpoint"]).await;
    assert!(matches!(refused.code, Some(2 | 3)), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
    world.end().await;
}

#[tokio::test]
async fn an_app_that_does_not_exist_is_named_before_anything_is_touched() {
    let mut world = World::without_platform();
    world.start_platform().await;
    world.edit("fly.store.staging.toml", "shop-store-staging", "shop-forgotten-staging");
    let refused = world.run(&["release", "1.0.0"]).await;
    assert_eq!(refused.code, Some(3), "{}", refused.stderr);
    assert!(refused.stderr.contains("shop-forgotten-staging"), "{}", refused.stderr);
    world.end().await;
}
