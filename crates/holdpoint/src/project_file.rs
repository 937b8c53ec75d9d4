//! Reads the project's file and the app configs that it names, and collects what is wrong with
//! them. What the project means is decided by `holdpoint_core::project`, what an app config means
//! by `machines_api::fly_toml`.

mod smoke_files;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use holdpoint_core::id::Environment;
use holdpoint_core::project::{self, CalendarSource, Project, Severity, WhenUnreadable};
use jiff::Timestamp;
use machines_api::fly_toml;
use serde::Serialize;

use crate::adapter::clock::Clock;
use crate::adapter::company_calendar::CalendarReader;
use crate::adapter::section;
use crate::exit_code::ExitCode;
use crate::message::Problem;
use crate::render::excerpt::excerpt;

/// The most findings that are drawn with their excerpts; the rest is counted.
const DRAWN_MAX: usize = 20;

/// The names of app configs in a folder begin and end so.
const APP_CONFIG_NAMES: (&str, &str) = ("fly", ".toml");

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// Whether it stops the project from being used.
    pub severity: Severity,
    /// Line of the first character, from 1.
    pub line: usize,
    /// Column of the first character, from 1.
    pub column: usize,
    /// The bytes of the text that it is about.
    #[serde(skip)]
    pub span: Range<usize>,
    /// What was refused, and why.
    pub message: String,
    /// The edit that mends it.
    pub hint: Option<String>,
    /// Whether `--fix` can make that edit.
    pub fixable: bool,
}

/// An app config with what is wrong in it mended as far as only one thing can be meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Correction {
    /// The file.
    pub file: PathBuf,
    /// How many edits were made.
    pub edits: usize,
    /// What changes, line by line.
    pub diff: String,
    /// The whole corrected text.
    pub text: String,
}

/// What was found in the project's files.
#[derive(Debug)]
pub struct Checked {
    /// The project, unless its own file has errors; with the checks of those of its smoke files
    /// that have none.
    pub project: Option<Project>,
    /// How many files were read.
    pub files: usize,
    /// Everything that is wrong, file by file.
    pub findings: Vec<Finding>,
    /// What `--fix` would write.
    pub corrections: Vec<Correction>,
    texts: BTreeMap<PathBuf, String>,
}

/// Reads the project with its smoke files.
///
/// # Errors
/// When a file can't be read or has errors; they are drawn with their places.
pub fn load(path: &Path) -> Result<Project, Problem> {
    check_project(path)?.to_project()
}

/// Reads the project with its smoke files, for a release that starts now.
///
/// # Errors
/// As [`load`], and when no window opens within a year.
pub fn load_for_release(path: &Path, now: Timestamp) -> Result<Project, Problem> {
    let mut checked = check_project(path)?;
    checked.check_windows(path, now);
    checked.to_project()
}

/// Reads the project and every app config that it names.
///
/// # Errors
/// When the project's own file can't be read.
pub fn check(path: &Path, unknown_keys: fly_toml::Severity) -> Result<Checked, Problem> {
    let mut checked = check_project(path)?;
    let Some(project) = checked.project.clone() else {
        return Ok(checked);
    };
    let now = Clock::real().now();
    checked.check_windows(path, now);
    let folder = path.parent().unwrap_or(Path::new(""));
    checked.check_calendars(&project, folder, now);
    for file in [&project.documents.runbook, &project.documents.monitoring_runbook] {
        checked.check_section(file.as_ref().map(|file| folder.join(file)));
    }
    for service in &project.services {
        for environment in [Environment::Staging, Environment::Production] {
            let config = folder.join(&service.placement(environment).config);
            let whose = format!("the {environment} config of `{}`", service.name);
            let hint =
                format!("write it, or name another file in `[services.{environment}] config`");
            checked.check_config(config, &whose, hint, unknown_keys);
        }
    }
    Ok(checked)
}

/// Reads app configs that no project names: one file, or those of a folder.
///
/// # Errors
/// When there are none.
pub fn check_app_configs(
    path: &Path,
    unknown_keys: fly_toml::Severity,
) -> Result<Checked, Problem> {
    let files = if path.is_dir() { app_configs(path)? } else { vec![path.to_path_buf()] };
    if files.is_empty() {
        let sentence = format!("no `fly.toml` is in `{}`", path.display());
        return Err(Problem::new(ExitCode::Usage, sentence)
            .hint("name the file, or a folder with a `holdpoint.toml` or files `fly*.toml`"));
    }
    let mut checked = Checked {
        project: None,
        files: 0,
        findings: Vec::new(),
        corrections: Vec::new(),
        texts: BTreeMap::new(),
    };
    for file in files {
        checked.check_config(file, "the app config", "name a `fly.toml`".to_owned(), unknown_keys);
    }
    Ok(checked)
}

/// The files `fly*.toml` of a folder, by name.
///
/// # Errors
/// When the folder can't be read.
pub fn app_configs(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let unreadable = |error| {
        let sentence = format!("cannot read the folder `{}`", folder.display());
        Problem::because(ExitCode::Usage, sentence, &error)
    };
    let (start, end) = APP_CONFIG_NAMES;
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let is_named = name.to_str().is_some_and(|it| it.starts_with(start) && it.ends_with(end));
        if is_named && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn check_project(path: &Path) -> Result<Checked, Problem> {
    let text = fs::read_to_string(path).map_err(|error| {
        let sentence = format!("cannot read the project's file `{}`", path.display());
        Problem::because(ExitCode::Usage, sentence, &error).hint("name it with `--project PATH`")
    })?;
    let (project, diagnostics) = project::parse(&text);
    let findings = diagnostics.into_iter().map(|one| project_finding(path, one)).collect();
    let mut checked = Checked {
        project: None,
        files: 1,
        findings,
        corrections: Vec::new(),
        texts: BTreeMap::from([(path.to_path_buf(), text)]),
    };
    checked.project = project.map(|mut project| {
        let folder = path.parent().unwrap_or(Path::new(""));
        let read = smoke_files::read_into(&mut project, folder);
        checked.files += read.texts.len();
        checked.findings.extend(read.findings);
        checked.texts.extend(read.texts);
        project
    });
    Ok(checked)
}

impl Checked {
    /// Whether a finding stops the project from being used.
    pub fn is_refused(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// How many findings have this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// The findings with the places that they are about.
    pub fn excerpts(&self) -> String {
        let drawn = self.findings.iter().take(DRAWN_MAX);
        let mut texts: Vec<String> = drawn
            .map(|finding| {
                let source = self.texts.get(&finding.file).map_or("", String::as_str);
                format!("{}\n", excerpt(finding, source))
            })
            .collect();
        if let Some(more) = self.findings.len().checked_sub(DRAWN_MAX).filter(|more| *more > 0) {
            texts.push(format!("and {more} more\n"));
        }
        texts.concat()
    }

    /// The project, unless a finding stops it from being used.
    fn to_project(&self) -> Result<Project, Problem> {
        match &self.project {
            Some(project) if !self.is_refused() => Ok(project.clone()),
            Some(_) | None => Err(self.problem()),
        }
    }

    /// Adds what the project's file does not say by itself: windows that stay closed from now on.
    fn check_windows(&mut self, path: &Path, now: Timestamp) {
        let Some(project) = &self.project else { return };
        let text = self.texts.get(path).map_or("", String::as_str);
        let found = project::windows_that_stay_closed(text, project, now);
        self.findings.extend(found.into_iter().map(|one| project_finding(path, one)));
    }

    /// Adds what is wrong with the company's calendars, as far as they are files.
    fn check_calendars(&mut self, project: &Project, folder: &Path, now: Timestamp) {
        let reader = CalendarReader::new(project, folder);
        for calendar in &project.calendar.events {
            let CalendarSource::File(name) = &calendar.source else { continue };
            self.files += 1;
            let (text, read) = reader.read_file(calendar, now);
            let Err(unreadable) = read else { continue };
            let file = folder.join(name);
            let line = unreadable.line.unwrap_or(1);
            self.findings.push(Finding {
                file: file.clone(),
                severity: match calendar.when_unreadable {
                    WhenUnreadable::Hold => Severity::Error,
                    WhenUnreadable::Ignore => Severity::Warning,
                },
                line,
                column: 1,
                span: span_of_line(&text, line),
                message: format!("calendar `{}`: {}", calendar.name, unreadable.message),
                hint: unreadable.hint,
                fixable: false,
            });
            self.texts.insert(file, text);
        }
    }

    fn problem(&self) -> Problem {
        let errors = self.count(Severity::Error);
        let noun = if errors == 1 { "error" } else { "errors" };
        let wrong = self.findings.iter().filter(|finding| finding.severity == Severity::Error);
        let files: BTreeSet<String> =
            wrong.map(|finding| format!("`{}`", finding.file.display())).collect();
        let verb = if files.len() == 1 { "has" } else { "have" };
        let files = files.into_iter().collect::<Vec<_>>().join(" and ");
        let sentence = format!("{files} {verb} {errors} {noun}");
        Problem::new(ExitCode::Usage, sentence).excerpts(self.excerpts())
    }

    /// Puts the corrected texts into the files, and what is left into the place of the findings.
    ///
    /// # Errors
    /// When a file can't be written; those before it are.
    pub fn fix(&mut self, unknown_keys: fly_toml::Severity) -> Result<(), Problem> {
        for correction in &self.corrections {
            let Correction { file, text, .. } = correction;
            write(file, text).map_err(|error| {
                let sentence = format!("cannot write the corrected `{}`", file.display());
                Problem::because(ExitCode::Unexpected, sentence, &error)
                    .hint("check that the file and its folder may be written")
            })?;
            self.findings.retain(|finding| finding.file != *file);
            let left = fly_toml::check(text, unknown_keys).diagnostics;
            self.findings.extend(left.into_iter().map(|it| finding(file, it)));
            self.texts.insert(file.clone(), text.clone());
        }
        Ok(())
    }

    /// Whether a runbook has the place for its section. A release goes on without it.
    fn check_section(&mut self, file: Option<PathBuf>) {
        let Some(file) = file else { return };
        self.files += 1;
        let text = fs::read_to_string(&file);
        let (line, message) = match text.as_deref().map(|text| section::replaced(text, "")) {
            Ok(Ok(_)) => return,
            Ok(Err((line, problem))) => (line, problem.to_string()),
            Err(error) => {
                let hint = "write it, or name another file in `[documents]`";
                (1, format!("cannot read the runbook: {error}\nhint: {hint}"))
            }
        };
        let (message, hint) = match message.split_once("\nhint: ") {
            Some((message, hint)) => (message.to_owned(), Some(hint.to_owned())),
            None => (message, None),
        };
        let text = text.unwrap_or_default();
        let start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        self.findings.push(Finding {
            message,
            hint,
            file: file.clone(),
            severity: Severity::Warning,
            line,
            column: 1,
            span: start..start,
            fixable: false,
        });
        self.texts.insert(file, text);
    }

    fn check_config(
        &mut self,
        path: PathBuf,
        whose: &str,
        hint: String,
        unknown_keys: fly_toml::Severity,
    ) {
        self.files += 1;
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                self.findings.push(Finding {
                    message: format!("cannot read {whose}: {error}"),
                    hint: Some(hint),
                    file: path,
                    severity: Severity::Error,
                    line: 1,
                    column: 1,
                    span: 0..0,
                    fixable: false,
                });
                return;
            }
        };
        let diagnostics = fly_toml::check(&text, unknown_keys).diagnostics;
        if diagnostics.iter().any(fly_toml::Diagnostic::is_fixable) {
            let fixed = fly_toml::fix(&text, unknown_keys);
            let diff = differences(&path, &text, &fixed.text);
            let (file, edits, text) = (path.clone(), fixed.edits, fixed.text);
            // One file may serve several services.
            let is_known = self.corrections.iter().any(|known| known.file == file);
            if edits > 0 && !is_known {
                self.corrections.push(Correction { file, edits, diff, text });
            }
        }
        self.findings.extend(diagnostics.into_iter().map(|it| finding(&path, it)));
        self.texts.insert(path, text);
    }
}

/// The bytes of a line, from 1.
fn span_of_line(text: &str, line: usize) -> Range<usize> {
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    start..start + rest.find(['\r', '\n']).unwrap_or(rest.len())
}

fn project_finding(file: &Path, diagnostic: project::Diagnostic) -> Finding {
    Finding {
        file: file.to_path_buf(),
        severity: diagnostic.severity,
        line: diagnostic.line,
        column: diagnostic.column,
        span: diagnostic.span,
        message: diagnostic.message,
        hint: diagnostic.hint,
        fixable: false,
    }
}

fn finding(file: &Path, diagnostic: fly_toml::Diagnostic) -> Finding {
    Finding {
        file: file.to_path_buf(),
        severity: match diagnostic.severity {
            fly_toml::Severity::Error => Severity::Error,
            fly_toml::Severity::Warning => Severity::Warning,
        },
        line: diagnostic.line,
        column: diagnostic.column,
        fixable: diagnostic.is_fixable(),
        span: diagnostic.span,
        message: diagnostic.message,
        hint: Some(diagnostic.hint),
    }
}

/// The lines that differ, with the three around them, as `diff -u` writes them.
fn differences(path: &Path, before: &str, after: &str) -> String {
    let name = path.display().to_string();
    let difference = similar::TextDiff::from_lines(before, after);
    difference.unified_diff().header(&name, &format!("{name} (corrected)")).to_string()
}

/// Whole or not at all, with the permissions that the file has.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    // A link stays one: what it leads to is changed.
    let file = file.canonicalize()?;
    let permissions = fs::metadata(&file)?.permissions();
    crate::adapter::files::replace(&file, text.as_bytes())?;
    fs::set_permissions(&file, permissions)
}
