//! `holdpoint logs`, on a real platform: the log lines of an app, without a project.

use std::process::Stdio;
use std::time::Duration;

use holdpoint::adapter::clock::pause;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

use crate::world::{APP, PATIENCE, World};

/// Busy computers are slow; a line that comes earlier ends the wait.
const LOOKS_MAX: u32 = 600;

fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdpoint"));
    command
        .arg("logs")
        .args(arguments)
        .current_dir(world.directory.path())
        .env_clear()
        .env("FLY_API_TOKEN", world.address.token())
        .env("FLY_FLAPS_BASE_URL", &world.address.api_base_url);
    command
}

async fn logs(world: &World, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command(world, arguments).output().await.expect("the command runs");
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

#[tokio::test]
async fn whoever_follows_sees_what_comes_over_a_new_version_and_a_new_platform_until_they_stop() {
    let mut world = World::new().await;
    let (machine, _) = world.healthy_machine(0).await;
    let mut following = command(&world, &[APP, "--follow"]);
    let mut following =
        following.stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("it runs");
    let output = following.stdout.take().expect("its output");
    let mut lines = BufReader::new(output).lines();
    until(&mut lines, "machine start: started").await;

    let config = world.config(&[("VERSION", "new")]).await;
    let order = serde_json::json!({"config": config});
    let path = format!("/v1/apps/{APP}/machines/{}", machine.as_str());
    post(&world, &path, &order).await;
    until(&mut lines, "machine update: replacing").await;
    until(&mut lines, "machine start: started").await;

    world.restart_platform().await;
    post(&world, &format!("{path}/cordon"), &serde_json::Value::Null).await;
    until(&mut lines, "machine cordon: started").await;

    let pid = following.id().and_then(|pid| i32::try_from(pid).ok()).expect("it runs on");
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is there");
    let ended = tokio::time::timeout(PATIENCE, following.wait()).await.expect("it ends");
    assert_eq!(ended.expect("a status").code(), Some(0));
    world.end().await;
}

/// Reads on until a line ends with this.
async fn until(lines: &mut Lines<BufReader<ChildStdout>>, end: &str) {
    let search = async {
        while let Some(line) = lines.next_line().await.expect("read") {
            if line.ends_with(end) {
                return;
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, search).await.is_ok(), "never came: {end}");
}

async fn post(world: &World, path: &str, body: &serde_json::Value) {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("{}{path}", world.address.api_base_url);
    let request = client.post(url).bearer_auth(world.address.token()).json(body);
    let answer = request.send().await.expect("an answer");
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
}
