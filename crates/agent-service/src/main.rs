//! The agent-service binary: reads the settings, sets up the log, runs the service.

use std::io::Write as _;
use std::process::ExitCode;

use agent_service::settings::{Settings, SettingsError};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let settings = match Settings::from_process() {
        Ok(settings) => settings,
        Err(SettingsError::Arguments(error)) => error.exit(),
        Err(error) => return refuse(&error.to_string()),
    };
    let filter = match EnvFilter::try_new(&settings.log) {
        Ok(filter) => filter,
        Err(error) => {
            return refuse(&format!("`RUST_LOG` can't be read: {error}\nhint: try `info`"));
        }
    };
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("can't start: {error}")),
    };
    match runtime.block_on(agent_service::run(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error.to_string()),
    }
}

/// Says why on standard error; a closed one changes nothing.
fn refuse(message: &str) -> ExitCode {
    drop(writeln!(std::io::stderr(), "agent-service: {message}"));
    ExitCode::from(2)
}
