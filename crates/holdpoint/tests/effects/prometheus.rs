//! A real Prometheus scrapes the platform, and telemetry asks it instead of the platform.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use holdpoint::adapter::clock::{Stopwatch, pause};
use holdpoint::adapter::telemetry::{Telemetry, TelemetryError};
use holdpoint::variables::Variables;
use holdpoint_core::id::{Environment, ServiceName};
use holdpoint_core::observation::Sample;
use holdpoint_core::project::TelemetrySource;
use jiff::Timestamp;
use serde_json::json;
use tempfile::TempDir;

use crate::app;
use crate::world::{PATIENCE, World};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A Prometheus of its own, on a free port. Dropped, it is killed.
struct Prometheus {
    process: Child,
    url: String,
    _directory: TempDir,
}

impl Prometheus {
    /// Starts it as the page about metrics says, but scraping often.
    #[expect(clippy::disallowed_methods, reason = "it is a program of its own")]
    fn of(world: &World) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = json!({
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
            "scrape_configs": [{
                "job_name": "platform",
                "honor_labels": true,
                "static_configs": [{"targets": [world.api_address().to_string()]}],
            }],
        });
        // JSON is YAML too
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, config.to_string()).expect("written");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = free.expect("a free port");
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stderr(Stdio::null())
            .spawn()
            .expect("`cargo xtask setup` installs it");
        Self { process, url: format!("http://{address}/"), _directory: directory }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

struct Looker {
    telemetry: Telemetry,
    second: i64,
}

impl Looker {
    async fn look(&mut self) -> Result<Vec<Sample>, TelemetryError> {
        self.second += 1;
        let now = Timestamp::from_second(self.second).expect("a time");
        let watched = [(Environment::Production, vec![(ServiceName::new("web"), app())])];
        let observations = self.telemetry.look(now, &watched, &BTreeMap::new()).await?;
        Ok(observations.into_iter().flat_map(|one| one.samples).collect())
    }

    /// Looks until the samples together are as they should be.
    async fn until(&mut self, what: &str, mut is_there: impl FnMut(&[Sample]) -> bool) {
        let watch = Stopwatch::start();
        let mut samples = Vec::new();
        loop {
            if let Ok(more) = self.look().await {
                samples.extend(more);
            }
            if is_there(&samples) {
                return;
            }
            assert!(watch.elapsed() < PATIENCE, "waited too long: {what}: {samples:?}");
            pause(LOOK_EVERY).await;
        }
    }
}

#[tokio::test]
async fn a_prometheus_that_scrapes_the_platform_gives_what_the_platform_would() {
    let world = World::new().await;
    let (machine, _) = world.healthy_machine(0).await;
    let prometheus = Prometheus::of(&world);
    let source =
        TelemetrySource { prometheus: Some(prometheus.url.clone()), ..TelemetrySource::default() };
    let prober = world.executor.prober().clone();
    let variables = Variables::default();
    let telemetry = Telemetry::of(&source, &world.address, &variables, prober.clone());
    let mut looker = Looker { telemetry: telemetry.expect("telemetry"), second: 0 };
    looker
        .until("memory is known", |samples| {
            samples.iter().any(|sample| sample.memory_share.is_some())
        })
        .await;
    for _ in 0..9 {
        assert_eq!(world.ask().await.0, 200);
    }
    looker
        .until("nine answers of the machine are counted", |samples| {
            let machines = samples.iter().flat_map(|sample| &sample.machines);
            let of_ours = machines.filter(|one| one.machine == machine);
            let (requests, errors, timed) = of_ours.fold((0, 0, 0), |(all, bad, timed), one| {
                (all + one.requests, bad + one.errors, timed + one.latency.answers())
            });
            requests >= 9 && timed >= 9 && errors == 0
        })
        .await;

    drop(prometheus);
    let error = looker.look().await.expect_err("it is gone").to_string();
    assert!(error.contains("from Prometheus at `http://127.0.0.1"), "{error}");
    let named = TelemetrySource { token_from: Some("NOT_SET".to_owned()), ..source };
    let error = Telemetry::of(&named, &world.address, &variables, prober).expect_err("no token");
    assert!(error.to_string().contains("`NOT_SET`"), "{error}");
    world.end().await;
}
