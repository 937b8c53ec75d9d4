//! What a person is told about a broken smoke file, and what a right one means.

use insta::assert_snapshot;

use super::*;
use crate::id::Environment;
use crate::project::smoke::{HttpStep, SmokeKind, parse_smoke};

fn told_of_file(text: &str) -> String {
    let (checks, findings) = parse_smoke(text.trim_start(), &["taken".to_owned()]);
    let is_refused = findings.iter().any(|finding| finding.severity == Severity::Error);
    assert_eq!(checks.is_none(), is_refused);
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn checks_of(text: &str) -> Vec<SmokeCheck> {
    let (checks, findings) = parse_smoke(text, &[]);
    checks.unwrap_or_else(|| panic!("{findings:?}"))
}

fn steps_of(check: &SmokeCheck) -> &[HttpStep] {
    let SmokeKind::Http(steps) = &check.kind else { panic!("{check:?}") };
    steps
}

#[test]
fn a_wrong_json_path_is_told_at_its_place_with_the_mend() {
    let text = r#"
[[checks]]
name = "the queue"
path = "/approvals"
expect_json = [{ path = "$.items[?@.state = 'open']", count = 1 }, { path = "items[0]" }]
capture = { id = "$.items[0", Id = "$.id", run = "$.run" }
"#;
    assert_snapshot!(told_of_file(text), @r#"
    4:42: error: `$.items[?@.state = 'open']` is no JSONPath: in long-hand segment, expected closing ']'
      hint: compare with `==`: `$.items[?@.state == 'open']`
    4:77: error: `items[0]` is no JSONPath: parser error
      hint: a path begins with `$`: `$.items[0]`
    5:27: error: `$.items[0` is no JSONPath: in long-hand segment, expected closing ']'
      hint: write it as RFC 9535 says, for example `$.items[0].id` or `$.items[?@.state == 'open']`
    5:36: error: `checks.capture.Id` cannot be the name of a variable
      hint: use small letters, digits and underscores, and a name that no run brings itself
    5:50: error: `checks.capture.run` cannot be the name of a variable
      hint: use small letters, digits and underscores, and a name that no run brings itself
    "#);
}

#[test]
fn everything_that_is_wrong_with_a_file_is_told_at_once() {
    let text = r#"
[[checks]]
name = "taken"
path = "health"
kind = "htpp"
environments = ["stagign"]
expect_json = [{ path = "$.a", equals = 1, count = 2 }]

[[checks]]
name = "two"
[[checks.steps]]
name = "one"
path = "/orders/{order}"
sign = { secret = "the secret itself", header = "bad header" }
[[checks.steps]]
name = "one"
body = "{rum}"
pathh = "/x"

[[checks]]
name = "two"
kind = "mcp"
arguments = 3

[[checks]]
name = "run"
kind = "command"
command = []
within = "1h"
"#;
    assert_snapshot!(told_of_file(text), @r#"
    2:8: error: the service has a smoke check called `taken` already
      hint: rename one of the two; the other is in another file of the same service
    3:8: error: `health` is no path of a request
      hint: begin it with `/` and write spaces as `%20`; the host comes from the app
    4:8: error: `checks.kind` names `htpp`, which is no kind of check
      hint: did you mean `http`?
    5:17: error: `checks.environments` names `stagign`, which is no environment
      hint: did you mean `staging`?
    6:16: error: an expectation has one rule, and this one has several
      hint: keep one of `equals`, `contains`, `count` and `exists`, and write one expectation for each
    12:8: error: nothing is known as `{order}` here
      hint: capture it in an earlier step; known here are `{run}`, `{run_number}`, `{environment}`. If it is no variable, write `{ order }`
    13:19: error: `secret` names the environment variable that holds the secret, and this is no name of one
      hint: use letters, digits and underscores; the secret itself never stands in a file
    13:49: error: `bad header` cannot be the name of a header
      hint: use letters, digits and hyphens, as in `x-signature`
    14:1: error: `path` is missing in `checks.steps`
      hint: add for example `path = "/health"`
    15:8: error: there are two steps called `one`
      hint: rename or remove one of them; the first is on line 11
    16:8: error: nothing is known as `{rum}` here
      hint: did you mean `{run}`?
    17:1: error: unknown key `pathh` in `checks.steps`
      hint: did you mean `path`?
    19:1: error: `tool` is missing in `checks`
      hint: add for example `tool = "search"`
    20:8: error: there are two smoke checks called `two`
      hint: rename or remove one of them; the first is on line 9
    22:13: error: `checks.arguments` must be a table
      hint: write for example `arguments = { query = "…" }`
    27:11: error: `checks.command` is empty
      hint: name the program and its arguments
    28:10: error: `checks.within` is `1h`, which is out of range
      hint: use 1ms to 5m
    "#);
}

#[test]
fn a_file_without_checks_is_told() {
    assert_snapshot!(told_of_file("[[check]]\n"), @"
    1:1: error: the file has no checks, so that nothing would be asked
      hint: add a `[[checks]]` table with `name` and `path`, or remove the file
    1:3: error: unknown table or key `check`
      hint: did you mean `checks`?
    ");
    assert_snapshot!(told_of_file(""), @"
    1:1: error: the file has no checks, so that nothing would be asked
      hint: add a `[[checks]]` table with `name` and `path`, or remove the file
    ");
}

#[test]
fn what_a_step_captures_is_known_to_the_steps_after_it_and_to_no_other_check() {
    let text = r#"
[[checks]]
name = "an order is found again"
environments = ["staging"]
[[checks.steps]]
name = "places it"
method = "POST"
path = "/orders"
headers = { authorization = "Bearer {env:API_TOKEN}" }
body = '{"key":"{run}"}'
expect_status = 201
capture = { order = "$.id" }
[[checks.steps]]
name = "finds it"
path = "/orders/{order}"
p95 = "200ms"
retry_for = "5s"
expect_json = [{ path = "$.key", equals = "{run}" }]
"#;
    let checks = checks_of(text);
    let steps = steps_of(&checks[0]);
    assert_eq!((steps[1].samples, steps[1].p95_ms, steps[1].retry_for_ms), (20, Some(200), 5000));
    assert!(!checks[0].applies_to(Environment::Production));
    assert_eq!(checks[0].secrets().into_iter().collect::<Vec<_>>(), ["API_TOKEN"]);
    assert_eq!(checks[0].question(), None);
    let other = format!("{text}[[checks]]\nname = \"other\"\npath = \"/orders/{{order}}\"\n");
    assert_snapshot!(told_of_file(&other), @"
    20:8: error: nothing is known as `{order}` here
      hint: capture it in an earlier step; known here are `{run}`, `{run_number}`, `{environment}`. If it is no variable, write `{ order }`
    ");
}

#[test]
fn an_approval_flow_needs_no_more_than_its_name() {
    let checks = checks_of("[[checks]]\nname = \"flow\"\nkind = \"approval-flow\"\n");
    let steps = steps_of(&checks[0]).iter();
    let asked: Vec<String> =
        steps.map(|step| format!("{}: {} {}", step.name, step.method, step.path)).collect();
    assert_snapshot!(asked.join("\n"), @"
    posts a message: POST /webhooks/chatwoot
    finds it in the queue: GET /approvals?state=pending&conversation_id={run_number}
    approves it: POST /approvals/{id}/approve
    sees it sent once: GET /approvals/{id}/audit
    posts it again: POST /webhooks/chatwoot
    sees it still sent once: GET /approvals/{id}/audit
    finds nothing new in the queue: GET /approvals?state=pending&conversation_id={run_number}
    ");
}

#[test]
fn a_flow_on_one_machine_keeps_to_it_and_a_told_step_replaces_what_it_tells() {
    let text = r#"
[[checks]]
name = "flow"
kind = "approval-flow"
machine = "$.machine_id"
post = { path = "/messages", sign = { secret = "KEY", header = "X-Hub-Signature-256" } }
queue = { capture = { id = "$.waiting[?@.message == {run_number}].id" } }
approve = { body = '{"id":"{id}"}' }
"#;
    let checks = checks_of(text);
    let steps = steps_of(&checks[0]);
    assert_eq!(steps[0].path, "/messages");
    assert_eq!(steps[4].path, "/messages");
    assert_eq!(steps[4].sign, steps[0].sign);
    let machines: Vec<_> =
        steps.iter().map(|step| step.headers.contains_key("fly-force-instance-id")).collect();
    assert_eq!(machines, [false, true, true, true, true, true, true]);
    assert_eq!(checks[0].secrets().into_iter().collect::<Vec<_>>(), ["KEY"]);
    let without = text.replace("approve = { body = '{\"id\":\"{id}\"}' }\n", "");
    assert_snapshot!(told_of_file(&without), @"
    1:1: error: nothing is known as `{version}` here
      hint: capture it in an earlier step; known here are `{run}`, `{run_number}`, `{environment}`, `{machine}`, `{id}`. If it is no variable, write `{ version }`
    ");
}

#[test]
fn a_service_names_its_files_or_says_nothing() {
    let smoke = |line: &str| {
        let (project, findings) = parse(&format!("{LEAST}{line}"));
        let project = project.unwrap_or_else(|| panic!("{findings:?}"));
        (project.services[0].smoke.len(), project.services[0].smoke_files.clone())
    };
    assert_eq!(smoke(""), (0, None));
    assert_eq!(smoke("smoke = []\n"), (0, Some(vec![])));
    let files = vec!["smoke/a.toml".to_owned()];
    let mixed = "smoke = [\"smoke/a.toml\", { name = \"up\", path = \"/\" }]\n";
    assert_eq!(smoke(mixed), (1, Some(files)));
    assert_eq!(smoke("[[services.smoke]]\nname = \"up\"\npath = \"/\"\n"), (1, Some(vec![])));
    assert_snapshot!(told_after_least("smoke = [3, \"a\", \"a\"]\n"), @r#"
    14:10: error: `services.smoke` must be a table, but it is a whole number
      hint: write `smoke = ["smoke/NAME.toml"]`, or each check as `[[services.smoke]]`
    14:18: error: there are two smoke files called `a`
      hint: rename or remove one of them; the first is on line 14
    "#);
    assert_snapshot!(told_after_least("smoke = \"a\"\n"), @r#"
    14:9: error: `services.smoke` must be a list, but it is text
      hint: write `smoke = ["smoke/NAME.toml"]`, or each check as `[[services.smoke]]`
    "#);
}

#[test]
fn the_smoke_files_of_every_example_are_read_without_a_finding() {
    for (path, text) in examples() {
        let project = parse(&text).0.unwrap();
        for service in &project.services {
            for file in service.smoke_files.iter().flatten() {
                let file = std::path::Path::new(&path).with_file_name(file);
                let text = std::fs::read_to_string(&file).unwrap();
                let (checks, findings) = parse_smoke(&text, &[]);
                assert_eq!(findings, [], "{}", file.display());
                let questions = checks.iter().flatten().filter_map(SmokeCheck::question).count();
                assert!(questions > 0, "a rehearsal has nothing to ask: {}", file.display());
            }
        }
    }
}
