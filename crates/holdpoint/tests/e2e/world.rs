//! A project with two small services, a platform in a process of its own, and the real command.
//! Releases run in real time; the project's policies are short.

#![expect(clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use holdpoint::adapter::clock::{Clock, Stopwatch, pause};
use holdpoint::adapter::platform::{Platform, PlatformAddress};
use holdpoint::daemon::{Stored, read_stored};
use holdpoint::http::{CommandRequest, client};
use holdpoint::project_file;
use holdpoint::rehearsal::traffic::{Party, Target, Traffic};
use holdpoint::settings::Settings;
use holdpoint_core::command::{Actor, Command as Asked};
use holdpoint_core::engine::WaitReason;
use holdpoint_core::id::{AppName, Environment, ServiceName};
use holdpoint_core::project::Role;
use holdpoint_core::view::Status;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// Busy computers are slow; a condition that holds earlier ends the wait.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The services and their environments.
pub(crate) const SERVICES: [&str; 2] = ["store", "web"];

/// The author of every release.
pub(crate) const AUTHOR: &str = "rita";

pub(crate) struct World {
    pub(crate) directory: TempDir,
    platform: Option<Child>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    /// A project whose apps exist on a running platform and have no machines.
    pub(crate) async fn new() -> Self {
        let mut world = Self::without_platform();
        world.start_platform().await;
        world
    }

    /// The project's files alone.
    pub(crate) fn without_platform() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let world = Self { directory, platform: None };
        write_project(&world.root());
        world
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("project")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            project_file: self.root().join("holdpoint.toml"),
            state_dir: self.state_dir(),
            actor: AUTHOR.to_owned(),
        }
    }

    /// Changes one of the project's files.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.root().join(file);
        let text = fs::read_to_string(&path).expect("readable");
        assert!(text.contains(from), "`{file}` has no `{from}`");
        fs::write(path, text.replace(from, to)).expect("written");
    }

    /// Starts the platform, at first on free ports, later on the same ones.
    pub(crate) async fn start_platform(&mut self) {
        let address_file = self.state_dir().join("platform.json");
        drop(fs::remove_file(&address_file));
        let child = self
            .command(&["up", "--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0"])
            .args(["--allow-faults", "--attached"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the command starts");
        self.platform = Some(child);
        until("the platform serves", async || address_file.is_file()).await;
    }

    /// Kills the platform as the kernel would.
    pub(crate) async fn kill_platform(&mut self) {
        if let Some(mut child) = self.platform.take() {
            child.kill().await.expect("it can be killed");
        }
    }

    /// Stops the platform with all its machines.
    pub(crate) async fn end(mut self) {
        if let Some(mut child) = self.platform.take() {
            drop(child.stdin.take());
            let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
            assert!(ended.is_ok(), "the platform does not stop");
        }
    }

    pub(crate) fn address(&self) -> PlatformAddress {
        self.settings().local_platform().expect("the platform's address")
    }

    /// The command with these arguments, in this world.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdpoint"));
        command
            .args(arguments)
            .current_dir(self.root())
            .env_clear()
            .envs([("HOLDPOINT_AS", AUTHOR), ("PATH", "/usr/local/bin:/usr/bin:/bin")])
            .env("HOLDPOINT_STATE_DIR", self.state_dir())
            .kill_on_drop(true)
            .stdin(Stdio::null());
        command
    }

    /// Starts the command with its output to be read at its end.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the command starts")
    }

    /// Runs the command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.start(arguments)).await
    }

    /// Runs a release to its end, with people who consent; it must end with this status.
    pub(crate) async fn release(&self, version: &str, code: i32) -> Ended {
        fs::write(self.root().join(format!("notes/{version}.md")), "News.").expect("written");
        let people = self.people();
        let ended = self.run(&["release", version]).await;
        people.abort();
        assert_eq!(ended.code, Some(code), "{}\n{}", ended.stdout, ended.stderr);
        ended
    }

    /// People who consent to whatever waits for them, over the socket, until they are stopped.
    pub(crate) fn people(&self) -> JoinHandle<()> {
        let socket = self.settings().socket();
        tokio::spawn(async move {
            loop {
                pause(LOOK_EVERY).await;
                let Ok(status) = client::read::<Status>(&socket, "/status").await else { continue };
                let Some(release) = status.release else { continue };
                if !matches!(release.waits_for, Some(WaitReason::Approvals { .. })) {
                    continue;
                }
                for role in release.missing_approvals {
                    let actor = Actor::new(person(role));
                    let command = Asked::Approve { plan: release.plan.clone(), role };
                    // the conductor may be killed at any moment: they try again then
                    drop(client::command(&socket, &CommandRequest { actor, command }).await);
                }
            }
        })
    }

    pub(crate) async fn status(&self) -> Option<Status> {
        client::read(&self.settings().socket(), "/status").await.ok()
    }

    /// Waits until the step of this name is under way.
    pub(crate) async fn until_step(&self, name: &str) {
        until(name, async || {
            let Some(status) = self.status().await else { return false };
            let steps = status.release.map(|release| release.steps).unwrap_or_default();
            steps.iter().any(|step| step.name == name && step.started_at.is_some())
        })
        .await;
    }

    pub(crate) async fn stored(&self) -> Stored {
        read_stored(&self.state_dir()).await.expect("readable").expect("a journal")
    }

    /// Breaks half of the answers that this version gives in production.
    pub(crate) async fn break_answers(&self, image_digest: &str) {
        let address = self.address();
        for (environment, _, app) in apps() {
            if environment == Environment::Staging {
                continue;
            }
            let fault = json!({
                "kind": "error",
                "status": 500,
                "share": 0.5,
                "app": app.as_str(),
                "image_digest": image_digest,
            });
            let client = reqwest::Client::builder().no_proxy().build().expect("a client");
            let url = format!("{}/admin/faults", address.api_base_url);
            let sent = client.post(url).bearer_auth(address.token()).json(&fault).send().await;
            assert!(sent.expect("an answer").status().is_success());
        }
    }

    /// Fifty requests a second to each app.
    pub(crate) fn traffic(&self) -> Traffic {
        let project = project_file::load(&self.settings().project_file).expect("a project");
        let proxy_url = self.address().proxy_url.expect("a proxy");
        let targets = apps().into_iter().map(|(environment, service, app)| Target {
            base_url: proxy_url.clone(),
            host: format!("{app}.localhost"),
            questions: project
                .service(service.as_str())
                .expect("the service")
                .questions(environment),
            party: Party { environment, service, app },
        });
        Traffic::start(targets.collect(), 50, &Clock::real()).expect("clients")
    }

    /// What runs: per app, each machine's name with its state, image and whether it is cordoned
    /// or leased.
    pub(crate) async fn fleet(&self) -> BTreeMap<String, Vec<String>> {
        let platform = Platform::new(&self.address()).expect("a client");
        let mut fleet = BTreeMap::new();
        for (_, _, app) in apps() {
            let client = platform.client();
            let machines = client.list_machines(app.as_str()).await.expect("machines");
            let mut lines = Vec::new();
            for machine in machines {
                let machine = serde_json::to_value(&machine).expect("JSON");
                let id = machine.get("id").and_then(serde_json::Value::as_str).expect("an id");
                let lease = client.get_lease(app.as_str(), id).await;
                let leased = if lease.is_ok() { ", leased" } else { "" };
                let text = |pointer: &str| {
                    machine.pointer(pointer).map_or_else(String::new, ToString::to_string)
                };
                lines.push(format!(
                    "{} {} {} cordoned {}{leased}",
                    text("/name"),
                    text("/state"),
                    text("/config/metadata/holdpoint_version"),
                    text("/cordoned"),
                ));
            }
            lines.sort();
            fleet.insert(app.to_string(), lines);
        }
        fleet
    }

    /// The reliability log without its time stamps.
    pub(crate) fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.root().join("reliability.md")).unwrap_or_default();
        let lines = text.lines().map(|line| match line.split_once("] ") {
            Some((stamp, rest)) if stamp.starts_with('[') => rest.to_owned(),
            Some(_) | None => line.to_owned(),
        });
        // what was measured differs from run to run
        let measured = ["Latency:", "Error rate:", "Memory:", "Reason:"];
        lines.filter(|line| !measured.iter().any(|name| line.starts_with(name))).collect()
    }
}

pub(crate) async fn ended(child: Child) -> Ended {
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let Ok(output) = output else { panic!("the command does not end") };
    let output = output.expect("its output");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Sends a signal as a person at the terminal does.
pub(crate) fn interrupt(child: &Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    kill_process(id.expect("a running process"), Signal::INT).expect("it can be told");
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let watch = Stopwatch::start();
    while !holds().await {
        assert!(watch.elapsed() < PATIENCE, "waited too long: {what}");
        pause(LOOK_EVERY).await;
    }
}

/// Whether a process ended by a signal.
pub(crate) fn was_killed(status: ExitStatus) -> bool {
    status.code().is_none()
}

pub(crate) fn apps() -> Vec<(Environment, ServiceName, AppName)> {
    let mut apps = Vec::new();
    for environment in [Environment::Staging, Environment::Production] {
        for service in SERVICES {
            let app = AppName::new(app_name(service, environment));
            apps.push((environment, ServiceName::new(service), app));
        }
    }
    apps
}

fn app_name(service: &str, environment: Environment) -> String {
    match environment {
        Environment::Staging => format!("shop-{service}-staging"),
        Environment::Production => format!("shop-{service}"),
    }
}

fn person(role: Role) -> &'static str {
    match role {
        Role::Engineer => "ada",
        Role::Manager | Role::Reliability => "grace",
    }
}

fn write_project(root: &Path) {
    fs::create_dir_all(root.join("notes")).expect("made");
    let services = SERVICES.map(service_text).concat();
    fs::write(root.join("holdpoint.toml"), format!("{PROJECT}{services}")).expect("written");
    for (environment, service, app) in apps() {
        let file = root.join(format!("fly.{service}.{environment}.toml"));
        fs::write(file, format!("app = \"{app}\"\n{APP}")).expect("written");
    }
    fs::copy(test_service(), root.join("program")).expect("copied");
}

fn service_text(service: &str) -> String {
    let after = if service == "web" { "after = [\"store\"]" } else { "" };
    format!(
        r#"
[[services]]
name = "{service}"
{after}

[services.build]
command = ["true"]
binary = "program"

[services.staging]
config = "fly.{service}.staging.toml"
machines = 2

[services.production]
config = "fly.{service}.production.toml"
machines = 2

[[services.smoke]]
name = "says its version"
path = "/"
within = "30s"
"#
    )
}

const PROJECT: &str = r#"[project]
name = "shop"
title = "Shop"
time_zone = "UTC"
reliability_log = "reliability.md"
release_notes = "notes/{version}.md"

[[people]]
name = "ada"
roles = ["engineer"]

[[people]]
name = "grace"
roles = ["manager"]

[[people]]
name = "rita"
roles = ["reliability"]

[staging]
health_within = "30s"
soak = "1s"

[production]
announce_before = "0s"
health_within = "30s"
settle = "1s"
validate = "1s"
synthetic = { budget = "30s" }
watch_after_rollback = "1s"

[gates]
error_rate = { warn = 0.01, critical = 0.05, critical_for = "1s", minimum_requests = 1 }
latency_p95 = { warn = "20s", critical = "30s", critical_for = "10m", minimum_requests = 1 }
comparison = { certify_at = 1, latency_floor = "20s", warm_up = "0s" }
stale_after = "10s"

[[windows]]
name = "always"
days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
from = "00:00"
to = "24:00"

[calendar]
holidays = "none"
avoid_month_end = false
freeze_quarter_end_days = 0

[[preflight.allowed]]
field = "http_service.auto_stop_machines"
reason = "the tests stop and start machines themselves"
"#;

const APP: &str = r#"
primary_region = "local"
kill_signal = "SIGTERM"

[env]
NOTE = "none"

[http_service]
internal_port = 8080
auto_stop_machines = "off"
auto_start_machines = true
min_machines_running = 2

[[http_service.checks]]
path = "/health"
interval = "1s"
timeout = "5s"
grace_period = "1s"

[[vm]]
memory = "256mb"
"#;

/// The example that is built beside the tests.
fn test_service() -> PathBuf {
    let command = Path::new(env!("CARGO_BIN_EXE_holdpoint"));
    let path = command.with_file_name("examples").join("test_service");
    assert!(path.is_file(), "{} is missing: build the examples first", path.display());
    path
}
