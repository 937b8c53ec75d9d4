//! A platform as people run it, `holdpoint up`, as a process of its own, and what a benchmark asks
//! of it.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use holdpoint::{adapter::platform::PlatformAddress, settings::ADDRESS_FILE};
use oci_image::{
    build::{ImageSpec, build},
    layout::Layout,
    registry,
};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{Outcome, backend, scratch};

/// Whatever takes longer than this has gone wrong.
const PATIENCE: Duration = Duration::from_mins(1);

/// Between two looks for something that will be there soon.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// A platform that serves. It ends, with its machines, when this value does: it was started to
/// leave when its standard input ends.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) api: String,
    pub(crate) proxy: SocketAddr,
    pub(crate) token: String,
    state: TempDir,
    child: Child,
    http: reqwest::Client,
}

impl World {
    pub(crate) async fn start() -> Outcome<Self> {
        Self::start_in(tempfile::tempdir_in(scratch())?).await
    }

    async fn start_in(state: TempDir) -> Outcome<Self> {
        let child = Command::new(env!("CARGO_BIN_EXE_holdpoint"))
            .args(["up", "--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0", "--attached"])
            .arg("--state-dir")
            .arg(state.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let file = state.path().join(ADDRESS_FILE);
        let written = within("the platform's address", || fs::read(&file).ok()).await?;
        let address: Value = serde_json::from_slice(&written)?;
        let text = |name: &str| address[name].as_str().unwrap_or_default().to_owned();
        let token = fs::read_to_string(text("token_file"))?.trim().to_owned();
        let proxy = text("proxy").trim_start_matches("http://").parse()?;
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Self { api: text("api"), proxy, token, state, child, http })
    }

    pub(crate) fn state_dir(&self) -> &Path {
        self.state.path()
    }

    pub(crate) fn address(&self) -> PlatformAddress {
        PlatformAddress::local(&self.api, &format!("http://{}", self.proxy), &self.token)
    }

    /// Ends the platform and all its machines.
    pub(crate) async fn end(mut self) -> Outcome<()> {
        drop(self.child.stdin.take());
        tokio::time::timeout(PATIENCE, self.child.wait()).await??;
        Ok(())
    }

    /// Calls the Machines API. A refusal is an error.
    pub(crate) async fn call(&self, method: Method, path: &str, body: &Value) -> Outcome<Value> {
        let request = self.http.request(method, format!("{}/v1{path}", self.api));
        let answer = request.bearer_auth(&self.token).json(body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            return Err(format!("{path}: {status} {text}").into());
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub(crate) async fn get(&self, path: &str) -> Outcome<Value> {
        self.call(Method::GET, path, &Value::Null).await
    }

    /// An app and the image of the benchmark's own program; gives the image's name.
    pub(crate) async fn create_app(&self, app: &str) -> Outcome<String> {
        let body = json!({"app_name": app, "org_slug": "personal"});
        self.call(Method::POST, "/apps", &body).await?;
        let layout = Layout::open(self.state.path().join("bench-images"))?;
        let spec = ImageSpec {
            binary: std::env::current_exe()?,
            entrypoint: "/app".to_owned(),
            files: Vec::new(),
            env: BTreeMap::from([(backend::ROLE.to_owned(), "machine".to_owned())]),
            labels: BTreeMap::new(),
            working_dir: "/".to_owned(),
            user: None,
            exposed_port: Some(8080),
        };
        let digest = build(&spec, &layout)?;
        registry::push(&layout, &digest, &self.api, app, Some(&self.token)).await?;
        Ok(format!("127.0.0.1/{app}@{digest}"))
    }

    /// Creates a machine and gives its id.
    pub(crate) async fn create_machine(&self, app: &str, body: &Value) -> Outcome<String> {
        let machine = self.call(Method::POST, &format!("/apps/{app}/machines"), body).await?;
        Ok(machine["id"].as_str().unwrap_or_default().to_owned())
    }

    /// Asks an app through the proxy, until it answers well.
    pub(crate) async fn answer_of(&self, app: &str, path: &str) -> Outcome<String> {
        let begun = Instant::now();
        loop {
            let request = self.http.get(format!("http://{}{path}", self.proxy));
            let answer = request.header("host", format!("{app}.localhost")).send().await?;
            if answer.status().is_success() {
                return Ok(answer.text().await?);
            }
            if begun.elapsed() > PATIENCE {
                let (status, text) = (answer.status(), answer.text().await?);
                return Err(format!("{app}{path}: {status} {text}").into());
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    /// Memory that the platform's process holds, without its machines, in megabytes.
    pub(crate) fn memory_mb(&self) -> Outcome<f64> {
        let status = fs::read_to_string(self.proc_file("status")?)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kilobytes = line.split_whitespace().next().unwrap_or_default();
        Ok(kilobytes.parse::<f64>()? / 1024.0)
    }

    /// CPU time that the platform's process has used, without its machines.
    pub(crate) fn cpu_time(&self) -> Outcome<Duration> {
        let stat = fs::read_to_string(self.proc_file("stat")?)?;
        // The name of the program, in brackets, may hold spaces.
        let (_, fields) = stat.rsplit_once(')').ok_or("no stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks = ticks.sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(ticks * 10))
    }

    fn proc_file(&self, name: &str) -> Outcome<PathBuf> {
        let pid = self.child.id().ok_or("the platform has ended")?;
        Ok(PathBuf::from(format!("/proc/{pid}/{name}")))
    }
}

/// Looks for something until it is there.
async fn within<T>(what: &str, look: impl Fn() -> Option<T>) -> Outcome<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("{what} is not there after {PATIENCE:?}").into());
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}
