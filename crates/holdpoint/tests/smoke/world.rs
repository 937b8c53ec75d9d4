//! The example project with its real services, as machines of a platform in this process.

#![expect(clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use holdpoint::adapter::build::{self, BuildPlace};
use holdpoint::adapter::platform::PlatformAddress;
use holdpoint::executor::{Executor, ReleaseFacts, Settings};
use holdpoint::project_file;
use holdpoint::variables::Variables;
use holdpoint_core::effect::{CheckResult, Effect, Evidence, Outcome};
use holdpoint_core::id::{
    AppName, Course, EffectId, Environment, MachinePhase, ReleaseId, ServiceName, Slot,
};
use holdpoint_core::project::Project;
use platform_local::Platform;
use semver::Version;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::mpsc;

const TOKEN: &str = "test-token";

/// Busy computers are slow; a condition that holds earlier ends the wait.
const PATIENCE: Duration = Duration::from_mins(2);

/// How many machines each service has.
const MACHINES: u32 = 2;

/// The services, each after the one that it asks.
const SERVICES: [&str; 2] = ["llamaindex-mcp", "agent-service"];

pub(crate) struct World {
    directory: TempDir,
    platform: Platform,
    address: PlatformAddress,
    executor: Executor,
    project: Project,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    /// Production runs, each service on two machines.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("project");
        copy_example(&root);
        let project = project_file::load(&root.join("holdpoint.toml"));
        let project = project.unwrap_or_else(|problem| panic!("{}", problem.text()));
        let state = directory.path().join("platform");
        let platform = Platform::start(platform_local::Settings::new(state, TOKEN)).await;
        let platform = platform.expect("a platform");
        let api = format!("http://{}", platform.api_address());
        let proxy = format!("http://{}", platform.proxy_address());
        let address = PlatformAddress::local(&api, &proxy, TOKEN);
        let (terminal, _) = mpsc::channel(16);
        let settings = Settings {
            rehearsal_root: directory.path().join("state"),
            project_root: root,
            platform: address.clone(),
            notices: terminal,
            variables: Variables::default(),
        };
        let executor = Executor::new(settings).expect("an executor");
        let world = Self { directory, platform, address, executor, project };
        world.start().await;
        world
    }

    pub(crate) async fn end(self) {
        self.platform.stop(true).await;
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("project")
    }

    fn release(&self) -> ReleaseFacts {
        ReleaseFacts {
            project: self.project.clone(),
            version: "1.0.0".to_owned(),
            is_rehearsal: false,
            images: Vec::new(),
            rolled_back_in_staging_at: None,
            previous: Vec::new(),
            requests_per_sec: BTreeMap::new(),
        }
    }

    /// Changes one of the project's files.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.root().join(file);
        let text = fs::read_to_string(&path).expect("readable");
        assert!(text.contains(from), "`{file}` has no `{from}`");
        fs::write(path, text.replace(from, to)).expect("written");
    }

    /// Runs the command to its end, with this platform.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        let child = Command::new(env!("CARGO_BIN_EXE_holdpoint"))
            .args(arguments)
            .current_dir(self.root())
            .env_clear()
            .envs([("FLY_API_TOKEN", TOKEN), ("HOLDPOINT_AS", "ada")])
            .env("FLY_FLAPS_BASE_URL", &self.address.api_base_url)
            .env("HOLDPOINT_PROXY_URL", self.address.proxy_url.as_deref().expect("a proxy"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(PATIENCE, child).await.expect("it ends");
        let output = output.expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ended {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Asks a service its checks as a release does.
    pub(crate) async fn ask(&self, service: &str, course: Course) -> Vec<CheckResult> {
        let id = EffectId::Step { release: ReleaseId(1), course, step: 4, attempt: 1 };
        let environment = Environment::Production;
        let (service, app) = (ServiceName::new(service), app_of(service));
        let effect = Effect::Smoke { service, environment, app };
        let outcome = self.executor.perform(&id, &effect, Some(&self.release())).await;
        let Outcome::Done(Evidence::Checks(checks)) = outcome else {
            panic!("no checks were made: {outcome:?}");
        };
        checks
    }

    async fn start(&self) {
        let root = self.root();
        let place = BuildPlace {
            project_root: root.clone(),
            state_dir: self.directory.path().join("state"),
        };
        let mut images = BTreeMap::new();
        for service in &self.project.services {
            let image = build::pack(&place, service, &Version::new(1, 0, 0)).await;
            let image = image.expect("an image");
            let client = self.executor.platform().client();
            for environment in [Environment::Staging, Environment::Production] {
                let app = app_in(&service.name, environment);
                client.create_app(app.as_str(), "personal").await.expect("an app");
                build::push(&place, &image, &self.address, app.as_str()).await.expect("pushed");
            }
            images.insert(ServiceName::new(&service.name), image);
        }
        let observed = self.executor.platform().observe(&self.project, &root, &images).await;
        let facts = observed.expect("facts");
        for service in SERVICES {
            let facts = facts
                .iter()
                .find(|facts| {
                    facts.environment == Environment::Production
                        && facts.service.as_str() == service
                })
                .expect("the service");
            let mut config = facts.config.clone();
            if let Some(fields) = config.as_object_mut() {
                fields.insert("image".to_owned(), json!(facts.image_reference));
            }
            for index in 0..MACHINES {
                self.start_machine(service, index, config.clone()).await;
            }
        }
    }

    async fn start_machine(&self, service: &str, index: u32, config: serde_json::Value) {
        let app = app_of(service);
        let id = |phase| EffectId::Machine {
            release: ReleaseId(1),
            course: Course::Forward,
            step: 1,
            slot: Slot {
                environment: Environment::Production,
                service: ServiceName::new(service),
                index,
            },
            phase,
            attempt: 1,
        };
        let release = self.release();
        let perform = async |phase, effect: Effect| {
            self.executor.perform(&id(phase), &effect, Some(&release)).await
        };
        let create = Effect::CreateMachine {
            app: app.clone(),
            name: format!("{service}-{index}"),
            region: "local".to_owned(),
            config,
            secrets_version: None,
        };
        let made = perform(MachinePhase::Create, create).await;
        let Outcome::Done(Evidence::Machine { machine, instance_id }) = made else {
            panic!("no machine was made: {made:?}");
        };
        let within_secs = PATIENCE.as_secs();
        let await_health = Effect::AwaitHealth {
            app: app.clone(),
            machine: machine.clone(),
            instance_id,
            within_secs,
        };
        let healthy = perform(MachinePhase::Health, await_health).await;
        assert!(matches!(healthy, Outcome::Done(_)), "{healthy:?}");
        let uncordoned =
            perform(MachinePhase::Uncordon, Effect::Uncordon { app, machine, nonce: None }).await;
        assert!(matches!(uncordoned, Outcome::Done(_)), "{uncordoned:?}");
    }
}

/// The app of a service in production.
fn app_of(service: &str) -> AppName {
    app_in(service, Environment::Production)
}

fn app_in(service: &str, environment: Environment) -> AppName {
    match environment {
        Environment::Staging => AppName::new(format!("hotdash-{service}-staging")),
        Environment::Production => AppName::new(format!("hotdash-{service}")),
    }
}

/// The example, with programs that lie beside the command instead of ones to be built.
fn copy_example(root: &Path) {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hotdash");
    copy(&example, root);
    let programs = Path::new(env!("CARGO_BIN_EXE_holdpoint")).parent().expect("a folder");
    let file = root.join("holdpoint.toml");
    let mut text = fs::read_to_string(&file).expect("readable");
    for service in SERVICES {
        let program = programs.join(service);
        assert!(
            program.is_file(),
            "{} is missing: build it with `cargo build -p {service}`",
            program.display()
        );
        let built = format!("target/x86_64-unknown-linux-gnu/release/{service}");
        assert!(text.contains(&built), "the example builds `{service}` elsewhere");
        text = text.replace(&built, service);
    }
    let directory = format!("directory = \"{}\"", programs.display());
    text = text.replace("directory = \"../..\"", &directory);
    // a busy computer shows nothing about how quick the services are
    text = text.replace("budget = \"500ms\"", "budget = \"30s\"");
    fs::write(&file, text).expect("written");
    for service in SERVICES {
        let file = root.join(format!("smoke/{service}.toml"));
        let text = fs::read_to_string(&file).expect("readable");
        let text = text.replace("within = \"2s\"", "within = \"30s\"");
        fs::write(file, text.replace("p95 = \"500ms\"", "p95 = \"30s\"")).expect("written");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}
