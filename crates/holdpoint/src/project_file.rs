//! Reads the project's file and the app configs that it names, and collects what is wrong with
//! them. What the project means is decided by `holdpoint_core::project`, what an app config means
//! by `machines_api::fly_toml`.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use holdpoint_core::id::Environment;
use holdpoint_core::project::{self, Project, Severity};
use machines_api::fly_toml;
use serde::Serialize;

use crate::exit_code::ExitCode;
use crate::message::Problem;
use crate::render::excerpt::excerpt;

/// The most findings that are drawn with their excerpts; the rest is counted.
const DRAWN_MAX: usize = 20;

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
}

/// What was found in the project's files.
#[derive(Debug)]
pub struct Checked {
    /// The project, unless its file has errors.
    pub project: Option<Project>,
    /// How many files were read.
    pub files: usize,
    /// Everything that is wrong, file by file.
    pub findings: Vec<Finding>,
    texts: BTreeMap<PathBuf, String>,
}

/// Reads the project alone.
///
/// # Errors
/// When the file can't be read or has errors; they are drawn with their places.
pub fn load(path: &Path) -> Result<Project, Problem> {
    let checked = check_project(path)?;
    match &checked.project {
        Some(project) => Ok(project.clone()),
        None => Err(checked.problem(path)),
    }
}

/// Reads the project and every app config that it names.
///
/// # Errors
/// When the project's own file can't be read.
pub fn check(path: &Path) -> Result<Checked, Problem> {
    let mut checked = check_project(path)?;
    let Some(project) = checked.project.clone() else {
        return Ok(checked);
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    for service in &project.services {
        for environment in [Environment::Staging, Environment::Production] {
            let config = folder.join(&service.placement(environment).config);
            checked.check_config(config, &service.name, environment);
        }
    }
    Ok(checked)
}

fn check_project(path: &Path) -> Result<Checked, Problem> {
    let text = fs::read_to_string(path).map_err(|error| {
        let sentence = format!("cannot read the project's file `{}`", path.display());
        Problem::because(ExitCode::Usage, sentence, &error).hint("name it with `--project PATH`")
    })?;
    let (project, diagnostics) = project::parse(&text);
    let findings = diagnostics.into_iter().map(|diagnostic| Finding {
        file: path.to_path_buf(),
        severity: diagnostic.severity,
        line: diagnostic.line,
        column: diagnostic.column,
        span: diagnostic.span,
        message: diagnostic.message,
        hint: diagnostic.hint,
    });
    Ok(Checked {
        project,
        files: 1,
        findings: findings.collect(),
        texts: BTreeMap::from([(path.to_path_buf(), text)]),
    })
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

    fn problem(&self, path: &Path) -> Problem {
        let errors = self.count(Severity::Error);
        let noun = if errors == 1 { "error" } else { "errors" };
        let sentence = format!("`{}` has {errors} {noun}", path.display());
        Problem::new(ExitCode::Usage, sentence).excerpts(self.excerpts())
    }

    fn check_config(&mut self, path: PathBuf, service: &str, environment: Environment) {
        self.files += 1;
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                self.findings.push(Finding {
                    message: format!(
                        "cannot read the {environment} config of `{service}`: {error}"
                    ),
                    hint: Some(format!(
                        "write it, or name another file in `[services.{environment}] config`"
                    )),
                    file: path,
                    severity: Severity::Error,
                    line: 1,
                    column: 1,
                    span: 0..0,
                });
                return;
            }
        };
        if let Err(diagnostics) = fly_toml::parse(&text) {
            self.findings.extend(diagnostics.into_iter().map(|diagnostic| Finding {
                file: path.clone(),
                severity: Severity::Error,
                line: diagnostic.line,
                column: diagnostic.column,
                span: diagnostic.span,
                message: diagnostic.message,
                hint: Some(diagnostic.hint),
            }));
        }
        self.texts.insert(path, text);
    }
}
