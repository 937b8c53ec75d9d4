//! People, their approvals, and the gates' thresholds.

use insta::assert_snapshot;

use super::*;

#[test]
fn bad_shares_and_numbers_are_refused() {
    assert_snapshot!(
        told_after_least(
            "[gates]\nerror_rate = { warn = 1, critical = 5, minimum_requests = 0 }\nmemory = { warn = nan, critical = \"85%\" }\nlatency_p95 = { warn = \"1us\", minimum_requests = -1 }\n"
        ),
        @r"
    15:37: error: `gates.error_rate.critical` is 5, and a share lies between 0 and 1
      hint: write 5 % as `critical = 0.05`
    15:59: error: `gates.error_rate.minimum_requests` is 0, which is out of range
      hint: use 1 to 1000000
    16:19: error: `gates.memory.warn` is nan, and a share lies between 0 and 1
      hint: write 5 % as `warn = 0.05`
    16:35: error: `gates.memory.critical` must be a share between 0 and 1, but it is text
      hint: write for example `critical = 0.05`
    17:24: error: `gates.latency_p95.warn` is `1us`, which is finer than a millisecond
      hint: write a whole number of milliseconds
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
fn roles_are_checked() {
    assert_snapshot!(told_with("\"engineer\", \"manager\"", "\"enginer\", \"manager\", \"manager\", 3"), @r#"
    7:10: error: `people.roles` names `enginer`, which is no role
      hint: did you mean `engineer`?
    7:32: error: `people.roles` names `manager` twice
      hint: remove one of the two
    7:43: error: `people.roles` is a list of text, but this entry is a whole number
      hint: write for example `"…"`
    "#);
    assert_snapshot!(told_with("[\"engineer\", \"manager\"]", "[]"), @r"
    7:9: error: `people.roles` is empty
      hint: name at least one role: `engineer`, `manager` or `reliability`
    ");
}

#[test]
fn approvals_must_be_possible() {
    assert_snapshot!(told_after_least("[production]\napprovals = []\n"), @r"
    15:13: error: `production.approvals` is empty
      hint: name at least one role: `engineer`, `manager` or `reliability`
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
      hint: rename or remove one of them; the first is on line 6
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
