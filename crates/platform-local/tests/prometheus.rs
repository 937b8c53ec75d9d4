//! A real Prometheus scrapes the platform and the apps that it names, and answers what an operator
//! asks in the words of the page about metrics.

mod support;

use std::{
    collections::BTreeSet,
    io::Write as _,
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{World, until};
use tempfile::TempDir;

/// A Prometheus of its own, on a free port. Dropped, it is killed.
struct Prometheus {
    process: Child,
    address: String,
    http: reqwest::Client,
    _directory: TempDir,
}

impl Prometheus {
    /// Starts it as the page about metrics says, but scraping often.
    #[expect(clippy::disallowed_methods, reason = "it is a program of its own")]
    async fn of(world: &World) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let platform = world.api.api;
        let config = json!({
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
            "scrape_configs": [
                {"job_name": "platform", "honor_labels": true,
                 "static_configs": [{"targets": [platform.to_string()]}]},
                {"job_name": "apps",
                 "http_sd_configs": [{"url": format!("http://{platform}/metrics/targets")}]},
            ],
        });
        // JSON is YAML too.
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, config.to_string()).expect("written");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = free.expect("a free port").to_string();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .spawn()
            .expect("`cargo xtask setup` installs it");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let prometheus = Self { process, address, http, _directory: directory };
        until("Prometheus is ready", || async {
            let url = format!("http://{}/-/ready", prometheus.address);
            let ready = prometheus.http.get(url).send().await;
            ready.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
        prometheus
    }

    /// The values that a question has now, each with the labels of its series.
    async fn ask(&self, question: &str) -> Vec<(Value, f64)> {
        let url = format!("http://{}/api/v1/query", self.address);
        let answer = self.http.get(url).query(&[("query", question)]).send().await;
        let answer: Value = answer.expect("an answer").json().await.expect("JSON");
        let found = answer.pointer("/data/result").and_then(Value::as_array);
        let found = found.expect("a vector").iter();
        let read = |series: &Value| {
            let value = series.pointer("/value/1").and_then(Value::as_str).expect("a value");
            let labels = series.get("metric").cloned().unwrap_or_default();
            (labels, value.parse().expect("a number"))
        };
        found.map(read).collect()
    }

    /// Waits until a question has exactly one value, which fits.
    async fn until_one(&self, question: &str, fits: impl Fn(f64) -> bool) {
        until(question, || async {
            let found = self.ask(question).await;
            found.len() == 1 && found.iter().all(|(_, value)| fits(*value))
        })
        .await;
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_answers_how_an_app_does() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    let mut config = world.config(&[("VERSION", "one")]);
    config.rest.insert("metrics".to_owned(), json!({"port": 8080, "path": "/metrics"}));
    let id = world.api.create("shop", config).await.id;
    world.api.ready("shop", &id).await;
    world.api.create_app("greedy").await;
    let mut greedy = world.config(&[("HOLD_MB", "200")]);
    greedy.guest = serde_json::from_value(json!({"cpus": 1, "memory_mb": 64})).expect("a guest");
    greedy.restart =
        serde_json::from_value(json!({"policy": "on-failure", "max_retries": 1})).expect("ok");
    let greedy = world.api.create("greedy", greedy).await.id;
    world.api.wait("greedy", &greedy, "failed").await;

    let prometheus = Prometheus::of(&world).await;
    let fault = json!({"kind": "error", "status": 500, "share": 0.5, "app": "shop"});
    world.api.done(Method::POST, "/admin/faults", fault).await;
    let errors = "sum by (instance) (rate(fly_app_http_responses_count{app=\"shop\",status=~\"5..\"}[1m])) \
                  / sum by (instance) (rate(fly_app_http_responses_count{app=\"shop\"}[1m]))";
    let slowest = "histogram_quantile(0.95, sum by (instance, le) \
                   (rate(fly_app_http_response_time_seconds_bucket{app=\"shop\"}[1m])))";
    until("the rates fit what clients saw", || async {
        for _ in 0..4 {
            world.api.get("shop", "/slow?ms=60").await;
        }
        let (errors, slowest) = (prometheus.ask(errors).await, prometheus.ask(slowest).await);
        let one = |found: &[(Value, f64)], fits: fn(f64) -> bool| {
            found.len() == 1 && found.iter().all(|(of, is)| of["instance"] == *id && fits(*is))
        };
        one(&errors, |share| (0.4..=0.6).contains(&share)) && one(&slowest, |secs| secs > 0.05)
    })
    .await;
    let used =
        "1 - fly_instance_memory_mem_available{app=\"shop\"} / fly_instance_memory_mem_total";
    prometheus.until_one(used, |share| share > 0.0 && share < 1.0).await;
    prometheus.until_one("fly_instance_exit_oom == 1", |told| told > 0.0).await;
    let kills = "platform_local_machine_oom_kills_total{app=\"greedy\"}";
    prometheus.until_one(kills, |kills| kills >= 2.0).await;
    let restarts = "platform_local_machine_restarts_total{app=\"greedy\"}";
    prometheus.until_one(restarts, |restarts| restarts >= 1.0).await;
    prometheus.until_one("echo_answers{app=\"shop\"}", |own| own > 0.0).await;
    prometheus.until_one("min(up)", |up| up > 0.0).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_are_as_prometheus_wants_them_but_for_names_that_are_flys() {
    let world = World::new().await;
    world.app("shop", 1).await;
    world.api.get("shop", "/").await;
    let complaints = promtool(&world.api.metrics().await);
    let ours = complaints.iter().filter(|complaint| {
        let forced = complaint.ends_with(r#"counter metrics should have "_total" suffix"#)
            || complaint.ends_with(r#"should not have "_count" suffix"#)
            || complaint.starts_with("fly_instance_memory_mem_total ");
        !(complaint.starts_with("fly_") && forced)
    });
    assert_eq!(ours.collect::<Vec<_>>(), Vec::<&String>::new());
    world.end().await;
}

/// What Prometheus' own tool says against metrics.
#[expect(clippy::disallowed_methods, reason = "it is a program of its own")]
fn promtool(metrics: &str) -> BTreeSet<String> {
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`cargo xtask setup` installs it");
    let mut input = tool.stdin.take().expect("its input");
    input.write_all(metrics.as_bytes()).expect("read");
    drop(input);
    let output = tool.wait_with_output().expect("ended");
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).lines().map(str::to_owned).collect()
}
