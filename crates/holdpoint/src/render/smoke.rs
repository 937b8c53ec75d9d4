//! How smoke checks went, as a table for people.

use std::time::Duration;

use super::time::human;
use crate::adapter::smoke::{CheckReport, Target};

/// The longest name of a step that widens the column.
const STEP_COLUMNS_MAX: usize = 40;

/// One service: each check with its steps, and below a step that failed what came and what may
/// mend it.
pub fn table(target: &Target, reports: &[CheckReport]) -> String {
    let steps = reports.iter().flat_map(|report| &report.steps);
    let longest = steps.map(|step| step.step.chars().count()).max().unwrap_or_default();
    let width = longest.min(STEP_COLUMNS_MAX);
    let mut lines = vec![format!("{} in {} ({})", target.service, target.environment, target.app)];
    for report in reports {
        lines.push(format!("  {}", report.check));
        for step in &report.steps {
            let took = human(Duration::from_millis(step.took_ms));
            let result = if step.passed { "ok  " } else { "FAIL" };
            let found = if step.passed { step.found.as_str() } else { "" };
            let line = format!("    {result}  {:<width$}  {took:>8}  {found}", step.step);
            lines.push(line.trim_end().to_owned());
            if !step.passed {
                lines.push(format!("            asked: {}", step.asked));
                lines.push(format!("            came:  {}", step.found));
                lines.extend(step.hint.iter().map(|hint| format!("            hint:  {hint}")));
            }
        }
        let left = report.not_asked.iter();
        lines.extend(
            left.map(|step| format!("    -     {step:<width$}  not asked").trim_end().to_owned()),
        );
    }
    lines.push(String::new());
    lines.join("\n")
}

/// How many checks passed.
pub fn summary<'a>(reports: impl Iterator<Item = &'a CheckReport>) -> String {
    let (passed, failed): (Vec<&CheckReport>, Vec<&CheckReport>) =
        reports.partition(|report| report.passed);
    let all = passed.len() + failed.len();
    let noun = if all == 1 { "check" } else { "checks" };
    if failed.is_empty() {
        return format!("{all} {noun} passed\n");
    }
    format!("{} of {all} {noun} failed\n", failed.len())
}

#[cfg(test)]
mod tests {
    use holdpoint_core::id::{AppName, Environment};

    use super::*;
    use crate::adapter::smoke::StepReport;

    fn step(name: &str, passed: bool, found: &str) -> StepReport {
        StepReport {
            step: name.to_owned(),
            passed,
            asked: "GET /orders/7 of `shop`".to_owned(),
            found: found.to_owned(),
            hint: (!passed).then(|| "`holdpoint logs shop` shows what its machines say".to_owned()),
            took_ms: 12,
        }
    }

    #[test]
    fn a_failed_step_shows_what_was_asked_what_came_and_the_mend() {
        let target = Target {
            service: "web".to_owned(),
            environment: Environment::Staging,
            app: AppName::new("shop"),
        };
        let reports = [
            CheckReport {
                check: "answers".to_owned(),
                passed: true,
                steps: vec![step("answers", true, "status 200")],
                not_asked: vec![],
            },
            CheckReport {
                check: "an order is found".to_owned(),
                passed: false,
                steps: vec![
                    step("places it", true, "status 201"),
                    step("finds it", false, "status 404, not 200: no such order"),
                ],
                not_asked: vec!["cancels it".to_owned()],
            },
        ];
        let text = table(&target, &reports) + &summary(reports.iter());
        insta::assert_snapshot!(text, @"
        web in staging (shop)
          answers
            ok    answers       12 ms  status 200
          an order is found
            ok    places it     12 ms  status 201
            FAIL  finds it      12 ms
                    asked: GET /orders/7 of `shop`
                    came:  status 404, not 200: no such order
                    hint:  `holdpoint logs shop` shows what its machines say
            -     cancels it  not asked
        1 of 2 checks failed
        ");
    }
}
