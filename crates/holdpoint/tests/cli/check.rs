//! `holdpoint check` of app configs: what Fly's client refuses is found, shown and mended.

use std::fs;

use super::{folder, seen};

/// An example that has been copied often, and that Fly's client refuses.
const REFUSED: &str = r#"# Sized for the start.

app = "shop"

[http_service]
  internal_port = 8080
  auto_stop_machines = true

[http_service.checks]
  interval = "15s"  # often enough
  path = "/health"

[[services.tcp_checks]]
  interval = "15s"
  timeout = "10s"
"#;

#[tokio::test]
async fn a_file_that_fly_refuses_is_shown_with_the_corrected_text() {
    let folder = folder();
    let file = folder.path().join("fly.toml");
    fs::write(&file, REFUSED).expect("written");
    let here = seen(folder.path(), &["check"]).await;
    assert_eq!(
        here.replace("./fly.toml", "fly.toml"),
        seen(folder.path(), &["check", "fly.toml"]).await
    );
    insta::assert_snapshot!(here);
    insta::assert_snapshot!(seen(folder.path(), &["check", "fly.toml", "--json"]).await);
    assert_eq!(fs::read_to_string(&file).expect("read"), REFUSED, "only `--fix` writes");
}

#[tokio::test]
async fn the_fix_keeps_comments_and_leaves_a_right_file_alone() {
    let folder = folder();
    let file = folder.path().join("fly.toml");
    fs::write(&file, REFUSED).expect("written");
    insta::assert_snapshot!(seen(folder.path(), &["check", "--fix", "fly.toml"]).await);
    let mended = fs::read(&file).expect("read");
    let written = fs::metadata(&file).expect("there").modified().expect("a time");
    insta::assert_snapshot!(seen(folder.path(), &["check", "--fix", "--strict", "fly.toml"]).await, @"
    exit 0
    --- stdout
    0 places mended, 0 errors, 0 warnings in 1 file
    --- stderr
    ");
    assert_eq!(fs::read(&file).expect("read"), mended);
    assert_eq!(fs::metadata(&file).expect("there").modified().expect("a time"), written);
}

#[tokio::test]
async fn an_unknown_setting_is_a_warning_and_with_strict_an_error() {
    let folder = folder();
    let text = "app = \"shop\"\n\n[http_service]\nintrenal_port = 8080\n";
    fs::write(folder.path().join("fly.staging.toml"), text).expect("written");
    insta::assert_snapshot!(seen(folder.path(), &["check", "."]).await);
    insta::assert_snapshot!(seen(folder.path(), &["check", ".", "--strict"]).await);
}

#[tokio::test]
async fn a_folder_without_any_config_says_what_to_name() {
    let folder = folder();
    insta::assert_snapshot!(seen(folder.path(), &["check", "."]).await);
    insta::assert_snapshot!(seen(folder.path(), &["check", "absent.toml"]).await);
}
