//! `holdpoint check`: everything that is wrong with the project's files, each with its place and
//! its mend.

use holdpoint_core::project::Severity;

use crate::cli::arguments::Reading;
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};
use crate::project_file;
use crate::settings::Settings;

pub(super) fn check(settings: &Settings, reading: Reading) -> Result<ExitCode, Problem> {
    let checked = project_file::check(&settings.project_file)?;
    let exit = if checked.is_refused() { ExitCode::Usage } else { ExitCode::Done };
    if reading.json {
        message::print(&format!("{}\n", serde_json::to_string_pretty(&checked.findings)?));
        return Ok(exit);
    }
    message::tell(&checked.excerpts());
    let (errors, warnings) = (checked.count(Severity::Error), checked.count(Severity::Warning));
    let found = format!("{}, {}", counted(errors, "error"), counted(warnings, "warning"));
    let files = counted(checked.files, "file");
    message::print(&match &checked.project {
        Some(project) if errors == 0 => {
            let services = counted(project.services.len(), "service");
            format!("{}: {services}, {found} in {files}\n", project.title)
        }
        Some(_) | None => format!("{found} in {files}\n"),
    });
    Ok(exit)
}

fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}
