//! The summary of a rehearsal: every step with its time, what clients measured, how fast the bad
//! version was caught and gone, and whether everything went as it should.

use std::time::Duration;

use holdpoint_core::event::Ending;

use super::measure::{count, latency, percent, share_percent};
use super::time::{LocalTime, human};
use crate::rehearsal::report::{BreachReport, ReleaseReport, Report, ServiceReport};

/// How many reasons for failed requests are told per service.
const REASONS_MAX: usize = 3;

/// The summary as text.
pub fn report(report: &Report, time: &LocalTime) -> String {
    let mut lines = vec![String::new(), format!("summary of the rehearsal of {}", report.title)];
    for release in &report.releases {
        lines.push(String::new());
        lines.extend(release_lines(release, time));
    }
    if let Some(breach) = &report.breach {
        lines.push(String::new());
        lines.extend(breach_lines(breach, time));
    }
    lines.push(String::new());
    for expectation in &report.expectations {
        let mark = if expectation.met { "✔ yes" } else { "✖ no " };
        lines.push(format!("{mark}  {}", expectation.text));
    }
    lines.push(String::new());
    lines.push(if report.is_as_it_should() {
        "everything went as it should".to_owned()
    } else {
        "not everything went as it should".to_owned()
    });
    lines.push(String::new());
    lines.join("\n")
}

fn release_lines(release: &ReleaseReport, time: &LocalTime) -> Vec<String> {
    let word = match &release.ending {
        Some(Ending::Released) => "released",
        Some(Ending::RolledBack) => "rolled back",
        Some(Ending::Refused { .. }) => "refused",
        None => "not ended",
    };
    let mut lines = vec![format!("{} {word}, in {}", release.version, human(release.took))];
    lines.push(format!("  {:<44} {:>10} {:>14}", "step", "clock", "took"));
    for step in &release.steps {
        let took = step.took.map_or_else(|| "given up".to_owned(), human);
        lines.push(format!("  {:<44} {:>10} {took:>14}", step.name, time.clock(step.started_at)));
    }
    lines.push(String::new());
    lines.push(format!(
        "  {:<10} {:<20} {:>9} {:>16} {:>9} {:>9} {:>9} {:>8}",
        "", "service", "requests", "failed", "P50", "P95", "P99", "memory"
    ));
    for service in &release.services {
        lines.push(service_line(service));
        lines.extend(reason_lines(service));
    }
    lines
}

fn service_line(service: &ServiceReport) -> String {
    let seen = &service.seen;
    let failed = format!("{} ({})", count(seen.failed), percent(seen.failed, seen.requests));
    let at = |span: Duration| if seen.requests == 0 { "-".to_owned() } else { latency(span) };
    let memory = service.memory_share.map_or_else(|| "-".to_owned(), share_percent);
    format!(
        "  {:<10} {:<20} {:>9} {failed:>16} {:>9} {:>9} {:>9} {memory:>8}",
        service.environment.to_string(),
        service.service.to_string(),
        count(seen.requests),
        at(seen.p50),
        at(seen.p95),
        at(seen.p99),
    )
}

fn reason_lines(service: &ServiceReport) -> Vec<String> {
    let mut reasons: Vec<(&String, &u64)> = service.seen.reasons.iter().collect();
    reasons.sort_by(|left, right| right.1.cmp(left.1));
    let single =
        if service.is_single { "; its one machine is away while it is changed" } else { "" };
    let text = |(reason, times): (&String, &u64)| {
        format!("{:33} {} times {reason}{single}", "", count(*times))
    };
    reasons.into_iter().take(REASONS_MAX).map(text).collect()
}

fn breach_lines(breach: &BreachReport, time: &LocalTime) -> Vec<String> {
    let exposure = &breach.exposure;
    let clock =
        |at: Option<jiff::Timestamp>| at.map_or_else(|| "never".to_owned(), |at| time.clock(at));
    let after = |span: Option<Duration>, what: &str| {
        span.map_or_else(String::new, |span| format!("{} after {what}", human(span)))
    };
    vec![
        format!("breach: {}", breach.finding),
        format!("  {:<44} {:>10}", "first bad answer", clock(exposure.first_failed_at)),
        format!(
            "  {:<44} {:>10}   {}",
            "breach",
            time.clock(breach.at),
            after(breach.first_bad_to_breach, "the first bad answer")
        ),
        format!(
            "  {:<44} {:>10}   {}",
            "last answer by the bad version",
            clock(exposure.last_answer_at),
            after(breach.breach_to_last, "the breach")
        ),
        format!(
            "  the bad version answered {} requests, {} of them badly",
            count(exposure.answered),
            count(exposure.failed)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use holdpoint_core::id::{Environment, ServiceName};
    use jiff::Timestamp;

    use super::*;
    use crate::rehearsal::report::{Expectation, StepReport};
    use crate::rehearsal::traffic::{Exposure, Statistics};

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn service(environment: Environment, failed: u64) -> ServiceReport {
        let reasons = BTreeMap::from([("status 500".to_owned(), failed)]);
        ServiceReport {
            environment,
            service: ServiceName::new("web"),
            seen: Statistics {
                requests: 12_480,
                failed,
                reasons: if failed == 0 { BTreeMap::new() } else { reasons },
                p50: Duration::from_micros(850),
                p95: Duration::from_micros(4_200),
                p99: Duration::from_millis(180),
            },
            memory_share: Some(0.125),
            is_single: environment == Environment::Staging,
        }
    }

    fn release(version: &str, ending: Ending, failed: u64) -> ReleaseReport {
        let step = |name: &str, took| StepReport {
            name: name.to_owned(),
            started_at: at("2026-12-01T16:00:00Z"),
            took,
        };
        ReleaseReport {
            version: version.to_owned(),
            ending: Some(ending),
            took: Duration::from_secs(81),
            steps: vec![
                step("production rollout of web", Some(Duration::from_millis(1_900))),
                step("production validation", (failed == 0).then_some(Duration::from_secs(15))),
            ],
            services: vec![
                service(Environment::Staging, failed),
                service(Environment::Production, failed),
            ],
        }
    }

    #[test]
    fn the_summary_shows_every_step_what_was_measured_and_the_verdict() {
        let summary = Report {
            title: "Shop".to_owned(),
            speed: 60,
            releases: vec![
                release("1.0.0", Ending::Released, 0),
                release("1.1.0", Ending::RolledBack, 48),
            ],
            breach: Some(BreachReport {
                finding: "error rate of web in production: errors 15/78 (19.2 %)".to_owned(),
                at: at("2026-12-01T17:21:36Z"),
                exposure: Exposure {
                    first_failed_at: Some(at("2026-12-01T17:15:37Z")),
                    last_answer_at: Some(at("2026-12-01T17:22:29Z")),
                    answered: 642,
                    failed: 127,
                },
                first_bad_to_breach: Some(Duration::from_millis(5_980)),
                breach_to_last: Some(Duration::from_millis(879)),
            }),
            expectations: vec![
                Expectation { text: "1.0.0 is released".to_owned(), met: true },
                Expectation { text: "1.1.0 is caught by a gate".to_owned(), met: false },
            ],
        };
        insta::assert_snapshot!(report(&summary, &LocalTime::named("America/Chicago")));
    }
}
