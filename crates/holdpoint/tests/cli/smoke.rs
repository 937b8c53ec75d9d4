//! Smoke files as `holdpoint check` and a release meet them.

use std::fs;

use super::{UNKNOWN_KEY, folder, seen};

/// A project without a problem, but with smoke files.
fn project(folder: &std::path::Path, line: &str) {
    let text = UNKNOWN_KEY.replace("machine = 2\n", "");
    let text = text.replace("name = \"web\"\n", &format!("name = \"web\"\n{line}"));
    fs::write(folder.join("holdpoint.toml"), text).expect("written");
    for (name, app) in [("staging.toml", "web-staging"), ("production.toml", "web")] {
        fs::write(folder.join(name), format!("app = \"{app}\"\n")).expect("written");
    }
    fs::create_dir_all(folder.join("smoke")).expect("made");
}

const WRONG: &str = r#"[[checks]]
name = "lists orders"
path = "/orders"
expect_json = [{ path = "$.items[?@.state = 'open']", count = 1 }]
"#;

#[tokio::test]
async fn a_wrong_json_path_stops_a_check_and_a_release_before_anything_starts() {
    let folder = folder();
    project(folder.path(), "");
    fs::write(folder.path().join("smoke/web.toml"), WRONG).expect("written");
    insta::assert_snapshot!(seen(folder.path(), &["check"]).await);
    let released = seen(folder.path(), &["release", "1.0.0"]).await;
    assert!(released.starts_with("exit 2"), "{released}");
    assert!(released.contains("error: `FOLDER/smoke/web.toml` has 1 error"), "{released}");
    assert!(!folder.path().join(".holdpoint").exists(), "nothing was begun");
}

#[tokio::test]
async fn a_smoke_file_that_is_named_must_be_there_and_one_that_nobody_names_is_noticed() {
    let folder = folder();
    project(folder.path(), "smoke = [\"smoke/orders.toml\"]\n");
    fs::write(folder.path().join("smoke/order.toml"), WRONG).expect("written");
    insta::assert_snapshot!(seen(folder.path(), &["check"]).await);
}

#[tokio::test]
async fn without_checks_or_with_an_unknown_service_smoke_says_what_to_write() {
    let folder = folder();
    project(folder.path(), "");
    insta::assert_snapshot!(seen(folder.path(), &["smoke", "staging"]).await);
    insta::assert_snapshot!(seen(folder.path(), &["smoke", "staging", "--service", "wbe"]).await);
}
