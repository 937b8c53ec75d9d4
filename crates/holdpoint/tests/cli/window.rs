//! `holdpoint window`: when production may be changed, and a schedule that never allows it.

use std::fs;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;

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

/// The company meets every first Wednesday of a month.
const COMPANY: &str = "BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VEVENT
UID:1@example.com
SUMMARY:All hands
DTSTART;TZID=America/Chicago:20260107T090000
DTEND;TZID=America/Chicago:20260107T120000
RRULE:FREQ=MONTHLY;BYDAY=1WE
END:VEVENT
END:VCALENDAR
";

fn with_calendar(source: &str) -> String {
    format!("{SHOP}\n[[calendar.events]]\nname = \"company\"\nsource = \"{source}\"\n")
}

#[tokio::test]
async fn company_events_from_a_file_close_the_window_and_one_that_is_wrong_is_told_by_its_line() {
    let folder = folder();
    fs::write(folder.path().join("holdpoint.toml"), with_calendar("company.ics")).expect("written");
    let file = folder.path().join("company.ics");
    fs::write(&file, COMPANY).expect("written");
    let wednesday = ["window", "--next", "--at", "2027-02-03T10:30"];
    insta::assert_snapshot!(seen(folder.path(), &wednesday).await);

    fs::write(&file, COMPANY.replace("FREQ=MONTHLY", "FREQ=MOONLY")).expect("written");
    insta::assert_snapshot!(seen(folder.path(), &wednesday).await);
    fs::write(folder.path().join("staging.toml"), "app = \"web-staging\"\n").expect("written");
    fs::write(folder.path().join("production.toml"), "app = \"web\"\n").expect("written");
    insta::assert_snapshot!(seen(folder.path(), &["check"]).await);
    fs::create_dir(folder.path().join(".holdpoint")).expect("made");
    fs::write(folder.path().join(".holdpoint/platform.json"), r#"{"api":"http://127.0.0.1:9","proxy":"http://127.0.0.1:9","token_file":"holdpoint.toml"}"#)
        .expect("written");
    insta::assert_snapshot!(seen(folder.path(), &["release", "1.0.0"]).await);
}

#[tokio::test]
async fn company_events_from_an_address_close_the_window_and_none_is_told_without_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().route("/secret-of-ours/company.ics", get(|| async { COMPANY }));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = folder();
    let project = folder.path().join("holdpoint.toml");
    let source = format!("http://{address}/secret-of-ours/company.ics");
    fs::write(&project, with_calendar(&source)).expect("written");
    let wednesday = ["window", "--next", "--at", "2027-02-03T10:30"];
    let told = seen(folder.path(), &wednesday).await;
    assert!(told.contains("company event \"All hands\" until Wed 2027-02-03 12:00 CST"), "{told}");

    fs::write(&project, with_calendar(&format!("{source}.gone"))).expect("written");
    let told = seen(folder.path(), &wednesday).await;
    assert!(told.contains("calendar `company` is not known"), "{told}");
    assert!(told.contains("status 404") && !told.contains("secret-of-ours"), "{told}");
    server.abort();
}
