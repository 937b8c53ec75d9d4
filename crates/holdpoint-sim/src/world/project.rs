//! The project that is released: two services with short phases, and a calendar that the seed
//! picks. It is read from a file's text once, as the product reads it.

use std::sync::LazyLock;

use holdpoint_core::project::{self, Day, Freeze, MINUTES_PER_DAY, Project, Window};
use jiff::{SignedDuration, Timestamp};

use crate::seed::Dice;

/// What is critical lasts longer than a machine is out of the rotation for its change, with a lease
/// before it whose answer was lost: a service of one machine does not answer then.
const TEXT: &str = r#"
[project]
name = "shop"
title = "Shop"
time_zone = "UTC"
reliability_log = "feedback/reliability.md"
[[people]]
name = "ada"
roles = ["engineer"]
[[people]]
name = "grace"
roles = ["manager"]
[[people]]
name = "linus"
roles = ["engineer", "manager"]
[[people]]
name = "rita"
roles = ["reliability"]
[[services]]
name = "search"
[services.build]
command = ["true"]
binary = "search"
[services.staging]
config = "fly.search.staging.toml"
[services.production]
config = "fly.search.production.toml"
[[services]]
name = "desk"
after = ["search"]
[services.build]
command = ["true"]
binary = "desk"
[services.staging]
config = "fly.desk.staging.toml"
[services.production]
config = "fly.desk.production.toml"
[staging]
health_within = "10s"
soak = "40s"
[production]
announce_before = "20s"
health_within = "12s"
settle = "15s"
validate = "30s"
watch_after_rollback = "20s"
approval_expires_after = "10m"
[gates]
stale_after = "45s"
[gates.error_rate]
critical_for = "100s"
minimum_requests = 10
[gates.latency_p95]
critical_for = "100s"
minimum_requests = 10
[gates.health]
warn_for = "20s"
critical_for = "100s"
[gates.memory]
critical_for = "30s"
[gates.comparison]
warm_up = "5s"
[[gates.invariants]]
name = "orders"
service = "desk"
environments = ["staging", "production"]
command = ["count-orders"]
every = "10s"
[communication]
update_every = "60s"
update_every_during_rollback = "30s"
[calendar]
holidays = "none"
[[notify.channels]]
kind = "terminal"
[[notify.channels]]
kind = "slack"
name = "flaky"
url_from = "SLACK_WEBHOOK_URL"
[[notify.channels]]
kind = "webhook"
name = "dead"
url = "http://127.0.0.1:1"
"#;

static PROJECT: LazyLock<Project> = LazyLock::new(|| {
    let (project, diagnostics) = project::parse(TEXT);
    assert_eq!(diagnostics, [], "the simulated project is in order");
    project.expect("a project without errors is there")
});

/// The project as its file has it: the runbook's window, and no freeze.
pub fn plain() -> Project {
    PROJECT.clone()
}

/// The project of a seed.
pub fn project(dice: &mut Dice, start: Timestamp) -> Project {
    let mut project = plain();
    dice.pick(&["UTC", "America/Chicago", "Asia/Kolkata", "Europe/Berlin"])
        .clone_into(&mut project.time_zone);
    project.calendar.avoid_month_end = dice.chance(500);
    project.calendar.freeze_quarter_end_days = dice.pick(&[0, 0, 7]);
    project.windows = windows(dice);
    for number in 0..dice.pick(&[0, 0, 1, 2]) {
        let from =
            start + SignedDuration::from_secs(secs(dice, 4 * 3600)) - SignedDuration::from_hours(1);
        let to = from + SignedDuration::from_secs(60 + secs(dice, 3 * 3600));
        project.freezes.push(Freeze {
            name: format!("freeze-{number}"),
            owner: "rita".to_owned(),
            reason: "the shop has a sale".to_owned(),
            from,
            to,
        });
    }
    let production = &mut project.production;
    production.announce_before_secs = dice.pick(&[0, 20]);
    production.settle_secs = dice.pick(&[0, 15]);
    production.watch_after_rollback_secs = dice.pick(&[0, 20]);
    production.max_unavailable = dice.pick(&[1, 1, 2]);
    project
}

/// When a seed's world begins: some minute of some days, the change of clocks and the end of a
/// quarter among them.
pub fn beginning(dice: &mut Dice) -> Timestamp {
    let days = ["2026-03-03", "2026-03-08", "2026-03-24", "2026-03-29", "2026-06-30", "2026-11-01"];
    let midnight: Timestamp = format!("{}T00:00:00Z", dice.pick(&days)).parse().expect("a date");
    midnight + SignedDuration::from_mins(secs(dice, 24 * 60))
}

fn windows(dice: &mut Dice) -> Vec<Window> {
    let window = |name: &str, from_minute, to_minute| Window {
        name: name.to_owned(),
        days: Day::ALL.to_vec(),
        from_minute,
        to_minute,
    };
    match dice.between(0, 4) {
        0 => vec![Window::midweek()],
        1 => vec![window("noon", 12 * 60, 12 * 60 + 3)],
        2 => (0..4)
            .map(|number| {
                let from = number * 360;
                window(&format!("window-{number}"), from, from + 330)
            })
            .collect(),
        _ => vec![window("always", 0, MINUTES_PER_DAY)],
    }
}

fn secs(dice: &mut Dice, below: u64) -> i64 {
    i64::try_from(dice.between(0, below)).unwrap_or_default()
}
