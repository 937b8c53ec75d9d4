//! What `fix` makes of a `fly.toml`: the one thing that can be meant, with comments and order kept.

use machines_api::fly_toml::{Diagnostic, Severity, check, fix};

/// The text after mending, which must then be accepted.
fn mended(text: &str) -> String {
    let fixed = fix(text, Severity::Warning);
    let errors: Vec<&Diagnostic> =
        fixed.left.iter().filter(|it| it.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{text}\n\n{}\n\n{errors:?}", fixed.text);
    let again = fix(&fixed.text, Severity::Warning);
    assert_eq!((again.edits, &again.text), (0, &fixed.text), "mending twice changes nothing");
    fixed.text
}

/// The example of the runbook that this project carries out, as it stands there.
const RUNBOOK: &str = include_str!("fixtures/runbook.fly.toml");

#[test]
fn the_example_of_the_runbook_is_refused_as_fly_refuses_it_and_mended() {
    let told: Vec<String> =
        check(RUNBOOK, Severity::Warning).diagnostics.iter().map(Diagnostic::to_string).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    16:1: `http_service.checks` is a table, but must be a list of tables
    hint: write `[[http_service.checks]]` with double brackets
    28:3: warning: `services.tcp_checks` makes a second service without ports; it does not check `[http_service]`
    hint: write `[checks.tcp]` with `type = "tcp"`
    "#);
    let text = mended(RUNBOOK);
    let expected = RUNBOOK
        .replace("[http_service.checks]", "[[http_service.checks]]")
        .replace("[[services.tcp_checks]]", "[checks.tcp]\n  type = \"tcp\"");
    assert_eq!(text, expected);
    assert_eq!(check(&text, Severity::Error).diagnostics, []);
}

#[test]
fn every_form_with_one_meaning_is_mended() {
    for (text, expected) in [
        (
            "[http_service]\nauto_stop_machines = \"true\" # idle\n",
            "[http_service]\nauto_stop_machines = true # idle\n",
        ),
        (
            "[http_service]\nauto_stop_machines = \"Stopped\"\n",
            "[http_service]\nauto_stop_machines = \"stop\"\n",
        ),
        (
            "[http_service]\nauto_start_machines = \"true\"\n",
            "[http_service]\nauto_start_machines = true\n",
        ),
        ("[http_service]\ninternal_port = \"8080\"\n", "[http_service]\ninternal_port = 8080\n"),
        (
            "[http_service.checks] # up?\npath = \"/\"\n",
            "[[http_service.checks]] # up?\npath = \"/\"\n",
        ),
        (
            "[http_service]\nchecks = { path = \"/\" } # up?\n",
            "[http_service]\nchecks = [{ path = \"/\" }] # up?\n",
        ),
        (
            "[[http_service.concurrency]]\nsoft_limit = 1\n",
            "[http_service.concurrency]\nsoft_limit = 1\n",
        ),
        (
            "[[http_service.checks]]\ninterval = 15000\n",
            "[[http_service.checks]]\ninterval = \"15s\"\n",
        ),
        (
            "[[http_service.checks]]\ninterval = \"15 sec\"\n",
            "[[http_service.checks]]\ninterval = \"15s\"\n",
        ),
        (
            "[[http_service.checks]]\nheaders = [{ name = \"A\", value = 1 }]\n",
            "[[http_service.checks]]\nheaders = { A = \"1\" }\n",
        ),
        (
            "[http_service.machine_checks]\nimage = \"a\"\n",
            "[[http_service.machine_checks]]\nimage = \"a\"\n",
        ),
        ("[vm]\nmemory_mb = \"512\"\n", "[vm]\nmemory_mb = 512\n"),
        ("[vm]\nkernel_args = \"a b\"\n", "[vm]\nkernel_args = [\"a\", \"b\"]\n"),
        ("[deploy]\nmax_unavailable = \"25%\"\n", "[deploy]\nmax_unavailable = 0.25\n"),
        ("[deploy]\nstrategy = \"blue-green\"\n", "[deploy]\nstrategy = \"bluegreen\"\n"),
        ("[restart]\npolicy = \"no\"\n", "[[restart]]\npolicy = \"never\"\n"),
        (
            "[files]\nguest_path = \"/a\"\nraw_value = \"x\"\n",
            "[[files]]\nguest_path = \"/a\"\nraw_value = \"x\"\n",
        ),
        (
            "[statics]\nguest_path = \"/a\"\nurl_prefix = \"/a\"\n",
            "[[statics]]\nguest_path = \"/a\"\nurl_prefix = \"/a\"\n",
        ),
        ("[http_service]\nprocesses = \"app\"\n", "[http_service]\nprocesses = [\"app\"]\n"),
        ("app = 1\n", "app = \"1\"\n"),
        ("[VM]\nmemory = 512\n", "[vm]\nmemory = 512\n"),
        (
            "[[mounts]]\ndestination = \"/d\"\nauto_extend_size_threshold = 80\nauto_extend_size_increment = 1\nauto_extend_size_limit = 9\n",
            "[[mounts]]\ndestination = \"/d\"\nauto_extend_size_threshold = 80\nauto_extend_size_increment = \"1gb\"\nauto_extend_size_limit = \"9gb\"\n",
        ),
        (
            "[http_service]\ninternal_port = 80\n\n# lively?\n[[services.http_checks]]\ninterval = 15000\npath = \"/\"\n",
            "[http_service]\ninternal_port = 80\n\n# lively?\n[[http_service.checks]]\ninterval = \"15s\"\npath = \"/\"\n",
        ),
    ] {
        assert_eq!(mended(text), expected, "{text}");
    }
}

#[test]
fn carriage_returns_stay() {
    let text = "[http_service]\r\ninternal_port = \"8080\"\r\n";
    assert_eq!(mended(text), "[http_service]\r\ninternal_port = 8080\r\n");
}

#[test]
fn what_may_mean_two_things_or_would_lose_a_comment_is_left_to_people() {
    for text in [
        "[[services]]\nconcurrency = 20\n",
        "[[http_service.checks]]\ninterval = 15\n",
        "[http_service]\nauto_stop_machines = \"maybe\"\n",
        "[[http_service.concurrency]]\nsoft_limit = 1\n[[http_service.concurrency]]\nsoft_limit = 2\n",
        "[http_service]\nintrenal_port = 8080\n",
        "[http_service\n",
        "[http_service.checks.alive]\npath = \"/\"\n[http_service.checks.deep]\npath = \"/deep\"\n",
        "[[http_service.checks]]\ninterval = 500000000\n",
        "[http_service]\r\nforce_https = true\ninternal_port = \"8080\"\r\n",
        "[[http_service.checks]]\nheaders = [\n  # why\n  { name = \"A\", value = \"b\" },\n]\n",
    ] {
        let fixed = fix(text, Severity::Warning);
        assert_eq!((fixed.edits, fixed.text.as_str()), (0, text));
        assert!(!fixed.left.is_empty(), "{text}");
    }
}

/// It ended in no sensible time when each key was looked for among all others.
#[test]
fn a_file_of_nothing_but_unknown_keys_is_read_to_its_end() {
    let keys: Vec<_> = (0..80_000).map(|number| format!("key{number} = 1")).collect();
    let text = keys.join("\n");
    assert_eq!(check(&text, Severity::Error).diagnostics.len(), 50);
}

#[test]
fn a_file_that_is_right_stays_as_it_is_byte_for_byte() {
    let text = "# odd   spacing\r\napp   =  'shop'\n\n\n[ http_service ]\n";
    let fixed = fix(text, Severity::Error);
    assert_eq!((fixed.edits, fixed.text.as_str(), fixed.left.as_slice()), (0, text, &[][..]));
}
