//! Other people's clients of the Machines API work against this platform as they are: `fly-admin`
//! of npm, in the version that `clients/package-lock.json` names.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use support::{TOKEN, World};
use tokio::process::Command;

/// Where the client and what runs it stand in the repository.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

#[tokio::test]
async fn a_client_that_others_wrote_makes_runs_changes_and_removes_an_app() {
    let world = World::new().await;
    let client = installed().await;
    let mut story = Command::new("node");
    story.arg(client.join("story.js")).arg(format!("http://{}", world.api.api)).arg(TOKEN);
    story.arg(format!("127.0.0.1/echo@{}", world.image));
    let told = output_of(story, "apt-get install nodejs").await;
    let steps: Vec<Value> = told.lines().map(json).collect();
    let failed: Vec<_> = steps.iter().filter(|step| !step["error"].is_null()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let answers: BTreeMap<_, _> = steps
        .iter()
        .map(|step| (step["step"].as_str().expect("a name"), &step["answer"]))
        .collect();
    let address = &answers["allocate address"]["allocateIpAddress"]["ipAddress"];
    assert_eq!(address["type"], "v6");
    assert_eq!(answers["app in detail"]["ipAddresses"][0]["address"], address["address"]);
    assert_eq!(answers["list apps"]["apps"][0]["network"], "default");
    assert_eq!(answers["list machines"][0]["config"]["env"]["VERSION"], "one");
    assert_eq!(answers["versions"][0]["user_config"]["env"]["VERSION"], "two");
    assert_eq!(answers["events"][0]["type"], "start", "the newest comes first");
    assert_eq!(answers["read lease"]["data"]["nonce"], answers["lease"]["data"]["nonce"]);
    assert_eq!(answers["list apps after that"]["total_apps"], 0);
    world.end().await;
}

/// The client, fetched by npm as its lock file says, and the story beside it.
async fn installed() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    fs::create_dir_all(&place).expect("a directory");
    for file in ["package.json", "package-lock.json", "story.js"] {
        fs::copy(Path::new(SOURCES).join(file), place.join(file)).expect("copied");
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&place);
    output_of(npm, "apt-get install npm").await;
    place
}

async fn output_of(mut command: Command, hint: &str) -> String {
    let output = command.output().await.map_err(|error| format!("{error}\nhint: {hint}"));
    let output = output.expect("the program runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = told.lines().last().unwrap_or_default();
    assert!(output.status.success(), "{last}\n{errors}");
    told
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).expect("a line of JSON")
}
