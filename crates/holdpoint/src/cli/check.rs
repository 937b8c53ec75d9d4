//! `holdpoint check`: everything that is wrong with the project's files, or with app configs that
//! no project names, each with its place and its mend; `--fix` makes the mends that can only be
//! meant in one way. Where nothing is, and a platform is chosen, pre-flight is looked at too.

use std::path::Path;

use holdpoint_core::project::Severity;
use machines_api::fly_toml;
use serde_json::json;

use crate::cli::arguments::{Check, Shared};
use crate::cli::preflight::{self, Found};
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};
use crate::project_file::{self, Checked};
use crate::settings::{PROJECT_FILE, Settings};

pub(super) async fn check(shared: &Shared, flags: &Check) -> Result<ExitCode, Problem> {
    let unknown_keys =
        if flags.strict { fly_toml::Severity::Error } else { fly_toml::Severity::Warning };
    let mut checked = look(shared, flags.path.as_deref(), unknown_keys)?;
    if flags.fix {
        checked.fix(unknown_keys)?;
    }
    let found = match &checked.project {
        Some(project) if flags.path.is_none() && !checked.is_refused() => {
            let settings = Settings::resolve(shared)?;
            Box::pin(preflight::look(&settings, project, &flags.preflight)).await?
        }
        Some(_) | None => None,
    };
    let exit = if checked.is_refused() {
        ExitCode::Usage
    } else {
        found.as_ref().map_or(ExitCode::Done, Found::exit)
    };
    if flags.reading.json {
        let mut document = json!({
            "files": checked.files,
            "findings": checked.findings,
            "corrections": checked.corrections,
            "fixed": flags.fix,
        });
        if let (Some(found), Some(fields)) = (&found, document.as_object_mut()) {
            fields.insert("preflight".to_owned(), found.json());
        }
        message::print(&format!("{}\n", serde_json::to_string_pretty(&document)?));
        return Ok(exit);
    }
    message::tell(&checked.excerpts());
    let diffs: String = checked.corrections.iter().map(|it| it.diff.as_str()).collect();
    if flags.fix {
        message::print(&diffs);
    } else if !diffs.is_empty() {
        message::tell(&format!("{diffs}\nhint: `holdpoint check --fix` writes this\n\n"));
    }
    message::print(&summary(&checked, flags.fix));
    if let Some(found) = found {
        found.print();
    }
    Ok(exit)
}

fn look(
    shared: &Shared,
    path: Option<&Path>,
    unknown_keys: fly_toml::Severity,
) -> Result<Checked, Problem> {
    let Some(path) = path else {
        return match Settings::resolve(shared) {
            Ok(settings) => project_file::check(&settings.project_file, unknown_keys),
            // Without a project, an app config that lies here is what was meant.
            Err(problem) => {
                let here = Path::new(".");
                let is_asked_for = shared.project.is_some();
                if is_asked_for || project_file::app_configs(here)?.is_empty() {
                    return Err(problem);
                }
                project_file::check_app_configs(here, unknown_keys)
            }
        };
    };
    let inside = path.join(PROJECT_FILE);
    if inside.is_file() {
        return project_file::check(&inside, unknown_keys);
    }
    if path.file_name().is_some_and(|name| name == PROJECT_FILE) {
        return project_file::check(path, unknown_keys);
    }
    project_file::check_app_configs(path, unknown_keys)
}

fn summary(checked: &Checked, is_fixed: bool) -> String {
    let (errors, warnings) = (checked.count(Severity::Error), checked.count(Severity::Warning));
    let found = format!("{}, {}", counted(errors, "error"), counted(warnings, "warning"));
    let files = counted(checked.files, "file");
    let edits = checked.corrections.iter().map(|correction| correction.edits).sum();
    let mended =
        if is_fixed { format!("{} mended, ", counted(edits, "place")) } else { String::new() };
    match &checked.project {
        Some(project) if errors == 0 => {
            let services = counted(project.services.len(), "service");
            format!("{}: {services}, {mended}{found} in {files}\n", project.title)
        }
        Some(_) | None => format!("{mended}{found} in {files}\n"),
    }
}

fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}
