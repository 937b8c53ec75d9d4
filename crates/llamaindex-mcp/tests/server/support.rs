//! Starts the real binary on a free port, over a copy of the example's articles, and reads its log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Generous, for a machine that is compiling; every wait returns as soon as it can.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The example's articles and an empty index folder, to be changed at will.
pub(crate) struct Folders {
    root: tempfile::TempDir,
}

impl Folders {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().expect("folder");
        std::fs::create_dir(root.path().join("docs")).expect("docs made");
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hotdash/docs");
        for entry in std::fs::read_dir(example).expect("the example's articles") {
            let entry = entry.expect("entry");
            let copy = root.path().join("docs").join(entry.file_name());
            std::fs::copy(entry.path(), copy).expect("copied");
        }
        Self { root }
    }

    pub(crate) fn docs(&self) -> PathBuf {
        self.root.path().join("docs")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.path().join("index")
    }
}

/// A running service; killed when dropped.
pub(crate) struct Running {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<Vec<Value>>>,
    client: reqwest::Client,
}

impl Running {
    pub(crate) async fn start(folders: &Folders) -> Self {
        let mut child = command(folders).stdout(Stdio::piped()).spawn().expect("started");
        let log = Arc::new(Mutex::new(Vec::new()));
        let stdout = child.stdout.take().expect("piped");
        tokio::spawn(gather(BufReader::new(stdout), Arc::clone(&log)));
        let client = reqwest::Client::new();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut running = Self { child, address, log, client };
        let line = running.logged("listening").await;
        running.address = line
            .get("address")
            .and_then(Value::as_str)
            .expect("address")
            .parse()
            .expect("an address");
        running
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits for the log line with this message.
    pub(crate) async fn logged(&self, message: &str) -> Value {
        let found = || {
            let log = self.log.lock().expect("log");
            log.iter().find(|line| line["message"] == message).cloned()
        };
        until(message, async || found()).await
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        self.client.get(self.url(path)).send().await.expect("answered")
    }

    pub(crate) async fn metric(&self, line: &str) -> Option<f64> {
        let text = self.get("/metrics").await.text().await.expect("text");
        text.lines().find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
    }

    /// A POST to /mcp as a client of the plain (2025) wire sends it.
    pub(crate) fn post(&self, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.client
            .post(self.url("/mcp"))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(body)
    }

    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.post(body.to_string()).send().await.expect("answered");
        answer.json().await.expect("JSON")
    }

    /// The result of a tool call.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Value {
        let params = json!({ "name": tool, "arguments": arguments });
        let answer = self.rpc("tools/call", params).await;
        assert!(answer.get("result").is_some(), "no result: {answer}");
        answer.get("result").cloned().unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).expect("running");
        let process = rustix::process::Pid::from_raw(id).expect("a process id");
        rustix::process::kill_process(process, signal).expect("signalled");
    }

    pub(crate) async fn exit_status(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it left").expect("status")
    }
}

/// The service as it is started in every test.
pub(crate) fn command(folders: &Folders) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llamaindex-mcp"));
    command
        .env_clear()
        .env("PORT", "0")
        .env("LISTEN_ADDRESS", "127.0.0.1")
        .env("DOCS_DIR", folders.docs())
        .env("INDEX_DIR", folders.index())
        .kill_on_drop(true);
    command
}

/// Asks again and again until there is an answer.
pub(crate) async fn until<T>(what: &str, attempt: impl AsyncFn() -> Option<T>) -> T {
    let mut pause = tokio::time::interval(Duration::from_millis(10));
    let waiting = async {
        loop {
            pause.tick().await;
            if let Some(answer) = attempt().await {
                return answer;
            }
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, waiting).await.ok();
    in_time.ok_or(what).expect("waited for too long")
}

async fn gather(stdout: BufReader<tokio::process::ChildStdout>, log: Arc<Mutex<Vec<Value>>>) {
    let mut lines = stdout.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let value = serde_json::from_str(&line).expect("every log line is JSON");
        log.lock().expect("log").push(value);
    }
}
