//! Checks as text: what was looked at, what is wrong, how to mend it, and who may waive it.

use holdpoint_core::effect::{CheckResult, Evidence, Outcome};
use holdpoint_core::preflight::{CheckKind, Standing, Waiver};
use jiff::Timestamp;

use super::time::LocalTime;

/// A name that is longer than this pushes its line apart, and no other.
const NAME_WIDTH_MAX: usize = 40;

/// What the checks of an outcome that failed say, and their mends; nothing for other outcomes.
pub(super) fn failed_lines(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Done(Evidence::Checks(checks)) => failed_and_mends(checks),
        Outcome::Done(_) | Outcome::Refused(_) | Outcome::Failed(_) | Outcome::Unknown => {
            Vec::new()
        }
    }
}

/// Those of these checks that failed, each with its mend and who may waive it.
pub(super) fn failed_and_mends(checks: &[CheckResult]) -> Vec<String> {
    let failed = checks.iter().filter(|check| !check.passed);
    failed
        .flat_map(|check| {
            let mut lines = vec![format!("  ✖ {}: {}", check.name, check.detail)];
            lines.extend(mends(check));
            lines
        })
        .collect()
}

/// How to mend a check that failed, and how to waive it.
fn mends(check: &CheckResult) -> Vec<String> {
    let mend = check.hint.iter().map(|hint| format!("      mend: {hint}"));
    let roles = CheckKind::of(&check.name).map_or([].as_slice(), CheckKind::waivable_by);
    let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let waive = format!(
        "      or waive it as {}: `holdpoint waive {} --reason … --until …`",
        roles.join(" or "),
        check.name
    );
    mend.chain((!roles.is_empty()).then_some(waive)).collect()
}

/// Who waived something, until when and why.
pub fn waived(waiver: &Waiver, time: &LocalTime, now: Timestamp) -> String {
    let word = if now < waiver.until { "waived" } else { "no longer waived: it was" };
    format!(
        "{word} by {} as {} until {}: {}",
        waiver.person,
        waiver.role,
        time.until(waiver.until, now),
        waiver.reason
    )
}

/// A table of checks, all waivers heard: one line each, and what mends those that don't hold.
pub fn table(checks: &[(CheckResult, Standing)], time: &LocalTime, now: Timestamp) -> String {
    let widths = checks.iter().map(|(check, _)| check.name.chars().count());
    let width = widths.max().unwrap_or(0).min(NAME_WIDTH_MAX);
    let mut text = String::new();
    for (check, standing) in checks {
        let mark = match standing {
            Standing::Passed => '✔',
            Standing::Waived(_) => '~',
            Standing::Failed(_) => '✖',
        };
        let CheckResult { name, detail, took_ms, .. } = check;
        let took = format!("{took_ms} ms");
        let mut lines = vec![format!("{mark} {name:width$}  {took:>8}  {detail}")];
        match standing {
            Standing::Passed => {}
            Standing::Waived(waiver) => lines.push(format!("      {}", waived(waiver, time, now))),
            Standing::Failed(objections) => {
                lines.extend(objections.iter().map(|why| format!("      no waiver: {why}")));
                lines.extend(mends(check));
            }
        }
        lines.push(String::new());
        text.push_str(&lines.join("\n"));
    }
    text
}

/// The table's last line.
pub fn summary(checks: &[(CheckResult, Standing)]) -> String {
    let number = |wanted: fn(&Standing) -> bool| {
        checks.iter().filter(|(_, standing)| wanted(standing)).count()
    };
    let passed = number(|standing| matches!(standing, Standing::Passed));
    let waived = number(|standing| matches!(standing, Standing::Waived(_)));
    let failed = number(|standing| matches!(standing, Standing::Failed(_)));
    format!("pre-flight: {passed} passed, {waived} waived, {failed} failed\n")
}
