//! Starts the binary on a free port, talks to it, stops or kills it, and waits for conditions.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Far more than anything takes; a wait returns as soon as its condition holds.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the service is started with. Its data outlive the processes.
pub(crate) struct Setup {
    directory: Arc<TempDir>,
    environment: BTreeMap<String, String>,
}

impl Setup {
    /// Without a knowledge server, Chatwoot or keys.
    pub(crate) fn new() -> Self {
        let environment = BTreeMap::from([
            ("PORT".to_owned(), "0".to_owned()),
            ("RUST_LOG".to_owned(), "info".to_owned()),
            // Nothing listens there.
            ("MCP_URL".to_owned(), "http://127.0.0.1:1/mcp".to_owned()),
        ]);
        Self { directory: Arc::new(tempfile::tempdir().unwrap()), environment }
    }

    /// With a knowledge server.
    pub(crate) fn knowing(knowledge: &crate::knowledge::Server) -> Self {
        Self::new().with("MCP_URL", &knowledge.url())
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agent-service"));
        command
            .env_clear()
            .envs(&self.environment)
            .env("DATA_DIR", self.data_dir())
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs the binary until it ends by itself; tells its status and its standard error.
    pub(crate) async fn run_to_end(&self) -> (ExitStatus, String) {
        let output = tokio::time::timeout(PATIENCE, self.command().output()).await.unwrap();
        let output = output.unwrap();
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Starts the service and waits until it listens.
    pub(crate) async fn start(&self) -> Service {
        let mut child = self.command().spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let port = tokio::time::timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                let event: Value = serde_json::from_str(&line).unwrap();
                log.lock().unwrap().push(event.clone());
                if event["message"] == "listening" {
                    let address = event["address"].as_str().unwrap();
                    return address.rsplit_once(':').unwrap().1.to_owned();
                }
            }
            panic!("the service ended before it listened");
        });
        let port = port.await.unwrap();
        let kept = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                // Every line must be JSON.
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Service {
            child,
            _directory: self.directory.clone(),
            base_url: format!("http://127.0.0.1:{port}"),
            client,
            log,
        }
    }
}

/// A running service.
pub(crate) struct Service {
    child: Child,
    /// Its data must not go before it does.
    _directory: Arc<TempDir>,
    pub(crate) base_url: String,
    pub(crate) client: reqwest::Client,
    pub(crate) log: Arc<Mutex<Vec<Value>>>,
}

impl Service {
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.client.get(self.at(path))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.client.post(self.at(path)).json(body)).await
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    /// Hands over a customer's message; it must be accepted.
    pub(crate) async fn customer_writes(&self, message_id: i64, conversation_id: i64, text: &str) {
        let body = webhook(message_id, conversation_id, text);
        let (status, body) = self.post("/webhooks/chatwoot", &body).await;
        assert_eq!((status, &body["status"]), (200, &json!("accepted")), "{body}");
    }

    /// The items in a state.
    pub(crate) async fn items(&self, state: &str) -> Vec<Value> {
        let (status, body) = self.get(&format!("/approvals?state={state}")).await;
        assert_eq!(status, 200, "{body}");
        body["items"].as_array().unwrap().clone()
    }

    /// Waits until so many items are in a state.
    pub(crate) async fn wait_for_items(&self, state: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} {state}"), || async {
            let items = self.items(state).await;
            (items.len() == count).then_some(items)
        })
        .await
    }

    /// Waits for the only pending item.
    pub(crate) async fn draft(&self) -> Value {
        self.wait_for_items("pending", 1).await.remove(0)
    }

    /// Waits until an item is in a state.
    pub(crate) async fn wait_for_state(&self, id: &str, state: &str) -> Value {
        eventually(&format!("{id} {state}"), || async {
            let (_, item) = self.get(&format!("/approvals/{id}")).await;
            (item["state"] == state).then_some(item)
        })
        .await
    }

    /// Approves an item as it is.
    pub(crate) async fn approve(&self, item: &Value) -> (u16, Value) {
        let path = format!("/approvals/{}/approve", item["id"].as_str().unwrap());
        self.post(&path, &json!({ "actor": "maria", "version": item["version"] })).await
    }

    /// The actions in an item's audit trail.
    pub(crate) async fn actions(&self, id: &str) -> Vec<String> {
        let (status, body) = self.get(&format!("/approvals/{id}/audit")).await;
        assert_eq!(status, 200, "{body}");
        let entries = body["entries"].as_array().unwrap();
        entries.iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) async fn metrics(&self) -> String {
        self.client.get(self.at("/metrics")).send().await.unwrap().text().await.unwrap()
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        let process = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(process, signal).unwrap();
    }

    /// Waits until the process ends by itself.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap()
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text);
    (status, body.unwrap_or_else(|error| panic!("{status} with {text:?}: {error}")))
}

/// A customer's message as Chatwoot sends it.
pub(crate) fn webhook(message_id: i64, conversation_id: i64, text: &str) -> Value {
    json!({
        "event": "message_created", "id": message_id, "content": text,
        "content_type": "text", "message_type": "incoming", "private": false,
        "sender": {"id": 9, "name": "Ana", "email": "ana@example.com", "type": "contact"},
        "conversation": {"id": conversation_id, "status": "open", "inbox_id": 1},
        "inbox": {"id": 1, "name": "Shop"}, "account": {"id": 3, "name": "Shop"}
    })
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T, F, Fut>(what: &str, condition: F) -> T
where
    F: Fn() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let asking = async {
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            pause().await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, asking).await;
    found.unwrap_or_else(|_elapsed| panic!("never came: {what}"))
}

#[expect(clippy::disallowed_methods, reason = "between two looks at a condition")]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(25)).await;
}

/// Runs a statement on a stopped service's database.
pub(crate) async fn on_database(data_dir: &Path, statement: &'static str) {
    use sqlx::ConnectOptions as _;
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(data_dir.join("agent-service.sqlite"));
    let mut connection = options.connect().await.unwrap();
    let done = sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
    sqlx::Connection::close(connection).await.unwrap();
}
