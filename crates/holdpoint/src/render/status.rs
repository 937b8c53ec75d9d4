//! `holdpoint status` as text. It answers, in this order: what is happening, is it bad, what
//! comes next and when, who must act, how to stop it.

use holdpoint_core::event::Ending;
use holdpoint_core::gate::Verdict;
use holdpoint_core::id::Course;
use holdpoint_core::view::{ReleaseStatus, Status, StepStatus, StepWord};

use super::checks;
use super::time::LocalTime;

/// The status as lines of text.
pub fn status(status: &Status, time: &LocalTime) -> String {
    let mut lines = vec![format!("at {}", time.full(status.at))];
    match &status.release {
        None => lines.push("nothing was released yet".to_owned()),
        Some(release) => release_lines(release, status, time, &mut lines),
    }
    for (incident, title) in &status.open_incidents {
        lines.push(format!("open incident {incident}: {title}"));
        lines.push(format!(
            "  close it with `holdpoint incident close {incident} --resolution …`; until then \
             production is held"
        ));
    }
    for unread in &status.unread_calendars {
        let since = time.full(unread.since);
        let (calendar, problem) = (&unread.calendar, &unread.problem);
        lines.push(format!("calendar `{calendar}` can't be read since {since}: {problem}"));
        lines.push(match unread.holds_from {
            Some(from) if from > status.at => {
                format!("  production is held for that from {}", time.full(from))
            }
            Some(_) => "  production is held until it can".to_owned(),
            None => "  production goes on without it".to_owned(),
        });
    }
    if let Some(release) = status.held_by {
        lines.push(format!(
            "new releases are held since {release} was rolled back: let them start again with \
             `holdpoint continue`"
        ));
    }
    if status.messages_waiting > 0 {
        lines.push(format!("{} messages are still to be delivered", status.messages_waiting));
    }
    for (to, trouble) in &status.delivery_troubles {
        lines.push(format!(
            "`{to}` takes no messages since {}, {} given up: {}",
            time.full(trouble.since),
            trouble.lost,
            trouble.reason
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn release_lines(
    release: &ReleaseStatus,
    status: &Status,
    time: &LocalTime,
    lines: &mut Vec<String>,
) {
    let rehearsal = if release.rehearsal { ", a rehearsal" } else { "" };
    lines.push(format!(
        "{} of {} by {}{rehearsal}: {}",
        release.id,
        release.version,
        release.author,
        word(release)
    ));
    lines.push(format!("plan {}", release.plan.short()));
    if let Some(reason) = &release.rollback_reason {
        lines.push(format!("rolls back because {reason}"));
    }
    lines.push(String::new());
    lines.extend(release.steps.iter().map(|step| step_line(step, time)));
    lines.extend(check_lines(release, status, time));
    let watched = release.verdicts.iter().map(|verdict| verdict_line(verdict, status, time));
    let watched: Vec<String> = watched.collect();
    if !watched.is_empty() {
        lines.push(String::new());
        lines.extend(watched);
    }
    if release.ended.is_none() {
        lines.push(String::new());
        lines.extend(next_lines(release, status, time));
    }
}

fn word(release: &ReleaseStatus) -> String {
    match (&release.ended, release.course) {
        (Some((_, Ending::Released)), _) => "released".to_owned(),
        (Some((_, Ending::RolledBack)), _) => "rolled back".to_owned(),
        (Some((_, Ending::Refused { reason })), _) => {
            format!("refused, nothing was changed: {reason}")
        }
        (None, Course::Forward) => "under way".to_owned(),
        (None, Course::Back) => "rolling back".to_owned(),
    }
}

fn step_line(step: &StepStatus, time: &LocalTime) -> String {
    let clock =
        |at: Option<jiff::Timestamp>| at.map_or_else(|| "        ".to_owned(), |at| time.clock(at));
    let (mark, at) = match step.word {
        StepWord::Planned => (' ', step.started_at),
        StepWord::Running => ('▸', step.started_at),
        StepWord::Passed => ('✔', step.passed_at),
        StepWord::Abandoned => ('✖', step.started_at),
    };
    let word = match step.word {
        StepWord::Planned => "planned",
        StepWord::Running => "under way",
        StepWord::Passed => "passed",
        StepWord::Abandoned => "given up",
    };
    format!("  {}  {mark} {:<40} {word}", clock(at), step.name)
}

/// What pre-flight waits for, and what stands in nobody's way.
fn check_lines(release: &ReleaseStatus, status: &Status, time: &LocalTime) -> Vec<String> {
    let mut lines = Vec::new();
    if !(release.failed_checks.is_empty() && release.waivers.is_empty()) {
        lines.push(String::new());
    }
    lines.extend(checks::failed_and_mends(&release.failed_checks));
    let waivers = release.waivers.iter();
    lines.extend(waivers.map(|waiver| {
        format!("  ~ {}: {}", waiver.check, checks::waived(waiver, time, status.at))
    }));
    lines
}

fn verdict_line(verdict: &Verdict, status: &Status, time: &LocalTime) -> String {
    let finding = verdict.finding();
    match verdict {
        Verdict::Pass(_) => format!("  good           {finding}"),
        Verdict::Fail(_) => format!("  breached       {finding}"),
        Verdict::Wait { until: Some(until), .. } => {
            format!("  bad            {finding}; a breach at {}", time.until(*until, status.at))
        }
        Verdict::Wait { until: None, .. } => format!("  warning        {finding}"),
        Verdict::Inconclusive(_) => format!("  not enough     {finding}"),
    }
}

fn next_lines(release: &ReleaseStatus, status: &Status, time: &LocalTime) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(reason) = &release.waits_for {
        lines.push(format!("waits for {reason}"));
    }
    if let Some(next) = release.next_at {
        lines.push(format!("next look at {}", time.until(next, status.at)));
    }
    for role in &release.missing_approvals {
        lines.push(format!(
            "wants approval by {role}: `holdpoint approve --plan {} --role {role}`",
            release.plan.short()
        ));
    }
    let stop = match release.course {
        Course::Forward => {
            "stop it with `holdpoint halt --reason …`, undo it with `holdpoint rollback --reason …`"
        }
        Course::Back => "stop it with `holdpoint halt --reason …`",
    };
    lines.push(stop.to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use holdpoint_core::effect::CheckResult;
    use holdpoint_core::id::{PlanDigest, ReleaseId};
    use holdpoint_core::preflight::Waiver;
    use holdpoint_core::project::Role;
    use holdpoint_core::view::UnreadCalendar;
    use jiff::Timestamp;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn waiting() -> Status {
        let step = |name: &str, word, started: Option<&str>, passed: Option<&str>| StepStatus {
            course: Course::Forward,
            name: name.to_owned(),
            word,
            started_at: started.map(at),
            passed_at: passed.map(at),
        };
        let release = ReleaseStatus {
            id: ReleaseId(3),
            version: "1.4.0".to_owned(),
            author: "ada".to_owned(),
            rehearsal: false,
            started_at: at("2026-12-01T15:00:00Z"),
            ended: None,
            course: Course::Forward,
            rollback_reason: None,
            plan: PlanDigest::new("sha256:0123456789abcdef"),
            steps: vec![
                step(
                    "staging soak",
                    StepWord::Passed,
                    Some("2026-12-01T15:00:00Z"),
                    Some("2026-12-01T15:30:00Z"),
                ),
                step("approvals", StepWord::Running, Some("2026-12-01T15:30:00Z"), None),
                step("production window", StepWord::Planned, None, None),
            ],
            waits_for: Some(holdpoint_core::engine::WaitReason::Approvals {
                roles: vec![Role::Manager],
            }),
            next_at: None,
            missing_approvals: vec![Role::Manager],
            failed_checks: Vec::new(),
            waivers: Vec::new(),
            verdicts: Vec::new(),
        };
        Status {
            at: at("2026-12-01T15:31:00Z"),
            release: Some(release),
            open_incidents: Vec::new(),
            held_by: None,
            messages_waiting: 0,
            delivery_troubles: BTreeMap::new(),
            unread_calendars: Vec::new(),
        }
    }

    #[test]
    fn a_calendar_that_cannot_be_read_says_what_that_means_for_production() {
        let unread = |holds_from: Option<&str>| Status {
            release: None,
            unread_calendars: vec![UnreadCalendar {
                calendar: "company".to_owned(),
                since: at("2026-12-01T15:20:00Z"),
                problem: "line 3: the event has no `DTSTART`".to_owned(),
                holds_from: holds_from.map(at),
            }],
            ..waiting()
        };
        let zone = LocalTime::named("America/Chicago");
        let texts = [Some("2026-12-01T16:00:00Z"), Some("2026-12-01T15:00:00Z"), None];
        let texts = texts.map(|holds_from| status(&unread(holds_from), &zone));
        insta::assert_snapshot!(texts.join("\n"));
    }

    #[test]
    fn a_waiting_release_says_who_must_act_and_how() {
        let text = status(&waiting(), &LocalTime::named("America/Chicago"));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_release_that_waits_for_pre_flight_says_what_failed_and_how_to_mend_or_waive_it() {
        let mut waiting = waiting();
        let release = waiting.release.as_mut().expect("a release");
        release.missing_approvals.clear();
        release.waits_for = Some(holdpoint_core::engine::WaitReason::Halted {
            by: None,
            reason: "pre-flight does not hold: drill: it was never tried".to_owned(),
        });
        release.failed_checks = vec![CheckResult {
            name: "drill".to_owned(),
            passed: false,
            detail: "it was never tried".to_owned(),
            hint: Some("`holdpoint drill rollback`".to_owned()),
            took_ms: 3,
        }];
        release.waivers = vec![Waiver {
            check: "notes".to_owned(),
            person: "grace".to_owned(),
            role: Role::Manager,
            reason: "they are printed".to_owned(),
            until: at("2026-12-01T18:00:00Z"),
        }];
        insta::assert_snapshot!(status(&waiting, &LocalTime::named("America/Chicago")));
    }

    #[test]
    fn before_the_first_release_there_is_nothing_to_tell() {
        let empty = Status { release: None, ..waiting() };
        let text = status(&empty, &LocalTime::named("America/Chicago"));
        insta::assert_snapshot!(text, @r"
        at Tue 2026-12-01 09:31 CST
        nothing was released yet
        ");
    }
}
