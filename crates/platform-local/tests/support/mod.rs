//! What the tests share: an image of the echo machine, a platform, a client, and load.

#![expect(dead_code, reason = "each test binary uses a part of it")]
#![expect(unreachable_pub, reason = "a module of several test binaries")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use engine::Engine;
use machines_api::types::{CreateMachine, ExitEvent, Machine, MachineConfig};
use oci_image::{
    ImageDigest,
    build::{ImageSpec, build},
    layout::Layout,
    registry,
};
use platform_local::{Platform, Runtime, Settings};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use state::StateDirectory;

pub mod deviations;
pub mod engine;
pub mod load;
pub mod process;
pub mod schema;
pub mod state;
pub mod tls;
pub mod witness;
pub mod writer;

pub const TOKEN: &str = "test-token";

/// Busy computers are slow; a condition that holds earlier ends the wait.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A platform in this process, with the echo machine pushed as image.
pub struct World {
    /// Of the test's own, if machines run in containers. It ends before their files do.
    pub engine: Option<Engine>,
    pub state: StateDirectory,
    pub platform: Option<Platform>,
    pub api: Client,
    pub image: ImageDigest,
}

/// The two addresses of a platform, and how to speak to them.
#[derive(Debug, Clone)]
pub struct Client {
    pub api: SocketAddr,
    pub proxy: SocketAddr,
    http: reqwest::Client,
}

/// A line of an app's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub provider: String,
    pub level: String,
    pub machine: String,
    pub message: String,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_settings| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::in_with(Runtime::Process, change).await
    }

    /// A platform that looks for idle machines all the time, and takes one for idle after a second.
    pub async fn that_soon_stops_the_idle() -> Self {
        Self::with(|settings| {
            settings.idle_stop_secs = 1;
            settings.idle_look_ms = 100;
        })
        .await
    }

    /// A platform whose machines run in this.
    pub async fn in_(runtime: Runtime) -> Self {
        Self::in_with(runtime, |_settings| {}).await
    }

    /// The same with other settings.
    pub async fn in_with(runtime: Runtime, change: impl FnOnce(&mut Settings)) -> Self {
        let engine = match runtime {
            Runtime::Process => None,
            Runtime::Container => Some(Engine::start().await),
        };
        let state = StateDirectory::new();
        let mut settings = settings(&state, engine.as_ref());
        settings.allow_faults = true;
        change(&mut settings);
        let platform = Platform::start(settings).await.expect("a platform");
        let api = Client::new(platform.api_address(), platform.proxy_address());
        let image = api.push_image(&[]).await;
        Self { engine, state, platform: Some(platform), api, image }
    }

    /// Ends the platform and starts it again on the same state, as an upgrade would.
    pub async fn restart_platform(&mut self) {
        self.restart_platform_with(|_settings| {}).await;
    }

    /// The same with other settings.
    pub async fn restart_platform_with(&mut self, change: impl FnOnce(&mut Settings)) {
        self.platform.take().expect("a platform").stop(false).await;
        let mut settings = settings(&self.state, self.engine.as_ref());
        change(&mut settings);
        let platform = Platform::start(settings).await.expect("a platform");
        self.api = Client::new(platform.api_address(), platform.proxy_address());
        self.platform = Some(platform);
    }

    pub async fn end(mut self) {
        self.platform.take().expect("a platform").stop(true).await;
    }

    /// The ids of the machines' programs that run now, by machine.
    pub fn programs(&self) -> BTreeMap<String, i32> {
        match &self.engine {
            Some(engine) => engine.programs(),
            None => self.state.programs(),
        }
    }

    /// Whether the machine's program is kept from running.
    pub fn is_frozen(&self, machine: &str) -> bool {
        match &self.engine {
            Some(engine) => engine.frozen().iter().any(|name| name.contains(machine)),
            None => self.state.programs().get(machine).is_some_and(|pid| state::is_stopped(*pid)),
        }
    }

    /// A config with one service, one health check and these variables.
    pub fn config(&self, env: &[(&str, &str)]) -> MachineConfig {
        config(&self.image, env)
    }

    /// An app with so many machines of version `one`, all of them ready.
    pub async fn app(&self, name: &str, machines: usize) -> Vec<String> {
        self.api.create_app(name).await;
        let mut ids = Vec::new();
        for _ in 0..machines {
            ids.push(self.api.create(name, self.config(&[("VERSION", "one")])).await.id);
        }
        for id in &ids {
            self.api.ready(name, id).await;
        }
        ids
    }
}

fn settings(state: &StateDirectory, engine: Option<&Engine>) -> Settings {
    let mut settings = Settings::new(state.path(), TOKEN);
    if let Some(engine) = engine {
        settings.runtime = Runtime::Container;
        settings.engine_socket = Some(engine.socket());
    }
    settings
}

pub fn config(image: &ImageDigest, env: &[(&str, &str)]) -> MachineConfig {
    let env: BTreeMap<_, _> = env.iter().copied().collect();
    let text = json!({
        "image": format!("127.0.0.1/echo@{image}"),
        "env": env,
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
        "stop_config": {"timeout": "5s", "signal": "SIGTERM"},
        "services": [{
            "protocol": "tcp", "internal_port": 8080, "autostart": true,
            "ports": [{"port": 80, "handlers": ["http"]},
                      {"port": 443, "handlers": ["tls", "http"]}],
            "checks": [{"type": "http", "path": "/health", "interval": "1s", "timeout": "5s",
                        "grace_period": "30s"}]
        }]
    });
    serde_json::from_value(text).expect("a config")
}

impl Client {
    pub fn new(api: SocketAddr, proxy: SocketAddr) -> Self {
        let http =
            reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        Self { api, proxy, http }
    }

    /// Packs the echo machine, with these variables in the image itself, and pushes it.
    pub async fn push_image(&self, env: &[(&str, &str)]) -> ImageDigest {
        let directory = tempfile::tempdir().expect("a directory");
        let layout = Layout::open(directory.path()).expect("a layout");
        let spec = ImageSpec {
            binary: example("echo_machine"),
            entrypoint: "/app".to_owned(),
            files: Vec::new(),
            env: env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            labels: BTreeMap::new(),
            working_dir: "/".to_owned(),
            user: None,
            exposed_port: Some(8080),
        };
        let digest = build(&spec, &layout).expect("an image");
        let base = format!("http://{}", self.api);
        registry::push(&layout, &digest, &base, "echo", Some(TOKEN)).await.expect("pushed");
        digest
    }

    /// A call to the API; gives its status and its body (null if it is no JSON).
    pub async fn call(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        self.call_as(method, path, body, None).await
    }

    /// The same under a lease.
    pub async fn call_as(
        &self,
        method: Method,
        path: &str,
        body: Value,
        nonce: Option<&str>,
    ) -> (StatusCode, Value) {
        self.attempt(method, path, body, nonce).await.expect("an answer")
    }

    /// The same of a platform that may be killed before it has answered.
    pub async fn attempt(
        &self,
        method: Method,
        path: &str,
        body: Value,
        nonce: Option<&str>,
    ) -> reqwest::Result<(StatusCode, Value)> {
        let mut request = self
            .http
            .request(method.clone(), format!("http://{}{path}", self.api))
            .bearer_auth(TOKEN);
        if !body.is_null() {
            request = request.json(&body);
        }
        if let Some(nonce) = nonce {
            request = request.header("fly-machine-lease-nonce", nonce);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let bytes = answer.bytes().await?;
        let checked = schema::check(method.as_str(), path, status.as_u16(), &bytes);
        assert_eq!(checked, Ok(()));
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    /// A call that must succeed.
    pub async fn done(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(method.clone(), path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    pub async fn post(&self, path: &str) -> Value {
        self.done(Method::POST, path, Value::Null).await
    }

    pub async fn create_app(&self, name: &str) {
        let body = json!({"name": name, "org_slug": "personal"});
        self.done(Method::POST, "/v1/apps", body).await;
    }

    pub async fn create(&self, app: &str, config: MachineConfig) -> Machine {
        let body = CreateMachine { config, ..CreateMachine::default() };
        let body = serde_json::to_value(body).expect("a body");
        let made = self.done(Method::POST, &format!("/v1/apps/{app}/machines"), body).await;
        serde_json::from_value(made).expect("a machine")
    }

    pub async fn update(&self, app: &str, id: &str, config: &MachineConfig) -> Machine {
        let path = format!("/v1/apps/{app}/machines/{id}");
        let made = self.done(Method::POST, &path, json!({"config": config})).await;
        serde_json::from_value(made).expect("a machine")
    }

    pub async fn machine(&self, app: &str, id: &str) -> Machine {
        let path = format!("/v1/apps/{app}/machines/{id}");
        let read = self.done(Method::GET, &path, Value::Null).await;
        serde_json::from_value(read).expect("a machine")
    }

    pub async fn wait(&self, app: &str, id: &str, state: &str) {
        let path = format!("/v1/apps/{app}/machines/{id}/wait?state={state}&timeout=60");
        self.done(Method::GET, &path, Value::Null).await;
    }

    /// Waits until the machine is started and every check passes.
    pub async fn ready(&self, app: &str, id: &str) {
        self.wait(app, id, "started").await;
        until("the checks pass", || async {
            let machine = self.machine(app, id).await;
            let passing = machines_api::types::CheckHealth::Passing;
            machine.checks.iter().all(|check| check.status == passing)
        })
        .await;
    }

    /// A request to an app through the proxy.
    pub fn request(&self, method: Method, app: &str, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("http://{}{path}", self.proxy))
            .header("host", format!("{app}.localhost"))
    }

    /// What an app answers to a GET through the proxy.
    pub async fn get(&self, app: &str, path: &str) -> (StatusCode, String) {
        let answer = self.request(Method::GET, app, path).send().await.expect("an answer");
        (answer.status(), answer.text().await.expect("a body"))
    }

    /// The newest lines of an app's log: who wrote each, of which machine, and what.
    pub async fn log_lines(&self, app: &str) -> Vec<LogLine> {
        let path = format!("/api/v1/apps/{app}/logs?next_token=");
        let page = self.done(Method::GET, &path, Value::Null).await;
        let text = |line: &Value, field: &str| {
            let value = line.pointer(&format!("/attributes/{field}"));
            value.and_then(Value::as_str).expect("a text").to_owned()
        };
        let lines =
            page.get("data").and_then(Value::as_array).expect("lines").iter().map(|line| LogLine {
                provider: text(line, "meta/event/provider"),
                level: text(line, "level"),
                machine: text(line, "instance"),
                message: text(line, "message"),
            });
        lines.collect()
    }

    pub async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.api);
        self.http.get(url).send().await.expect("an answer").text().await.expect("a body")
    }
}

/// How the programs of a machine have ended, the newest first.
pub fn exits(machine: &Machine) -> Vec<ExitEvent> {
    machine.events.iter().filter_map(|event| event.exit_event()).cloned().collect()
}

/// Asks again and again until the condition holds.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let look = async {
        while !condition().await {
            pause(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, look).await.is_ok(), "never came: {what}");
}

#[expect(clippy::disallowed_methods, reason = "between two looks at a condition")]
pub async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// A program of this package's examples, which cargo builds beside the tests.
pub fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("own path");
    let target = own.parent().and_then(Path::parent).expect("a target directory");
    let path = target.join("examples").join(name);
    assert!(path.is_file(), "{} is missing: build the examples first", path.display());
    path
}
