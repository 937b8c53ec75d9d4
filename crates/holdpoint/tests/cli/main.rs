//! Every text that a person meets on the command line before a release is under way: help, and
//! what is said when something is wrong.

mod check;
mod documents;
mod incident;
mod init;
mod probe;
mod scale;
mod smoke;
mod window;

use std::fs;
use std::path::Path;

use tokio::process::Command;

/// A project's file with one problem.
const UNKNOWN_KEY: &str = r#"[project]
name = "shop"
time_zone = "UTC"

[[people]]
name = "ada"
roles = ["engineer", "manager"]

[[services]]
name = "web"

[services.build]
command = ["true"]
binary = "program"

[services.staging]
config = "staging.toml"
machine = 2

[services.production]
config = "production.toml"
"#;

/// Runs the command in a folder and gives what a person sees, with the folder's name left out.
async fn seen(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_holdpoint"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("USER", "ada")
        .output()
        .await
        .expect("the command runs");
    let folder = folder.canonicalize().expect("a folder");
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.replace(&*folder.to_string_lossy(), "FOLDER").trim_end().to_owned()
    };
    format!(
        "exit {}\n--- stdout\n{}\n--- stderr\n{}",
        output.status.code().expect("a status"),
        text(&output.stdout),
        text(&output.stderr)
    )
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[tokio::test]
async fn the_help_names_every_verb_and_every_exit_status() {
    let folder = folder();
    insta::assert_snapshot!(seen(folder.path(), &["--help"]).await);
}

#[tokio::test]
async fn the_help_of_a_release_says_how_the_platform_is_chosen() {
    let folder = folder();
    insta::assert_snapshot!(seen(folder.path(), &["release", "--help"]).await);
}

#[tokio::test]
async fn without_a_project_the_flag_that_names_one_is_told() {
    let folder = folder();
    insta::assert_snapshot!(seen(folder.path(), &["status"]).await, @r"
    exit 2
    --- stdout

    --- stderr
    error: no `holdpoint.toml` is here or in a folder above
      cause: searched from `FOLDER`

    hint: name it with `--project PATH`
    ");
}

#[tokio::test]
async fn a_problem_in_the_project_is_shown_at_its_place() {
    let folder = folder();
    fs::write(folder.path().join("holdpoint.toml"), UNKNOWN_KEY).expect("written");
    insta::assert_snapshot!(seen(folder.path(), &["check"]).await);
    insta::assert_snapshot!(seen(folder.path(), &["check", "--json"]).await);
    insta::assert_snapshot!(seen(folder.path(), &["release", "1.0.0"]).await);
}

#[tokio::test]
async fn app_configs_are_checked_with_the_project() {
    let folder = folder();
    let project = UNKNOWN_KEY.replace("machine = 2\n", "");
    fs::write(folder.path().join("holdpoint.toml"), project).expect("written");
    fs::write(folder.path().join("staging.toml"), "app = \"web-staging\"\n[http_service\n")
        .expect("written");
    insta::assert_snapshot!(seen(folder.path(), &["check"]).await);
}

#[tokio::test]
async fn before_the_first_release_every_reading_verb_has_an_answer() {
    let folder = folder();
    let project = UNKNOWN_KEY.replace("machine = 2\n", "");
    fs::write(folder.path().join("holdpoint.toml"), project).expect("written");
    for arguments in [["status", ""], ["plan", ""], ["timeline", ""], ["journal", "verify"]] {
        let arguments: Vec<&str> = arguments.into_iter().filter(|one| !one.is_empty()).collect();
        let seen = seen(folder.path(), &arguments).await;
        assert!(seen.starts_with("exit 0"), "{arguments:?}: {seen}");
    }
    assert!(!folder.path().join(".holdpoint").exists(), "reading leaves no trace");
}

#[tokio::test]
async fn an_acting_verb_without_a_conductor_says_how_to_start_one() {
    let folder = folder();
    let project = UNKNOWN_KEY.replace("machine = 2\n", "");
    fs::write(folder.path().join("holdpoint.toml"), project).expect("written");
    insta::assert_snapshot!(seen(folder.path(), &["halt", "--reason", "lunch"]).await);
    insta::assert_snapshot!(seen(folder.path(), &["resume"]).await);
    insta::assert_snapshot!(seen(folder.path(), &["release", "1.0.0"]).await);
}

#[tokio::test]
async fn a_fault_without_a_platform_says_how_to_start_one() {
    let folder = folder();
    let state = folder.path().join("state").display().to_string();
    let seen = seen(folder.path(), &["fault", "list", "--state-dir", &state]).await;
    assert!(seen.starts_with("exit 2") && seen.contains("`holdpoint up`"), "{seen}");
}
