//! `holdpoint logs`, on a real platform: the log lines of an app, without a project.

use std::time::Duration;

use holdpoint::adapter::clock::pause;
use tokio::process::Command;

use crate::world::{APP, World};

/// Busy computers are slow; a line that comes earlier ends the wait.
const LOOKS_MAX: u32 = 600;

async fn logs(world: &World, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_holdpoint"))
        .arg("logs")
        .args(arguments)
        .current_dir(world.directory.path())
        .env_clear()
        .env("FLY_API_TOKEN", world.address.token())
        .env("FLY_FLAPS_BASE_URL", &world.address.api_base_url)
        .output()
        .await
        .expect("the command runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn lines_are_shown_with_the_time_and_the_machines_name() {
    let world = World::new().await;
    let (machine, _) = world.healthy_machine(0).await;
    let client = world.executor.platform().client();
    let name = client.get_machine(APP, machine.as_str()).await.expect("a machine").name;
    let mut looks = 0;
    let line = loop {
        let (code, out, problems) = logs(&world, &[APP]).await;
        assert_eq!(code, Some(0), "{problems}");
        if let Some(line) = out.lines().find(|line| line.contains("machine start: started")) {
            break line.to_owned();
        }
        looks += 1;
        assert!(looks < LOOKS_MAX, "{out}");
        pause(Duration::from_millis(50)).await;
    };
    let mut words = line.split(' ');
    let time = words.next().expect("a time");
    assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
    assert_eq!(words.next(), Some(name.as_str()), "{line}");
    assert_eq!(words.next(), Some("runner[info]"), "{line}");

    let (_, out, _) = logs(&world, &[APP, "--json", "--machine", machine.as_str()]).await;
    for line in out.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("an object a line");
        assert_eq!(line["machine"], machine.as_str());
        assert_eq!(line["machine_name"], name.as_str());
    }
    let (_, out, _) = logs(&world, &[APP, "--machine", "nothing"]).await;
    assert_eq!(out, "");
    let (code, _, problems) = logs(&world, &["absent"]).await;
    assert_eq!(code, Some(3));
    assert!(problems.contains("gives no logs of app `absent`"), "{problems}");
    world.end().await;
}
