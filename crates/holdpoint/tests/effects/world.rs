//! A platform in this process, a project with one service, its image, and an executor.

#![expect(clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdpoint::adapter::build::{self, BuildPlace};
use holdpoint::adapter::platform::PlatformAddress;
use holdpoint::executor::{Executor, ReleaseFacts, Settings};
use holdpoint::variables::Variables;
use holdpoint_core::effect::{CheckResult, Effect, Evidence, Notice, Outcome, RefusalKind};
use holdpoint_core::id::{
    AppName, Course, EffectId, Environment, ImageDigest, InstanceId, MachineId, MachinePhase,
    ReleaseId, ServiceName, Slot,
};
use holdpoint_core::observation::ServiceFacts;
use holdpoint_core::project::{self, Project};
use platform_local::Platform;
use semver::Version;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

pub(crate) const APP: &str = "shop";
pub(crate) const STAGING_APP: &str = "shop-staging";
const TOKEN: &str = "test-token";

/// Busy computers are slow; a condition that holds earlier ends the wait.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

const PROJECT: &str = r#"
[project]
name = "shop"
time_zone = "UTC"
release_notes = "notes/{version}.md"
reliability_log = "feedback/reliability.md"

[[people]]
name = "ada"
roles = ["engineer", "manager"]

[[services]]
name = "web"
required_secrets = ["KEY"]

[services.build]
command = ["true"]
binary = "program"

[services.staging]
config = "staging.toml"

[services.production]
config = "production.toml"
machines = 2

[[services.smoke]]
name = "says its version"
path = "/"
expect_body_contains = "1.0.0"
within = "30s"

[[preflight.allowed]]
field = "http_service"
reason = "the tests stop and start machines themselves"
"#;

pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) platform: Option<Platform>,
    pub(crate) address: PlatformAddress,
    pub(crate) executor: Executor,
    pub(crate) project: Project,
    pub(crate) image: ImageDigest,
    pub(crate) notices: mpsc::Receiver<Notice>,
}

impl World {
    /// Both apps exist, the image of 1.0.0 is pushed, no machine is there.
    pub(crate) async fn new() -> Self {
        Box::pin(Self::with(|_| {})).await
    }

    /// The same, on a platform with other settings.
    pub(crate) async fn with(adjust: impl FnOnce(&mut platform_local::Settings)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("project");
        write_project(&root);
        let (project, problems) = project::parse(PROJECT);
        let project = project.unwrap_or_else(|| panic!("{problems:?}"));
        let state = directory.path().join("platform");
        let mut settings = platform_local::Settings::new(state, TOKEN);
        adjust(&mut settings);
        let platform = Platform::start(settings).await.expect("a platform");
        let api = format!("http://{}", platform.api_address());
        let proxy = format!("http://{}", platform.proxy_address());
        let address = PlatformAddress::local(&api, &proxy, TOKEN);
        let (executor, notices) = executor(&root, &address);
        let place = BuildPlace { project_root: root, state_dir: directory.path().join("state") };
        let service = project.service("web").expect("the service");
        let version = Version::new(1, 0, 0);
        let image = build::pack(&place, service, &version).await.expect("an image");
        for app in [APP, STAGING_APP] {
            let client = executor.platform().client();
            client.create_app(app, "personal").await.expect("an app");
            let values = BTreeMap::from([("KEY".to_owned(), Some(format!("value-of-{app}")))]);
            client.set_secrets(app, &values).await.expect("secrets");
            build::push(&place, &image, &address, app).await.expect("pushed");
        }
        Self { directory, platform: Some(platform), address, executor, project, image, notices }
    }

    pub(crate) async fn end(self) {
        self.platform.expect("a platform").stop(true).await;
    }

    pub(crate) fn api_address(&self) -> std::net::SocketAddr {
        self.platform.as_ref().expect("a platform").api_address()
    }

    /// Ends the platform and starts it again on the same state and the same ports.
    pub(crate) async fn restart_platform(&mut self) {
        let state = self.directory.path().join("platform");
        let ended = self.platform.take().expect("a platform");
        ended.stop(false).await;
        let platform = Platform::start(platform_local::Settings::new(state, TOKEN)).await;
        self.platform = Some(platform.expect("a platform"));
    }

    /// From now on the executor reaches the platform's API at another address.
    pub(crate) fn reach_through(&mut self, api_base_url: &str) {
        let mut address = self.address.clone();
        api_base_url.clone_into(&mut address.api_base_url);
        (self.executor, self.notices) = executor(&self.root(), &address);
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("project")
    }

    /// From now on the project has these lines too.
    pub(crate) fn rules(&mut self, rules: &str) {
        let (project, problems) = project::parse(&format!("{PROJECT}{rules}"));
        self.project = project.unwrap_or_else(|| panic!("{problems:?}"));
    }

    pub(crate) fn release(&self, version: &str) -> ReleaseFacts {
        let images = [STAGING_APP, APP].map(|app| (AppName::new(app), self.image.clone()));
        ReleaseFacts {
            project: self.project.clone(),
            version: version.to_owned(),
            is_rehearsal: false,
            images: images.to_vec(),
            rolled_back_in_staging_at: None,
            previous: Vec::new(),
            requests_per_sec: BTreeMap::from([(ServiceName::new("web"), 0.2)]),
        }
    }

    pub(crate) async fn observe(&self) -> Vec<ServiceFacts> {
        let images = BTreeMap::from([(ServiceName::new("web"), self.image.clone())]);
        let platform = self.executor.platform();
        platform.observe(&self.project, &self.root(), &images).await.expect("facts")
    }

    /// The facts of production.
    pub(crate) async fn production(&self) -> ServiceFacts {
        let mut facts = self.observe().await;
        facts.retain(|facts| facts.environment == Environment::Production);
        facts.pop().expect("production")
    }

    /// The whole config of a machine, with these variables.
    pub(crate) async fn config(&self, env: &[(&str, &str)]) -> Value {
        let facts = self.production().await;
        let mut config = facts.config;
        config["image"] = json!(facts.image_reference);
        for (name, value) in env {
            config["env"][*name] = json!(value);
        }
        config
    }

    pub(crate) async fn perform(&self, id: &EffectId, effect: Effect) -> Outcome {
        self.executor.perform(id, &effect, Some(&self.release("1.0.0"))).await
    }

    pub(crate) async fn create(&self, id: &EffectId, env: &[(&str, &str)]) -> Outcome {
        let config = self.config(env).await;
        let effect = Effect::CreateMachine {
            app: AppName::new(APP),
            name: format!("web-{}", slot_index(id)),
            region: "local".to_owned(),
            config,
            secrets_version: Some(1),
        };
        self.perform(id, effect).await
    }

    pub(crate) async fn await_health(
        &self,
        machine: &MachineId,
        instance_id: &InstanceId,
        within_secs: u64,
    ) -> Outcome {
        let (machine, instance_id) = (machine.clone(), instance_id.clone());
        let app = AppName::new(APP);
        let effect = Effect::AwaitHealth { app, machine, instance_id, within_secs };
        self.perform(&id(MachinePhase::Health, 0, 1), effect).await
    }

    /// A machine that is healthy and in the rotation.
    pub(crate) async fn healthy_machine(&self, index: u32) -> (MachineId, InstanceId) {
        let created = self.create(&id(MachinePhase::Create, index, 1), &[]).await;
        let (machine, instance_id) = made(&created);
        let healthy = self.await_health(&machine, &instance_id, PATIENCE.as_secs()).await;
        assert!(matches!(healthy, Outcome::Done(Evidence::Healthy { .. })), "{healthy:?}");
        let (app, nonce) = (AppName::new(APP), None);
        let effect = Effect::Uncordon { app, machine: machine.clone(), nonce };
        is_done(&self.perform(&id(MachinePhase::Uncordon, index, 1), effect).await);
        (machine, instance_id)
    }

    /// Takes the machine's lease for a minute.
    pub(crate) async fn lease(
        &self,
        machine: &MachineId,
        attempt: u32,
        supersedes: Option<String>,
    ) -> Outcome {
        let (app, machine) = (AppName::new(APP), machine.clone());
        let effect = Effect::AcquireLease { app, machine, supersedes, ttl_secs: 60 };
        self.perform(&id(MachinePhase::Lease, 0, attempt), effect).await
    }

    /// Asks the app through the proxy; gives status and body.
    pub(crate) async fn ask(&self) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
        let url = self.address.proxy_url.clone().expect("a proxy");
        let request = client.expect("a client").get(url).header("host", format!("{APP}.localhost"));
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }
}

pub(crate) fn id(phase: MachinePhase, index: u32, attempt: u32) -> EffectId {
    let service = ServiceName::new("web");
    let slot = Slot { environment: Environment::Production, service, index };
    EffectId::Machine {
        release: ReleaseId(1),
        course: Course::Forward,
        step: 3,
        slot,
        phase,
        attempt,
    }
}

pub(crate) fn step_id() -> EffectId {
    EffectId::Step { release: ReleaseId(1), course: Course::Forward, step: 0, attempt: 1 }
}

pub(crate) fn made(outcome: &Outcome) -> (MachineId, InstanceId) {
    let Outcome::Done(Evidence::Machine { machine, instance_id }) = outcome.clone() else {
        panic!("no machine was made: {outcome:?}");
    };
    (machine, instance_id)
}

pub(crate) fn nonce_of(outcome: &Outcome) -> (String, InstanceId) {
    let Outcome::Done(Evidence::Lease { nonce, instance_id }) = outcome.clone() else {
        panic!("no lease was taken: {outcome:?}");
    };
    (nonce, instance_id)
}

pub(crate) fn checks_of(outcome: &Outcome) -> Vec<CheckResult> {
    let Outcome::Done(Evidence::Checks(checks)) = outcome.clone() else {
        panic!("no checks were made: {outcome:?}");
    };
    checks
}

pub(crate) fn is_done(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
}

pub(crate) fn is_refused(outcome: &Outcome, kind: RefusalKind) {
    let fits = matches!(outcome, Outcome::Refused(refusal) if refusal.kind == kind);
    assert!(fits, "{outcome:?} is not {kind:?}");
}

pub(crate) fn failure(outcome: &Outcome) -> String {
    let Outcome::Failed(failure) = outcome.clone() else {
        panic!("it did not fail: {outcome:?}");
    };
    failure.message
}

fn executor(root: &Path, address: &PlatformAddress) -> (Executor, mpsc::Receiver<Notice>) {
    let (terminal, notices) = mpsc::channel(16);
    let settings = Settings {
        project_root: root.to_owned(),
        platform: address.clone(),
        notices: terminal,
        variables: Variables::default(),
        rehearsal_root: root.join("rehearsal"),
    };
    (Executor::new(settings).expect("an executor"), notices)
}

fn slot_index(id: &EffectId) -> u32 {
    match id {
        EffectId::Machine { slot, .. } => slot.index,
        EffectId::Step { .. } | EffectId::Message { .. } | EffectId::Delivery { .. } => 0,
    }
}

fn write_project(root: &Path) {
    fs::create_dir_all(root.join("notes")).expect("made");
    fs::write(root.join("notes/1.0.0.md"), "The first.").expect("written");
    for (name, app) in [("staging.toml", STAGING_APP), ("production.toml", APP)] {
        fs::write(root.join(name), app_file(app)).expect("written");
    }
    fs::copy(test_service(), root.join("program")).expect("copied");
}

fn app_file(app: &str) -> String {
    format!(
        r#"
app = "{app}"
primary_region = "local"
kill_signal = "SIGTERM"

[http_service]
internal_port = 8080
auto_stop_machines = "off"
auto_start_machines = true

[[http_service.checks]]
path = "/health"
interval = "1s"
timeout = "5s"
grace_period = "1s"

[[vm]]
memory = "256mb"
"#
    )
}

/// The example that is built beside the tests.
fn test_service() -> PathBuf {
    let own = std::env::current_exe().expect("own path");
    let target = own.parent().and_then(Path::parent).expect("a target directory");
    let path = target.join("examples").join("test_service");
    assert!(path.is_file(), "{} is missing: build the examples first", path.display());
    path
}
