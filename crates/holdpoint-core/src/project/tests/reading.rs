//! The file as a whole: what it lacks, its syntax, its keys and types.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

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
fn the_apps_of_every_example_are_told_apart_by_their_suffix() {
    for (path, text) in examples() {
        let folder = std::path::Path::new(&path).parent().unwrap();
        let app = |placement: &Placement| {
            let config = std::fs::read_to_string(folder.join(&placement.config)).unwrap();
            let config: toml::Table = config.parse().unwrap();
            config.get("app").and_then(toml::Value::as_str).unwrap().to_owned()
        };
        for service in parse(&text).0.unwrap().services {
            let [staging, production] = [&service.staging, &service.production].map(app);
            assert_eq!(staging, format!("{production}-staging"));
        }
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
    2:8: error: `My Shop` cannot be the name of a project, because it becomes part of host and image names
      hint: use at most 63 small letters, digits and hyphens, with a letter or digit at both ends
    3:13: error: `project.time_zone` is `Europe/Berlni`, which is no known time zone
      hint: did you mean `Europe/Berlin`?
    7:22: error: `people.roles` names `boss`, which is no role
      hint: use `engineer`, `manager` or `reliability`
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
      hint: remove it; known here are `error_rate`, `latency_p95`, `health`, `memory`, `comparison`, `stale_after` and `invariants`
    18:16: error: unknown key `critcal` in `gates.error_rate`
      hint: did you mean `critical`?
    ");
}

#[test]
fn wrong_types_are_told_with_what_was_found() {
    assert_snapshot!(
        told_after_least(
            "production = 3\npeople = {}\n[notify]\nchannels = \"https://x\"\n[calendar]\navoid_month_end = \"yes\"\nfreeze_quarter_end_days = \"7\"\n"
        ),
        @r#"
    14:1: error: duplicate key
      hint: remove or rename one of the two
    15:1: error: unknown key `people` in `services`
      hint: remove it; known here are `name`, `after`, `required_secrets`, `build`, `staging`, `production` and `smoke`
    17:12: error: `notify.channels` must be a list, but it is text
      hint: write each as `[[notify.channels]]`
    19:19: error: `calendar.avoid_month_end` must be true or false, but it is text
      hint: write for example `avoid_month_end = true`
    20:27: error: `calendar.freeze_quarter_end_days` must be a whole number, but it is text
      hint: write for example `freeze_quarter_end_days = 0`
    "#
    );
    assert_snapshot!(told_with("[[services]]", "[services]"), @r"
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
      hint: write a whole number of seconds
    20:19: error: `production.announce_before` is `90 days`, which is no length of time
      hint: write for example `announce_before = "5m"` (ms, s, m and h are known)
    21:17: error: `production.health_within` is `1000h`, which is out of range
      hint: use 1s to 720h
    "#
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
fn a_placeholder_of_the_notes_must_be_known() {
    assert_snapshot!(told_with("time_zone", "release_notes = \"notes/{tag}.md\"\ntime_zone"), @r"
    3:17: error: `project.release_notes` is `notes/{tag}.md`, which has an unknown placeholder
      hint: the only placeholder is `{version}`, as in `notes/{version}.md`
    ");
}

#[test]
fn a_column_counts_characters_and_a_span_bytes() {
    let (_, findings) = parse("\"ü\" = 1\n[project]\n \"größe\" = 1");
    let place = |word: &str| {
        findings
            .iter()
            .find(|finding| finding.message.contains(word))
            .map(|finding| (finding.line, finding.column, finding.span.clone()))
    };
    assert_eq!(place("`ü`"), Some((1, 1, 0..4)));
    assert_eq!(place("`größe`"), Some((3, 2, 20..29)));
}

#[test]
fn a_text_without_end_is_refused_unread() {
    assert_snapshot!(told(&"#".repeat(TEXT_LIMIT + 1)), @r"
    1:1: error: the file has 1048577 bytes, and at most 1048576 are read
      hint: name the file of a project
    ");
}

#[test]
fn a_text_full_of_problems_is_read_quickly_and_told_in_part() {
    for problem in ["a\n", "\"\n", "[", "[[services]]\n", "[[a]]\n", "x.y.z = [\n", "{ a = 1 }\n"] {
        let text = problem.repeat(TEXT_LIMIT / problem.len());
        let (project, findings) = parse(&text);
        assert!(project.is_none());
        assert!((1..=report::FINDINGS_LIMIT).contains(&findings.len()), "{problem:?}");
    }
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
