//! What a person is told about a broken file, one story for each kind of
//! problem, and that no text whatsoever brings the reader down.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

/// The least that a project needs, without trailing parts that a test may want to write itself.
const LEAST: &str = r#"
[project]
name = "shop"
time_zone = "Europe/Berlin"

[[people]]
name = "ada"
roles = ["engineer", "manager"]

[[services]]
name = "api"
build = { command = ["make"], binary = "api" }
staging = { config = "staging.toml" }
production = { config = "production.toml", machines = 2 }
"#;

/// Everything that is told about the text, one finding after the other.
fn told(text: &str) -> String {
    let (project, findings) = parse(text);
    let is_refused = findings.iter().any(|finding| finding.severity == Severity::Error);
    assert_eq!(project.is_none(), is_refused);
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What is told about the least project with this after it.
fn told_after_least(rest: &str) -> String {
    told(&format!("{}{rest}", LEAST.trim_start()))
}

/// What is told about the least project with one part of it replaced.
fn told_with(from: &str, to: &str) -> String {
    assert!(LEAST.contains(from));
    told(LEAST.replace(from, to).trim_start())
}

fn examples() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("holdpoint.toml"))
        .map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn every_example_is_read_without_a_finding() {
    let examples = examples();
    assert!(!examples.is_empty());
    for (path, text) in examples {
        let (project, findings) = parse(&text);
        assert_eq!(findings, [], "{path}");
        let project = project.unwrap();
        assert_eq!(project.gates, GatePolicy::default(), "{path}");
        assert_eq!(project.staging, StagingPolicy::default(), "{path}");
        assert_eq!(project.production, ProductionPolicy::default(), "{path}");
        assert_eq!(project.windows, [Window::midweek()], "{path}");
        assert_eq!(project.calendar, CalendarPolicy::default(), "{path}");
        assert_eq!(project.communication, Communication::default(), "{path}");
        assert_eq!(project.notify, Notify::default(), "{path}");
        assert_eq!(project.service_order().len(), project.services.len(), "{path}");
    }
}

#[test]
fn a_project_stands_in_the_journal_and_comes_back_the_same() {
    for (_, text) in examples() {
        let project = parse(&text).0.unwrap();
        let json = serde_json::to_string(&project).unwrap();
        assert_eq!(serde_json::from_str::<Project>(&json).unwrap(), project);
    }
}

#[test]
fn the_least_project_gets_the_runbooks_defaults() {
    let (project, findings) = parse(LEAST);
    assert_eq!(findings, []);
    let project = project.unwrap();
    assert_eq!(project.title, "shop");
    assert_eq!(project.windows, [Window::midweek()]);
    assert_eq!(project.production.approvals, [Role::Engineer, Role::Manager]);
    assert_eq!(project.service("api").unwrap().staging.machines, 1);
    assert_eq!(project.service("api").unwrap().build.directory, ".");
    assert!(project.person("ada").unwrap().has_role(Role::Manager));
    assert_eq!(project.person("grace"), None);
}

#[test]
fn an_empty_file_is_told_all_that_it_lacks() {
    assert_snapshot!(told(""), @r"
    1:1: error: the table `[project]` is missing
      hint: add `[project]` with `name` and `time_zone`
    1:1: error: the project names no people, so nobody could approve a release
      hint: add a `[[people]]` table with `name` and `roles` for each person
    1:1: error: the project names no services, so there is nothing to release
      hint: add a `[[services]]` table for each program
    ");
}

#[test]
fn everything_is_told_at_once_and_in_order() {
    let text = LEAST
        .replace("\"shop\"", "\"My Shop\"")
        .replace("Europe/Berlin", "Europe/Berlni")
        .replace("\"manager\"", "\"boss\"")
        .replace("machines = 2", "machines = 0, machine = 2");
    assert_snapshot!(told(text.trim_start()), @r"
    1:1: error: production needs an approval by the role `manager`, and nobody has it
      hint: give a person the role `manager`, or leave it out of `[production]`'s `approvals`
    2:8: error: `My Shop` cannot be the name of a project, because it becomes part of host and image names
      hint: use at most 63 small letters, digits and hyphens, with a letter or digit at both ends
    3:13: error: `project.time_zone` is `Europe/Berlni`, which is no known time zone
      hint: did you mean `Europe/Berlin`?
    7:22: error: `people.roles` names `boss`, which is no role
      hint: use `engineer`, `manager` and `reliability`
    13:55: error: `services.production.machines` is 0, which is out of range
      hint: use 1 to 500
    13:58: error: unknown key `machine` in `services.production`
      hint: did you mean `machines`?
    ");
}

#[test]
fn syntax_errors_are_all_told_and_nothing_is_called_missing_because_of_them() {
    assert_snapshot!(told("[project]\nname = shop\ntime_zone = \"UTC\ntitle = \"Shop\"\n[people\n"), @r#"
    2:8: error: string values must be quoted, expected literal string
      hint: the file is TOML: `key = "text"`, `[table]`, and `[[table]]` for each entry of a list
    3:17: error: invalid basic string, expected `"`
      hint: the file is TOML: `key = "text"`, `[table]`, and `[[table]]` for each entry of a list
    5:1: error: `people` must be a list, but it is a table
      hint: write each as `[[people]]`
    5:8: error: unclosed table, expected `]`
      hint: the file is TOML: `key = "text"`, `[table]`, and `[[table]]` for each entry of a list
    "#);
    assert_snapshot!(told_with("time_zone =", "name = \"shop\"\ntime_zone ="), @r"
    3:1: error: duplicate key
      hint: remove or rename one of the two
    ");
}

#[test]
fn a_problem_after_a_syntax_error_is_told_too() {
    assert_snapshot!(told_after_least("[staging]\nsoak = 30m\nhealth_within = \"soon\"\n"), @r#"
    15:8: error: string values must be quoted, expected literal string
      hint: the file is TOML: `key = "text"`, `[table]`, and `[[table]]` for each entry of a list
    16:17: error: `staging.health_within` is `soon`, which is no length of time
      hint: write for example `health_within = "5m"` (ms, s, m and h are known)
    "#);
}

#[test]
fn unknown_keys_are_refused_with_what_may_have_been_meant() {
    assert_snapshot!(told_after_least("[stagging]\nsoak = \"30m\"\n[gates]\nevaluate_every = \"10s\"\nerror_rate = { critcal = 0.1 }\n"), @r"
    14:2: error: unknown table or key `stagging`
      hint: did you mean `staging`?
    17:1: error: unknown key `evaluate_every` in `gates`
      hint: remove it; known here are `error_rate`, `latency_p95`, `health`, `memory` and `stale_after`
    18:16: error: unknown key `critcal` in `gates.error_rate`
      hint: did you mean `critical`?
    ");
}

#[test]
fn wrong_types_are_told_with_what_was_found() {
    assert_snapshot!(
        told_after_least(
            "production = 3\npeople = {}\n[notify]\nterminal = \"yes\"\nwebhooks = \"https://x\"\n[calendar]\nfreeze_quarter_end_days = \"7\"\n"
        ),
        @r#"
    14:1: error: duplicate key
      hint: remove or rename one of the two
    15:1: error: unknown key `people` in `services`
      hint: remove it; known here are `name`, `after`, `required_secrets`, `build`, `staging`, `production` and `smoke`
    17:12: error: `notify.terminal` must be true or false, but it is text
      hint: write for example `terminal = true`
    18:12: error: `notify.webhooks` must be a list, but it is text
      hint: write `webhooks = ["…"]`
    20:27: error: `calendar.freeze_quarter_end_days` must be a whole number, but it is text
      hint: write for example `freeze_quarter_end_days = 0`
    "#
    );
    assert_snapshot!(told_with("[[services]]", "[services]"), @r"
    1:1: error: the project names no services, so there is nothing to release
      hint: add a `[[services]]` table for each program
    9:1: error: `services` must be a list, but it is a table
      hint: write each as `[[services]]`
    ");
    assert_snapshot!(told_with("command = [\"make\"]", "command = \"make\""), @r#"
    11:21: error: `services.build.command` must be a list, but it is text
      hint: write `command = ["…"]`
    "#);
}

#[test]
fn bad_lengths_of_time_are_refused() {
    assert_snapshot!(
        told_after_least(
            "[staging]\nsoak = 30\nhealth_within = \"30\"\n[production]\nvalidate = \"0s\"\nsettle = \"1500ms\"\nannounce_before = \"90 days\"\nhealth_within = \"1000h\"\n"
        ),
        @r#"
    15:8: error: `staging.soak` is a number without a unit
      hint: write `soak = "30s"` or `"30m"`
    16:17: error: `staging.health_within` is `30`, which is no length of time
      hint: write for example `health_within = "5m"` (ms, s, m and h are known)
    18:12: error: `production.validate` is `0s`, which is out of range
      hint: use 1s to 720h
    19:10: error: `production.settle` is `1500ms`, which is finer than a second
      hint: round it to a second
    20:19: error: `production.announce_before` is `90 days`, which is no length of time
      hint: write for example `announce_before = "5m"` (ms, s, m and h are known)
    21:17: error: `production.health_within` is `1000h`, which is out of range
      hint: use 1s to 720h
    "#
    );
}

#[test]
fn bad_shares_and_numbers_are_refused() {
    assert_snapshot!(
        told_after_least(
            "[gates]\nerror_rate = { warn = 1, critical = 5, minimum_requests = 0 }\nmemory = { warn = nan, critical = \"85%\" }\nlatency_p95 = { warn = \"1us\", minimum_requests = -1 }\n"
        ),
        @r"
    15:23: error: `warn` is 1 and above `critical`, 0.05: it would warn only after the breach
      hint: make `warn` at most `critical`
    15:37: error: `gates.error_rate.critical` is 5, and a share lies between 0 and 1
      hint: write 5 % as `critical = 0.05`
    15:59: error: `gates.error_rate.minimum_requests` is 0, which is out of range
      hint: use 1 to 1000000
    16:19: error: `gates.memory.warn` is nan, and a share lies between 0 and 1
      hint: write 5 % as `warn = 0.05`
    16:35: error: `gates.memory.critical` must be a share between 0 and 1, but it is text
      hint: write for example `critical = 0.05`
    17:24: error: `gates.latency_p95.warn` is `1us`, which is finer than a millisecond
      hint: round it to a millisecond
    17:50: error: `gates.latency_p95.minimum_requests` is -1, which is out of range
      hint: use 1 to 1000000
    "
    );
}

#[test]
fn a_warning_above_its_breach_is_refused_even_against_a_default() {
    assert_snapshot!(
        told_after_least(
            "[gates]\nerror_rate = { warn = 0.2 }\nlatency_p95 = { critical = \"100ms\" }\nhealth = { warn_for = \"6m\" }\nmemory = { warn = 0.9, critical = 0.8 }\n"
        ),
        @r"
    15:23: error: `warn` is 0.2 and above `critical`, 0.05: it would warn only after the breach
      hint: make `warn` at most `critical`
    16:28: error: `warn` is 500ms and above `critical`, 100ms: it would warn only after the breach
      hint: make `warn` at most `critical`
    17:23: error: `warn_for` is 6m and above `critical_for`, 5m: it would warn only after the breach
      hint: make `warn_for` at most `critical_for`
    18:19: error: `warn` is 0.9 and above `critical`, 0.8: it would warn only after the breach
      hint: make `warn` at most `critical`
    "
    );
}

#[test]
fn a_time_zone_nobody_knows_is_refused() {
    assert_snapshot!(told_with("Europe/Berlin", "Central Time"), @r"
    3:13: error: `project.time_zone` is `Central Time`, which is no known time zone
      hint: use a name of the IANA database, such as `America/Chicago` or `UTC`
    ");
}

#[test]
fn roles_are_checked() {
    assert_snapshot!(told_with("\"engineer\", \"manager\"", "\"enginer\", \"manager\", \"manager\", 3"), @r#"
    1:1: error: production needs an approval by the role `engineer`, and nobody has it
      hint: give a person the role `engineer`, or leave it out of `[production]`'s `approvals`
    7:10: error: `people.roles` names `enginer`, which is no role
      hint: did you mean `engineer`?
    7:32: error: `people.roles` names `manager` twice
      hint: remove one of the two
    7:43: error: `people.roles` must be text, but it is a whole number
      hint: write for example `roles = "…"`
    "#);
    assert_snapshot!(told_with("[\"engineer\", \"manager\"]", "[]"), @r"
    1:1: error: production needs an approval by the role `engineer`, and nobody has it
      hint: give a person the role `engineer`, or leave it out of `[production]`'s `approvals`
    1:1: error: production needs an approval by the role `manager`, and nobody has it
      hint: give a person the role `manager`, or leave it out of `[production]`'s `approvals`
    7:9: error: `people.roles` is empty
      hint: name at least one role: `engineer`, `manager` and `reliability`
    ");
}

#[test]
fn approvals_must_be_possible() {
    assert_snapshot!(told_after_least("[production]\napprovals = []\n"), @r"
    15:13: error: `production.approvals` is empty
      hint: name at least one role: `engineer`, `manager` and `reliability`
    ");
    assert_snapshot!(told_after_least("[production]\napprovals = [\"reliability\"]\n"), @r"
    15:13: error: production needs an approval by the role `reliability`, and nobody has it
      hint: give a person the role `reliability`, or leave it out of `[production]`'s `approvals`
    ");
    assert_snapshot!(told_with("\"engineer\", \"manager\"", "\"engineer\""), @r"
    1:1: error: production needs an approval by the role `manager`, and nobody has it
      hint: give a person the role `manager`, or leave it out of `[production]`'s `approvals`
    ");
    assert_snapshot!(told_after_least("[production]\napproval_expires_after = \"15m\"\n"), @r"
    15:26: error: approvals expire before the announced rollout may start, so none could ever start
      hint: make `approval_expires_after` longer than `announce_before`
    ");
}

#[test]
fn names_must_be_fit_and_given_once() {
    assert_snapshot!(told_after_least("[[people]]\nname = \"ada\"\nroles = [\"engineer\"]\n[[people]]\nname = \"grace hopper\"\nroles = [\"engineer\"]\n[[people]]\nname = \"\"\nroles = [\"engineer\"]\n"), @r"
    15:8: error: there are two people called `ada`
      hint: rename one of them; the first is on line 6
    18:8: error: the name `grace hopper` has a space in it, so commands could not name this person
      hint: write for example `grace-hopper`
    21:8: error: `people.name` is empty
      hint: write a text, or remove the key if it is optional
    ");
    assert_snapshot!(told_with("name = \"api\"", "name = \"API_1\""), @r"
    10:8: error: `API_1` cannot be the name of a service, because it becomes part of host and image names
      hint: use at most 63 small letters, digits and hyphens, with a letter or digit at both ends
    ");
}

/// A service after the least project's, with this instead of its last part.
fn told_second_service(name: &str, rest: &str) -> String {
    told_after_least(&format!(
        "[[services]]\nname = \"{name}\"\nbuild = {{ command = [\"make\"], binary = \"b\" }}\n{rest}"
    ))
}

#[test]
fn services_must_be_told_apart() {
    let places = "staging = { config = \"staging.toml\" }\nproduction = { config = \"b.toml\" }\n";
    assert_snapshot!(told_second_service("api", places), @r"
    15:8: error: there are two services called `api`
      hint: rename one of them; the first is on line 10
    17:22: error: `staging.toml` is already another app's config, and one app cannot serve two purposes
      hint: give each service a file of its own for staging and for production
    ");
}

#[test]
fn a_service_needs_a_build_and_both_environments() {
    assert_snapshot!(told_second_service("web", "staging = {}\n"), @r#"
    14:1: error: the service `web` has no `[services.production]`
      hint: add `[services.production]` with `config` below its `[[services]]`
    17:11: error: `config` is missing in `services.staging`
      hint: add for example `config = "fly.toml"`
    "#);
    assert_snapshot!(told_with("build = { command = [\"make\"], binary = \"api\" }\n", ""), @r"
    9:1: error: the service `api` has no `[services.build]`
      hint: add `[services.build]` with `command` below its `[[services]]`
    ");
}

#[test]
fn what_comes_after_what_must_be_known() {
    let places = "staging = { config = \"s\" }\nproduction = { config = \"p\" }\n";
    assert_snapshot!(told_second_service("web", &format!("after = [\"apo\", \"queue\"]\n{places}")), @r"
    17:10: error: `web` comes after `apo`, which is no service of this project
      hint: did you mean `api`?
    17:17: error: `web` comes after `queue`, which is no service of this project
      hint: name a service of this file, or remove it
    ");
}

#[test]
fn an_order_without_a_beginning_is_told_as_a_circle() {
    let service = |name: &str, after: &str| {
        format!(
            "[[services]]\nname = \"{name}\"\nafter = {after}\nbuild = {{ command = [\"make\"], binary = \"b\" }}\nstaging = {{ config = \"{name}.s\" }}\nproduction = {{ config = \"{name}.p\" }}\n"
        )
    };
    let circle = service("a", "[\"api\", \"c\"]")
        + &service("b", "[\"a\"]")
        + &service("c", "[\"b\"]")
        + &service("d", "[\"c\"]")
        + &service("e", "[\"e\"]");
    assert_snapshot!(told_after_least(&circle), @r"
    16:17: error: the order has no beginning: `a` comes after `c` comes after `b` comes after `a`
      hint: remove one of these from `after`
    40:10: error: the order has no beginning: `e` comes after `e`
      hint: remove one of these from `after`
    ");
}

#[test]
fn services_are_ordered_by_after_and_else_stay_as_written() {
    let service = |name: &str, after: &[&str]| Service {
        name: name.to_owned(),
        after: after.iter().map(|name| (*name).to_owned()).collect(),
        ..parse(LEAST).0.unwrap().services.remove(0)
    };
    let ordered = |services: Vec<Service>| {
        Project { services, ..parse(LEAST).0.unwrap() }.service_order().join(" ")
    };
    assert_eq!(ordered(vec![service("c", &["a"]), service("b", &[]), service("a", &[])]), "b a c");
    assert_eq!(ordered(vec![service("b", &[]), service("a", &[])]), "b a");
    assert_eq!(ordered(vec![service("b", &["elsewhere"]), service("a", &["a"])]), "b a");
}

#[test]
fn builds_and_smoke_checks_are_checked() {
    let text = r#"
[[services.smoke]]
name = "one"
method = "get"
path = "health"
headers = { "bad header" = "x", accept = 3 }
expect_status = 999
within = "1h"
[[services.smoke]]
name = "one"
path = "/with space"
"#;
    assert_snapshot!(told_after_least(text), @r#"
    17:10: error: `services.smoke.method` names `get`, which is no HTTP method
      hint: did you mean `GET`?
    18:8: error: `health` is no path of a request
      hint: begin it with `/` and write spaces as `%20`; the host comes from the app
    19:28: error: `services.smoke.headers.bad header` cannot be sent as a header
      hint: use letters, digits and hyphens in its name, and ASCII in its value
    19:42: error: `services.smoke.headers.accept` must be text, but it is a whole number
      hint: write for example `accept = "…"`
    20:17: error: `services.smoke.expect_status` is 999, which is out of range
      hint: use 100 to 599
    21:10: error: `services.smoke.within` is `1h`, which is out of range
      hint: use 1ms to 5m
    23:8: error: there are two smoke checks called `one`
      hint: rename one of them; the first is on line 16
    24:8: error: `/with space` is no path of a request
      hint: begin it with `/` and write spaces as `%20`; the host comes from the app
    "#);
    assert_snapshot!(
        told_with(
            "command = [\"make\"], binary = \"api\"",
            "command = [], binary = \"\", files = [{ from = \"docs\", to = \"../docs\" }], environment = { \"1X\" = \"y\", Z = 1 }"
        ),
        @r#"
    11:21: error: `services.build.command` is empty
      hint: name the program that builds the service and its arguments
    11:34: error: `services.build.binary` is empty
      hint: write a text, or remove the key if it is optional
    11:69: error: `../docs` is no absolute path inside the image
      hint: write it from the root on: `to = "/docs"`
    11:106: error: `services.build.environment.1X` cannot be set, because its name is no name of an environment variable
      hint: use letters, digits and underscores
    11:115: error: `services.build.environment.Z` must be text, but it is a whole number
      hint: write for example `Z = "…"`
    "#
    );
    assert_snapshot!(told_with("staging =", "required_secrets = [\"API-KEY\", \"A\", \"A\"]\nstaging ="), @r"
    12:21: error: `API-KEY` cannot be the name of a secret, because it becomes an environment variable
      hint: use letters, digits and underscores, as in `DATABASE_URL`; the value never stands here
    12:37: error: there are two required secrets called `A`
      hint: rename one of them; the first is on line 12
    ");
}

#[test]
fn windows_that_cannot_open_are_refused() {
    let text = r#"
[[windows]]
name = "none"
days = []
from = "10:00"
to = "14:00"
[[windows]]
name = "night"
days = ["friday"]
from = "22:00"
to = "02:00"
[[windows]]
name = "instant"
days = ["fryday"]
from = "9:00"
to = 24:00:00
[[windows]]
name = "none"
from = "25:00"
"#;
    assert_snapshot!(told_after_least(text), @r#"
    17:8: error: `windows.days` is empty
      hint: name at least one day of the week: `monday`, `tuesday`, `wednesday`, `thursday`, `friday`, `saturday` and `sunday`
    24:6: error: `windows.to` is not after `from`, so the window `night` would never open
      hint: for a window across midnight write two: one to `24:00`, and on the next day one from `00:00`
    27:9: error: `windows.days` names `fryday`, which is no day of the week
      hint: did you mean `friday`?
    28:8: error: `windows.from` is `9:00`, which is no time of day to the minute
      hint: write hours and minutes with two digits each, from `"00:00"` to `"24:00"`
    29:6: error: invalid time, expected hour between 00 and 23
      hint: the file is TOML: `key = "text"`, `[table]`, and `[[table]]` for each entry of a list
    29:6: error: `windows.to` is ``, which is no time of day to the minute
      hint: write hours and minutes with two digits each, from `"00:00"` to `"24:00"`
    31:8: error: there are two windows called `none`
      hint: rename one of them; the first is on line 16
    32:8: error: `windows.from` is `25:00`, which is no time of day to the minute
      hint: write hours and minutes with two digits each, from `"00:00"` to `"24:00"`
    "#);
    assert_snapshot!(told(&format!("windows = []\n{}", LEAST.trim_start())), @r"
    1:11: error: `windows` is empty, so production could never change
      hint: add a `[[windows]]` table, or remove the key for the default window
    ");
}

#[test]
fn windows_that_overlap_are_warned_of_and_used() {
    let text = r#"
[[windows]]
name = "morning"
days = ["monday", "friday"]
from = "08:00"
to = "12:00"
[[windows]]
name = "noon"
days = ["friday"]
from = 11:30:00
to = "24:00"
[[windows]]
name = "touching"
days = ["monday"]
from = "12:00"
to = "13:00"
"#;
    assert_snapshot!(told_after_least(text), @r"
    21:8: warning: the windows `morning` and `noon` overlap on friday
      hint: let one end where the other begins, or make one window of them
    ");
}

#[test]
fn freezes_have_an_owner_and_an_end_after_their_beginning() {
    let text = r#"
[[freezes]]
name = "summit"
owner = "aba"
reason = "away"
from = 2026-12-12T00:00:00+01:00
to = "2026-12-07T00:00:00+01:00"
[[freezes]]
name = "summit"
owner = "ada"
from = 2026-12-12
to = "Christmas"
"#;
    assert_snapshot!(told_after_least(text), @r#"
    17:9: error: the freeze's owner `aba` is nobody in this project
      hint: did you mean `ada`?
    20:6: error: `freezes.to` is not after `from`, so the freeze `summit` would never hold
      hint: make `to` later than `from`
    21:1: error: `reason` is missing in `freezes`
      hint: add for example `reason = "everybody is at the summit"`
    22:8: error: there are two freezes called `summit`
      hint: rename one of them; the first is on line 16
    24:8: error: `freezes.from` is `2026-12-12`, which is no date with a time
      hint: write for example `2026-12-07T09:00:00-06:00`; without the offset it is the project's local time
    25:6: error: `freezes.to` is `Christmas`, which is no date with a time
      hint: write for example `2026-12-07T09:00:00-06:00`; without the offset it is the project's local time
    "#);
}

#[test]
fn a_freeze_without_an_offset_is_on_the_projects_wall_clock() {
    let text = r#"
[[freezes]]
name = "summit"
owner = "ada"
reason = "away"
from = 2026-12-07T00:00:00
to = "2027-03-28T02:30"
"#;
    assert_snapshot!(told_after_least(text), @r"
    20:6: warning: `2027-03-28T02:30` is in an hour that the change of clocks skips or repeats
      hint: write the instant that is meant: it is taken for `2027-03-28T01:30:00Z`
    ");
    let project = parse(&format!("{LEAST}{text}")).0.unwrap();
    let times: Vec<String> = project
        .freezes
        .iter()
        .flat_map(|freeze| [freeze.from.to_string(), freeze.to.to_string()])
        .collect();
    assert_eq!(times, ["2026-12-06T23:00:00Z", "2027-03-28T01:30:00Z"]);
}

#[test]
fn the_calendar_and_notifications_are_checked() {
    assert_snapshot!(
        told_after_least(
            "[calendar]\nholidays = \"us-federl\"\nfreeze_quarter_end_days = 40\n[notify]\nwebhooks = [\"chat.example.com\", \"https://\", \"https://ok.example.com/x\"]\n"
        ),
        @r#"
    15:12: error: `calendar.holidays` names `us-federl`, which is no set of holidays
      hint: did you mean `us-federal`?
    16:27: error: `calendar.freeze_quarter_end_days` is 40, which is out of range
      hint: use 0 to 31
    18:13: error: `chat.example.com` is no address that a message can be sent to
      hint: write a whole URL, such as `"https://chat.example.com/hooks/releases"`
    18:33: error: `https://` is no address that a message can be sent to
      hint: write a whole URL, such as `"https://chat.example.com/hooks/releases"`
    "#
    );
}

#[test]
fn a_placeholder_of_the_notes_must_be_known() {
    assert_snapshot!(told_with("time_zone", "release_notes = \"notes/{tag}.md\"\ntime_zone"), @r"
    3:17: error: `project.release_notes` is `notes/{tag}.md`, which has an unknown placeholder
      hint: the only placeholder is `{version}`, as in `notes/{version}.md`
    ");
}

#[test]
fn a_column_counts_characters_and_a_span_bytes() {
    let (_, findings) = parse("ü = 1\n[project]\n\"größe\" = 1");
    let place = |word: &str| {
        findings
            .iter()
            .find(|finding| finding.message.contains(word))
            .map(|finding| (finding.line, finding.column, finding.span.clone()))
    };
    assert_eq!(place("`ü`"), Some((1, 1, 0..2)));
    assert_eq!(place("`größe`"), Some((3, 1, 17..26)));
}

#[test]
fn a_text_without_end_is_refused_unread() {
    assert_snapshot!(told(&"#".repeat(TEXT_LIMIT + 1)), @r"
    1:1: error: the file has 1048577 bytes, and at most 1048576 are read
      hint: name the file of a project
    ");
    let many: String = (0..1000).map(|number| format!("key{number} = 1\n")).collect();
    assert_eq!(parse(&many).1.len(), FINDINGS_LIMIT);
}

/// Somebody's text, or a good one with some pieces cut out, doubled or replaced.
fn any_text() -> impl Strategy<Value = String> {
    let pieces = vec![
        "",
        "\"",
        "'",
        "[",
        "]]",
        "{",
        "}",
        "=",
        "\n",
        ",",
        ".",
        "-1",
        "nan",
        "1e999",
        "0x",
        "\0",
        "é",
        "\u{feff}",
        "\r",
        "2026-13-01",
        "24:00:00",
        "9999999999999999999999",
        "true",
        "[[x]]",
        "\"\"\"",
    ];
    let edit = (any::<prop::sample::Index>(), 0_usize..40, proptest::sample::select(pieces));
    let mutated =
        (proptest::collection::vec(edit, 1..12), any::<bool>()).prop_map(|(edits, least)| {
            let mut text = examples().pop().map_or_else(String::new, |(_, text)| text);
            if least {
                LEAST.clone_into(&mut text);
            }
            for (at, length, piece) in edits {
                let start = text.floor_char_boundary(at.index(text.len() + 1));
                let end = text.floor_char_boundary((start + length).min(text.len()));
                text.replace_range(start..end.max(start), piece);
            }
            text
        });
    prop_oneof![4 => mutated, 1 => any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_brings_the_reader_down(text in any_text()) {
        let (project, findings) = parse(&text);
        prop_assert!(project.is_some() || !findings.is_empty());
        prop_assert!(findings.is_sorted_by_key(|finding| finding.span.start));
        for finding in &findings {
            prop_assert!(finding.line >= 1 && finding.column >= 1);
            prop_assert!(text.get(finding.span.clone()).is_some(), "{:?}", finding);
            prop_assert!(finding.hint.as_ref().is_some_and(|hint| !hint.is_empty()));
        }
    }
}
