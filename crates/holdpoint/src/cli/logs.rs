//! `holdpoint logs`: prints the newest log lines of an app, or of all apps of the project, and
//! with `--follow` those that come.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::adapter::app_logs::{AppLogLine, AppLogs, AppLogsError};
use crate::adapter::build::BuildPlace;
use crate::adapter::clock::pause;
use crate::adapter::platform::{Platform, PlatformAddress};
use crate::cli::arguments::{Logs, Shared};
use crate::daemon::StopSignals;
use crate::exit_code::ExitCode;
use crate::images;
use crate::message::{self, Problem};
use crate::project_file;
use crate::settings::{PROJECT_FILE, Settings};

/// Between two looks for new lines.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// Looks that may fail one after the other before following ends.
const FAILURES_MAX: u32 = 10;

/// Lines of one app, as far as they were read.
struct Reader {
    app: String,
    next_token: Option<String>,
    /// The machines' names, for a platform that tells only ids with its lines.
    names: BTreeMap<String, String>,
}

pub(super) async fn logs(shared: &Shared, logs: &Logs) -> Result<ExitCode, Problem> {
    let settings = settings(shared, logs)?;
    let address = settings.platform(&logs.platform)?;
    let base_url = logs.log_url.as_deref().unwrap_or(&address.log_base_url);
    let source = AppLogs::new(base_url, address.token()).map_err(refused)?;
    let mut readers = readers(&settings, &address, logs).await?;
    let mut stop = StopSignals::listen()?;
    tokio::select! {
        ended = read(&source, &mut readers, logs) => ended,
        // whoever follows has seen what they wanted: that is no failure
        _ = stop.next() => {
            Ok(if logs.follow { ExitCode::Done } else { ExitCode::Interrupted })
        }
    }
}

/// Reads once, or for as long as there is something to follow.
async fn read(source: &AppLogs, readers: &mut [Reader], logs: &Logs) -> Result<ExitCode, Problem> {
    let mut failures = 0;
    loop {
        match look(source, readers, logs).await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                let passing = matches!(error, AppLogsError::Unreachable { .. });
                if !logs.follow || !passing || failures >= FAILURES_MAX {
                    return Err(refused(error));
                }
            }
        }
        if !logs.follow {
            return Ok(ExitCode::Done);
        }
        pause(LOOK_PERIOD * (failures + 1)).await;
    }
}

fn refused(error: AppLogsError) -> Problem {
    Problem::from(error).exit(ExitCode::Refused)
}

/// The logs of an app that is named need no project.
fn settings(shared: &Shared, logs: &Logs) -> Result<Settings, Problem> {
    let resolved = Settings::resolve(shared);
    if resolved.is_ok() || logs.app.is_none() {
        return resolved;
    }
    let state_dir = shared.state_dir.clone().unwrap_or_else(|| PathBuf::from(".holdpoint"));
    Ok(Settings { project_file: PathBuf::from(PROJECT_FILE), state_dir, actor: String::new() })
}

async fn readers(
    settings: &Settings,
    address: &PlatformAddress,
    logs: &Logs,
) -> Result<Vec<Reader>, Problem> {
    let apps = if let Some(app) = &logs.app {
        vec![app.clone()]
    } else {
        let project = project_file::load(&settings.project_file)?;
        let place = BuildPlace {
            project_root: settings.project_dir(),
            state_dir: settings.state_dir.clone(),
        };
        let apps = images::apps(&place, &project)?;
        apps.into_iter().map(|(_, _, app)| app.as_str().to_owned()).collect()
    };
    let platform = Platform::new(address)?;
    let mut readers = Vec::new();
    for app in apps {
        let machines = platform.client().list_machines(&app).await.unwrap_or_else(|error| {
            // the logs themselves will say what is wrong
            tracing::debug!(%error, "no names of machines");
            Vec::new()
        });
        let names = machines.into_iter().map(|machine| (machine.id, machine.name)).collect();
        readers.push(Reader { app, next_token: None, names });
    }
    Ok(readers)
}

/// Prints what is new of every app, in the order of time.
async fn look(source: &AppLogs, readers: &mut [Reader], logs: &Logs) -> Result<(), AppLogsError> {
    let several = readers.len() > 1;
    let mut lines = Vec::new();
    for reader in readers {
        let machine = logs.machine.as_deref();
        let page = source.page(&reader.app, reader.next_token.as_deref(), machine).await?;
        reader.next_token = page.next_token.or(reader.next_token.take());
        for line in page.lines {
            let text =
                if logs.json { as_json(reader, &line) } else { as_text(reader, &line, several) };
            lines.push((line.timestamp, text));
        }
    }
    lines.sort_by(|(earlier, _), (later, _)| earlier.cmp(later));
    let text: String = lines.into_iter().map(|(_, text)| text + "\n").collect();
    message::print(&text);
    Ok(())
}

fn name<'a>(reader: &'a Reader, line: &'a AppLogLine) -> &'a str {
    let told = line.machine_name().or_else(|| reader.names.get(&line.machine).map(String::as_str));
    told.unwrap_or(&line.machine)
}

fn as_text(reader: &Reader, line: &AppLogLine, several: bool) -> String {
    let app = if several { format!("{} ", reader.app) } else { String::new() };
    let name = match name(reader, line) {
        "" => "-",
        name => name,
    };
    format!("{} {app}{name} {}[{}] {}", line.timestamp, line.provider(), line.level, line.message)
}

fn as_json(reader: &Reader, line: &AppLogLine) -> String {
    json!({
        "time": line.timestamp,
        "app": reader.app,
        "machine": line.machine,
        "machine_name": name(reader, line),
        "region": line.region,
        "provider": line.provider(),
        "level": line.level,
        "message": line.message,
    })
    .to_string()
}
