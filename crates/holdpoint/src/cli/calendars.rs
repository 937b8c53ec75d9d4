//! The company's calendars as they are when a verb begins: read before a release starts, so that
//! one that is not understood is told then and not at the hold point.

use std::path::Path;

use holdpoint_core::calendar::{CalendarReading, KnownCalendars};
use holdpoint_core::project::{CalendarSource, CompanyCalendar, Project, WhenUnreadable};
use jiff::Timestamp;

use crate::adapter::company_calendar::{CalendarReader, Unreadable};
use crate::exit_code::ExitCode;
use crate::message::Problem;

/// Reads every calendar of the project.
///
/// # Errors
/// When one can't be read that must be known.
pub(super) async fn read_all(
    project: &Project,
    project_root: &Path,
    now: Timestamp,
) -> Result<Vec<(String, CalendarReading)>, Problem> {
    let reader = CalendarReader::new(project, project_root);
    let mut readings = Vec::new();
    for calendar in &project.calendar.events {
        let reading = match reader.read(calendar, now).await {
            Ok(events) => CalendarReading::Read(events),
            Err(unreadable) if calendar.when_unreadable == WhenUnreadable::Hold => {
                return Err(problem(calendar, unreadable));
            }
            Err(unreadable) => CalendarReading::Failed(unreadable.to_string()),
        };
        readings.push((calendar.name.clone(), reading));
    }
    Ok(readings)
}

/// What is known of the calendars after they were read again now. Here nothing is refused: what
/// can't be read is told as what closes production.
pub(super) async fn refresh(
    known: &mut KnownCalendars,
    project: &Project,
    project_root: &Path,
    now: Timestamp,
) {
    let reader = CalendarReader::new(project, project_root);
    for calendar in &project.calendar.events {
        let reading = reader.reading(calendar, now).await;
        known.entry(calendar.name.clone()).or_default().learn(now, &reading);
    }
}

fn problem(calendar: &CompanyCalendar, unreadable: Unreadable) -> Problem {
    let name = &calendar.name;
    let source = match &calendar.source {
        CalendarSource::File(file) => format!(" in `{file}`"),
        CalendarSource::Url(_) => String::new(),
    };
    let sentence = format!("cannot read the company's calendar `{name}`{source}");
    let problem = Problem::new(ExitCode::Usage, sentence).cause(unreadable.to_string());
    let problem = match unreadable.hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    };
    problem.hint(format!(
        "or release without it: write `when_unreadable = \"ignore\"` for calendar `{name}`"
    ))
}
