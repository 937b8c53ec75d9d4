//! Incidents on the command line, with no release under way and no platform within reach.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::{UNKNOWN_KEY, folder, seen};

const APP: &str = "app = \"web\"\n[http_service]\ninternal_port = 8080\n";

fn write_project(folder: &Path) {
    let project = UNKNOWN_KEY.replace("machine = 2\n", "");
    fs::write(folder.join("holdpoint.toml"), project).expect("written");
    fs::write(folder.join("staging.toml"), APP.replace("web", "web-staging")).expect("written");
    fs::write(folder.join("production.toml"), APP).expect("written");
}

#[tokio::test]
async fn an_incident_is_opened_taken_on_and_closed_without_any_release() {
    let folder = folder();
    write_project(folder.path());
    let open = ["incident", "open", "--severity", "SEV-1", "--title", "nobody can pay"];
    let mut opener = Command::new(env!("CARGO_BIN_EXE_holdpoint"))
        .args(open)
        .current_dir(folder.path())
        .env_clear()
        .env("USER", "ada")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the command runs");
    let mut acknowledged = String::new();
    // the opener needs a moment until it conducts, and another until it listens
    let acknowledging = async {
        while !seen(folder.path(), &["incident", "list"]).await.contains("INC-1") {}
        while !acknowledged.starts_with("exit 0") {
            acknowledged = seen(folder.path(), &["incident", "ack"]).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), acknowledging).await.expect("acknowledged");
    let opened = tokio::time::timeout(Duration::from_mins(1), opener.wait()).await;
    assert!(opened.expect("it ends by itself").expect("a status").success());
    let list = seen(folder.path(), &["incident", "list"]).await;
    assert!(list.contains("INC-1   SEV-1  open, ada has it"), "{list}");

    let update = seen(folder.path(), &["incident", "update", "the cache is cold"]).await;
    assert!(update.starts_with("exit 0"), "{update}");
    let close = ["incident", "close", "INC-1", "--resolution", "the cache is warm"];
    let closed = seen(folder.path(), &close).await;
    assert!(closed.starts_with("exit 0"), "{closed}");
    let kept = folder.path().join("artifacts/incidents/INC-1");
    for file in ["incident.json", "status.json", "releases.json", "metrics.json", "machines.json"] {
        assert!(kept.join(file).is_file(), "{file}");
    }
    let report = fs::read_to_string(kept.join("report.md")).expect("a report");
    for words in ["# INC-1: nobody can pay", "ada: the cache is cold", "## Cause", "(ada)"] {
        assert!(report.contains(words), "{words} in {report}");
    }
    fs::write(kept.join("report.md"), report.replace("_To be filled in: what led", "What led"))
        .expect("written");
    let again = seen(folder.path(), &["incident", "report", "1"]).await;
    assert!(again.starts_with("exit 0"), "{again}");
    let report = fs::read_to_string(kept.join("report.md")).expect("a report");
    assert!(report.contains("\nWhat led to it"), "{report}");
    let list = seen(folder.path(), &["incident", "list", "--json"]).await;
    assert!(list.contains("\"resolution\": \"the cache is warm\""), "{list}");
}
