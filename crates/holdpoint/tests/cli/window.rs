//! `holdpoint window`: when production may be changed, and a schedule that never allows it.

use std::fs;

use super::{folder, seen};

const SHOP: &str = r#"[project]
name = "shop"
time_zone = "America/Chicago"

[[people]]
name = "ada"
roles = ["engineer", "manager"]

[[services]]
name = "web"
build = { command = ["true"], binary = "program" }
staging = { config = "staging.toml" }
production = { config = "production.toml" }
"#;

/// Nobody could ever release.
const FOR_EVER: &str = r#"
[[freezes]]
name = "for-good"
owner = "ada"
reason = "the shop is closed"
from = 2020-01-01T00:00:00-06:00
to = 2120-01-01T00:00:00-06:00
"#;

#[tokio::test]
async fn the_window_of_any_time_is_told_for_people_and_for_programs() {
    let folder = folder();
    fs::write(folder.path().join("holdpoint.toml"), SHOP).expect("written");
    let at = |time: &'static str, more: &[&'static str]| [&["window", "--at", time], more].concat();
    let thanksgiving = "2026-11-26T11:00";
    insta::assert_snapshot!(seen(folder.path(), &at(thanksgiving, &[])).await);
    insta::assert_snapshot!(seen(folder.path(), &at(thanksgiving, &["--next"])).await, @r"
    exit 0
    --- stdout
    next: Tue 2026-12-01 10:00 CST to Tue 2026-12-01 14:00 CST, window `midweek`
    not now: holiday (Thanksgiving Day) until Fri 2026-11-27 00:00 CST
    --- stderr
    ");
    insta::assert_snapshot!(
        seen(folder.path(), &at("2026-12-02T16:30:00Z", &["--next", "--json"])).await
    );
    insta::assert_snapshot!(seen(folder.path(), &at("soon", &[])).await, @r"
    exit 2
    --- stdout

    --- stderr
    error: `soon` is no time

    hint: write for example `--at 2026-12-01T10:00` or `--at 2026-12-01T16:00:00Z`
    ");
    let now = seen(folder.path(), &["window"]).await;
    assert!(now.starts_with("exit 0\n") && now.contains("next:"), "{now}");
}

#[tokio::test]
async fn a_schedule_that_never_opens_is_refused_before_a_release_starts() {
    let folder = folder();
    fs::write(folder.path().join("holdpoint.toml"), format!("{SHOP}{FOR_EVER}")).expect("written");
    for arguments in [["check", "--json"], ["release", "1.0.0"]] {
        let seen = seen(folder.path(), &arguments).await;
        let told = "the window `midweek` does not open within a year";
        assert!(seen.starts_with("exit 2\n") && seen.contains(told), "{seen}");
        assert!(seen.contains("freeze `for-good` of ada"), "{seen}");
    }
    let seen = seen(folder.path(), &["window", "--next", "--at", "2026-12-02T16:30:00Z"]).await;
    insta::assert_snapshot!(seen, @r"
    exit 0
    --- stdout
    next: no window opens within a year
    not now: freeze `for-good` of ada until Mon 2120-01-01 00:00 CST: the shop is closed
    --- stderr
    ");
}
