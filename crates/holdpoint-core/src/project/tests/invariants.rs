//! What must stay as it is: every setting, and what is told of bad ones.

use insta::assert_snapshot;

use super::*;

#[test]
fn every_setting_of_an_invariant_is_read_and_has_a_default() {
    let invariants = "[[gates.invariants]]\nname = \"orders\"\nservice = \"api\"\ncommand = [\"count\", \"orders\"]\n\
        [[gates.invariants]]\nname = \"users\"\nservice = \"api\"\nenvironments = [\"staging\"]\ncommand = [\"count\"]\n\
        must = { min = 0, falls_at_most = 2.5 }\nevery = \"1m\"\ntimeout = \"2s\"\n";
    let (project, findings) = parse(&format!("{LEAST}{invariants}"));
    assert_eq!(findings, []);
    let read = project.unwrap().gates.invariants;
    let lines: Vec<String> = read.iter().map(|one| format!("{one:?}")).collect();
    assert_snapshot!(lines.join("\n"), @r#"
    Invariant { name: "orders", service: "api", environments: [Production], command: ["count", "orders"], must: Stay, every_secs: 30, timeout_secs: 10 }
    Invariant { name: "users", service: "api", environments: [Staging], command: ["count"], must: Lie(Limits { min: Some(0.0), max: None, falls_at_most: Some(2.5), rises_at_most: None }), every_secs: 60, timeout_secs: 2 }
    "#);
}

#[test]
fn bad_invariants_are_told_all_at_once() {
    let told = told_after_least(
        "[[gates.invariants]]\nname = \"a\"\nservice = \"apu\"\ncommand = []\nmust = \"say\"\n\
         [[gates.invariants]]\nname = \"b\"\nservice = \"api\"\ncommand = [\"count\"]\nmust = {}\nevery = \"2h\"\n\
         [[gates.invariants]]\nname = \"c\"\nservice = \"api\"\nenvironments = [\"prod\"]\nmust = { min = 3, max = 2, falls_at_most = \"no\" }\n",
    );
    for problem in [
        "16:11: error: `service` is `apu`, which the project does not have",
        "17:11: error: `gates.invariants.command` is empty",
        "names `say`, which is no rule",
        "`must` has no limit",
        "`gates.invariants.every` is `2h`, which is out of range",
        "`command` is missing in `gates.invariants`",
        "names `prod`, which is no environment",
        "`min` is 3 and above `max`, 2",
        "falls_at_most` is no number",
    ] {
        assert!(told.contains(problem), "{problem} is not in\n{told}");
    }
}
