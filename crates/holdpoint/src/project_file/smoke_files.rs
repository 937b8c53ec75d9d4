//! Reads the smoke files that the project names, or that lie where one is looked for. What they
//! mean is decided by `holdpoint_core::project::smoke`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use holdpoint_core::project::{Project, Severity, parse_smoke};

use super::{Finding, project_finding};
use crate::adapter::platform::app_file;

/// Where a service's smoke file is looked for when the project names none, and where one that no
/// service asks for is noticed.
const FOLDER: &str = "smoke";

/// No more of a file is read: the reader refuses half of it.
const FILE_LIMIT_BYTES: u64 = 2 * 1024 * 1024;

/// What the smoke files hold beside checks.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) texts: BTreeMap<PathBuf, String>,
    pub(super) findings: Vec<Finding>,
}

/// The health path of an app whose config names none.
const HEALTH_PATH: &str = "/health";

/// Adds the checks of every smoke file to their services, and the synthetic check.
pub(super) fn read_into(project: &mut Project, folder: &Path) -> Read {
    let mut read = Read::default();
    for service in &mut project.services {
        let by_convention = format!("{FOLDER}/{}.toml", service.name);
        let files = service.smoke_files.clone();
        let is_named = files.is_some();
        for file in files.unwrap_or_else(|| vec![by_convention]) {
            let path = folder.join(&file);
            let text = match read_text(&path) {
                Ok(text) => text,
                Err(error) if !is_named && error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    read.findings.push(unreadable(path, &file, &service.name, &error));
                    continue;
                }
            };
            let taken: Vec<String> = service.smoke.iter().map(|check| check.name.clone()).collect();
            let (checks, diagnostics) = parse_smoke(&text, &taken);
            service.smoke.extend(checks.unwrap_or_default());
            read.findings.extend(diagnostics.into_iter().map(|it| project_finding(&path, it)));
            read.texts.insert(path, text);
        }
        // a config that can't be read is told by others
        let app = app_file(folder, &service.production).ok();
        let health_path = app.as_ref().and_then(|app| app.config.health_check_path());
        service
            .smoke
            .extend(project.production.synthetic.check(health_path.unwrap_or(HEALTH_PATH)));
    }
    read.warn_of_strays(&folder.join(FOLDER));
    read
}

impl Read {
    /// A file that lies among the others and that nobody reads is a slip of the pen.
    fn warn_of_strays(&mut self, folder: &Path) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut strays: Vec<PathBuf> = files
            .filter(|path| path.extension().is_some_and(|it| it == "toml"))
            .filter(|path| !self.findings.iter().any(|finding| finding.file == *path))
            .filter(|path| !self.texts.contains_key(path))
            .collect();
        strays.sort();
        self.findings.extend(strays.into_iter().map(|path| {
            Finding {
                message: format!(
                    "no service asks the checks of `{FOLDER}/{}`",
                    path.file_name().unwrap_or_default().to_string_lossy()
                ),
                hint: Some(
                    "name it in a service's `smoke`, or give it the name of a service without one"
                        .to_owned(),
                ),
                severity: Severity::Warning,
                ..at_the_beginning(path)
            }
        }));
    }
}

fn unreadable(path: PathBuf, file: &str, service: &str, error: &io::Error) -> Finding {
    Finding {
        message: format!("cannot read the smoke file `{file}` of `{service}`: {error}"),
        hint: Some("write it, or correct `smoke` in the service's `[[services]]`".to_owned()),
        ..at_the_beginning(path)
    }
}

fn at_the_beginning(file: PathBuf) -> Finding {
    Finding {
        file,
        severity: Severity::Error,
        line: 1,
        column: 1,
        span: 0..0,
        message: String::new(),
        hint: None,
        fixable: false,
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    // reading from a pipe could wait for ever
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    let mut text = String::new();
    File::open(path)?.take(FILE_LIMIT_BYTES).read_to_string(&mut text)?;
    Ok(text)
}
