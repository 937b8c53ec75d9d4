//! `holdpoint init`: a repository with app configs becomes a project that is accepted as it is.

use std::fs;
use std::path::Path;

use tokio::process::Command;

use super::{folder, seen};

/// The configs of two real services, in both environments.
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/hotdash");

async fn git(folder: &Path, arguments: &[&str]) {
    let status = Command::new("git").args(arguments).current_dir(folder).status().await;
    assert!(status.expect("git runs").success(), "git {arguments:?}");
}

#[tokio::test]
async fn the_services_of_a_runbook_become_a_project_that_check_accepts() {
    let folder = folder();
    for entry in fs::read_dir(EXAMPLE).expect("the example") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("fly.") {
            fs::copy(entry.path(), folder.path().join(&name)).expect("copied");
        }
    }
    git(folder.path(), &["init", "--quiet", "--initial-branch", "main"]).await;
    git(folder.path(), &["config", "user.name", "Ada Lovelace"]).await;
    let told = seen(folder.path(), &["init"]).await;
    insta::assert_snapshot!(told);
    let checked = seen(folder.path(), &["check"]).await;
    assert!(checked.starts_with("exit 0") && checked.contains("2 services, 0 errors"), "{checked}");
    let window = seen(folder.path(), &["window", "--next"]).await;
    assert!(window.starts_with("exit 0"), "{window}");

    insta::assert_snapshot!(seen(folder.path(), &["init"]).await, @r"
    exit 3
    --- stdout

    --- stderr
    error: `./holdpoint.toml` is there

    hint: check it with `holdpoint check`
    hint: or write it anew with `holdpoint init --force`; what it says now is lost
    ");
    let again = seen(folder.path(), &["init", "--force"]).await;
    assert!(again.starts_with("exit 0"), "{again}");
}

#[tokio::test]
async fn one_config_and_a_cargo_program_become_both_environments() {
    let folder = folder();
    let root = folder.path().join("shop");
    fs::create_dir_all(root.join("services/api/src")).expect("made");
    let config = "# The shop.\napp = \"acme-api\"\nprimary_region = \"ord\"\n\n[http_service]\ninternal_port = 8080\nmin_machines_running = 2\n";
    fs::write(root.join("services/api/fly.toml"), config).expect("written");
    fs::write(root.join("Cargo.toml"), "[workspace]\nmembers = [\"services/*\"]\n")
        .expect("written");
    fs::write(root.join("services/api/Cargo.toml"), "[package]\nname = \"api\"\n")
        .expect("written");
    fs::write(root.join("services/api/src/main.rs"), "fn main() {}\n").expect("written");
    insta::assert_snapshot!(seen(folder.path(), &["init", "shop"]).await);
    let written = fs::read_to_string(root.join("holdpoint.toml")).expect("written");
    insta::assert_snapshot!("written_for_a_cargo_program", written);
    let staging = fs::read_to_string(root.join("services/api/fly.staging.toml")).expect("drafted");
    insta::assert_snapshot!("drafted_staging", staging);
    let checked = seen(folder.path(), &["check", "shop"]).await;
    assert!(checked.starts_with("exit 0"), "{checked}");
}

#[tokio::test]
async fn a_folder_without_app_configs_says_what_is_missing() {
    let folder = folder();
    insta::assert_snapshot!(seen(folder.path(), &["init"]).await);
}

#[tokio::test]
async fn completions_and_manual_pages_come_from_the_definition() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish"] {
        let script = seen(folder.path(), &["completions", shell]).await;
        assert!(script.starts_with("exit 0") && script.contains("rollback"), "{script}");
    }
    let page = seen(folder.path(), &["man"]).await;
    for told in
        [".TH", "a gate failed, or the release was rolled back", "FLY_API_TOKEN", "HOLDPOINT_LOG"]
    {
        assert!(page.contains(told), "the page lacks {told}");
    }
    let written = seen(folder.path(), &["man", "pages"]).await;
    assert!(written.starts_with("exit 0"), "{written}");
    let status =
        fs::read_to_string(folder.path().join("pages/holdpoint-status.1")).expect("a page");
    assert!(status.contains("json"), "{status}");
}
