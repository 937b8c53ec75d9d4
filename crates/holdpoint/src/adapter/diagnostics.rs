//! Keeps what is seen in the moment in which an incident is opened: machines and last log lines
//! from the platform, and what the core knows. A folder is written whole or not at all, and once.
//! What can't be seen is said in its place: half of it is better than none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use futures::future::join_all;
use holdpoint_core::document::Diagnostics;
use secrecy::SecretString;
use serde_json::{Value, json};
use thiserror::Error;

use super::app_logs::AppLogs;
use super::platform::Platform;
use super::redaction::redacted;

/// The newest log lines of each app that are kept.
const LINES_MAX: usize = 500;
/// What is kept of one file, in bytes; the end of logs, the beginning of everything else.
const FILE_MAX_BYTES: usize = 512 * 1024;
/// Apps that are asked at once.
const APPS_AT_ONCE: usize = 8;
/// The file that says of which incident a folder is.
const MARK: &str = "incident.json";

/// What is kept of a machine. Its config is not: its environment may hold secrets.
const MACHINE_KEYS: [&str; 11] = [
    "id",
    "name",
    "state",
    "region",
    "instance_id",
    "image_ref",
    "created_at",
    "updated_at",
    "events",
    "checks",
    "cordoned",
];

/// Why nothing was kept.
#[derive(Debug, Error)]
#[error(
    "could not keep what was seen in `{path}`: {source}\nhint: check that the folder may be written and the disk is not full"
)]
pub struct DiagnosticsError {
    /// The folder.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// Looks, and writes the folder below `root`.
pub async fn capture(
    root: &Path,
    platform: &Platform,
    wanted: &Diagnostics,
    secrets: &[SecretString],
) -> Result<(), DiagnosticsError> {
    let folder = folder(root, wanted);
    if folder.join(MARK).is_file() {
        return Ok(());
    }
    let mut seen = Vec::new();
    for apps in wanted.apps.chunks(APPS_AT_ONCE) {
        let looks: Vec<_> =
            apps.iter().map(|app| look(platform, app.as_str().to_owned())).collect();
        seen.extend(join_all(looks).await);
    }
    let mut files: Vec<(String, String)> =
        wanted.files.iter().map(|(name, text)| (name.clone(), text.clone())).collect();
    let machines: Vec<&Value> = seen.iter().map(|one| &one.machines).collect();
    files.push(("machines.json".to_owned(), format!("{:#}\n", json!(machines))));
    for one in &seen {
        files.push((format!("logs-{}.txt", one.app), one.logs.clone()));
    }
    for (name, text) in &mut files {
        let kept = redacted(text, secrets);
        let part = if name.starts_with("logs-") { last(&kept) } else { first(&kept) };
        part.clone_into(text);
    }
    let path = folder.clone();
    let written = tokio::task::spawn_blocking(move || write(&folder, &files)).await;
    let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
    written.map_err(|source| DiagnosticsError { path, source })
}

/// The folder of the incident. Where another journal's incident of the same number has it, the
/// time of this one makes the difference.
fn folder(root: &Path, wanted: &Diagnostics) -> PathBuf {
    let folder = root.join(&wanted.folder);
    let Ok(mark) = fs::read_to_string(folder.join(MARK)) else {
        return folder;
    };
    let mark: Value = serde_json::from_str(&mark).unwrap_or_default();
    let opened_at = wanted.opened_at.to_string();
    if mark.get("opened_at").and_then(Value::as_str) == Some(&opened_at) {
        return folder;
    }
    let at = wanted.opened_at.strftime("%Y%m%dT%H%M%SZ");
    root.join(format!("{}-{at}", wanted.folder))
}

/// What the platform shows of one app.
struct Seen {
    app: String,
    machines: Value,
    logs: String,
}

async fn look(platform: &Platform, app: String) -> Seen {
    let machines = match platform.client().list_machines(&app).await {
        Ok(machines) => json!({"app": app, "machines": kept(&json!(machines))}),
        Err(error) => json!({"app": app, "error": error.to_string()}),
    };
    let address = platform.address();
    let logs = match AppLogs::new(&address.log_base_url, address.token()) {
        Ok(logs) => logs.page(&app, None, None).await,
        Err(error) => Err(error),
    };
    let logs = match logs {
        Ok(page) => {
            let skipped = page.lines.len().saturating_sub(LINES_MAX);
            let lines = page.lines.iter().skip(skipped);
            let lines = lines.map(|line| {
                format!("{} {} {} {}\n", line.timestamp, line.machine, line.level, line.message)
            });
            lines.collect()
        }
        Err(error) => format!("{error}\n"),
    };
    Seen { app, machines, logs }
}

fn kept(machines: &Value) -> Vec<Value> {
    let machines = machines.as_array().into_iter().flatten();
    machines
        .map(|machine| {
            let keys = MACHINE_KEYS.iter();
            let kept = keys.filter_map(|key| Some(((*key).to_owned(), machine.get(key)?.clone())));
            Value::Object(kept.collect())
        })
        .collect()
}

fn first(text: &str) -> &str {
    text.get(..text.floor_char_boundary(FILE_MAX_BYTES)).unwrap_or_default()
}

fn last(text: &str) -> &str {
    let from = text.ceil_char_boundary(text.len().saturating_sub(FILE_MAX_BYTES));
    text.get(from..).unwrap_or_default()
}

/// A report may be in the folder already; whatever else is there is of an earlier try.
fn write(folder: &Path, files: &[(String, String)]) -> io::Result<()> {
    let (mark, others): (Vec<_>, Vec<_>) = files.iter().partition(|(name, _)| name == MARK);
    // the mark comes last: a folder without it is not whole
    for (name, text) in others.into_iter().chain(mark) {
        super::files::replace(&folder.join(name), text.as_bytes())?;
    }
    Ok(())
}
