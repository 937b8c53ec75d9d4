//! The platform of a rehearsal: this very program, started as `holdpoint up` on free ports, with
//! faults allowed. It stops, with all its machines, when the rehearsal is gone, however that
//! ended.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::ValueEnum as _;
use serde_json::json;
use tokio::process::{Child, Command};

use crate::adapter::clock::{Stopwatch, pause};
use crate::adapter::faults::{Faults, FaultsError};
use crate::adapter::platform::PlatformAddress;
use crate::cli::arguments::Machines;
use crate::exit_code::ExitCode;
use crate::message::Problem;
use crate::settings::{ADDRESS_FILE, Settings};

/// How long the platform may take to come up.
const START: Duration = Duration::from_secs(30);

/// How often it is looked for meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long it may take to stop its machines.
const END: Duration = Duration::from_secs(30);

/// How many of the last lines of its log are told when it does not come up.
const TOLD_LINES: usize = 10;

/// A running platform.
#[derive(Debug)]
pub struct Stage {
    child: Child,
    /// Where it is reached.
    pub address: PlatformAddress,
}

impl Stage {
    /// Starts the platform of this state directory, whose machines run in this way, and waits until it serves.
    ///
    /// # Errors
    /// When it does not come up; with the last lines of its log.
    pub async fn start(settings: &Settings, machines: &Machines) -> Result<Self, Problem> {
        let log = settings.state_dir.join("platform.log");
        let mut child = spawn(&settings.state_dir, machines, &log).map_err(|error| {
            Problem::because(ExitCode::Unexpected, "cannot start the platform", &error)
        })?;
        let watch = Stopwatch::start();
        let address_file = settings.state_dir.join(ADDRESS_FILE);
        while !address_file.is_file() {
            let ended = child.try_wait()?;
            if ended.is_some() || watch.elapsed() > START {
                return Err(Problem::new(ExitCode::Unexpected, "the platform did not come up")
                    .cause(last_lines(&log))
                    .hint(format!("read its log in `{}`", log.display())));
            }
            pause(LOOK_EVERY).await;
        }
        let address = settings.local_platform()?;
        Ok(Self { child, address })
    }

    /// Breaks a share of the answers that an image gives as an app, from now on.
    ///
    /// # Errors
    /// When the platform does not take the fault.
    pub async fn break_answers(
        &self,
        app: &str,
        image_digest: &str,
        share: f64,
    ) -> Result<(), FaultsError> {
        let fault = json!({
            "kind": "error",
            "status": 500,
            "share": share,
            "app": app,
            "image_digest": image_digest,
        });
        Faults::of(&self.address)?.set(&fault).await?;
        Ok(())
    }

    /// Stops the platform and all its machines.
    pub async fn stop(mut self) {
        drop(self.child.stdin.take());
        match tokio::time::timeout(END, self.child.wait()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the platform could not be waited for"),
            Err(_) => tracing::warn!("the platform did not stop in time"),
        }
    }
}

/// Its standard input is a pipe that ends with this process; its group is its own, so that a
/// Ctrl-C at the terminal reaches the rehearsal alone.
fn spawn(state_dir: &Path, machines: &Machines, log: &PathBuf) -> std::io::Result<Child> {
    let log = std::fs::File::create(log)?;
    let runtime = machines.runtime.to_possible_value();
    let runtime = runtime.iter().flat_map(|value| ["--runtime", value.get_name()]);
    let engine = machines.engine.iter().flat_map(|address| ["--engine", address.as_str()]);
    Command::new(std::env::current_exe()?)
        .arg("up")
        .args(runtime.chain(engine))
        .args(["--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0"])
        .args(["--allow-faults", "--attached", "--state-dir"])
        .arg(state_dir)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(TOLD_LINES)..).unwrap_or_default().join("\n")
}
