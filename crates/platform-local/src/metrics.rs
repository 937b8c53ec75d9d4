//! Counts answers and measures their time, and writes all of it as Prometheus text under the names
//! that Fly uses. What is measured of processes is given by the fleet.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Upper bounds in seconds. Fine around 500 ms and 1 s, where the runbook's limits are.
const BOUNDS_SECS: [f64; 30] = [
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3,
    0.4, 0.45, 0.5, 0.55, 0.6, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 5.0, 10.0, 30.0,
];

/// What has been counted since the platform was started.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// By app, machine and status.
    answers: BTreeMap<(String, String, u16), u64>,
    /// By app and machine.
    times: BTreeMap<(String, String), Histogram>,
    /// What clients got, by app and status: the proxy's own answers are in it.
    edge: BTreeMap<(String, u16), u64>,
    /// Attempts that had to be repeated, by app and cause.
    retries: BTreeMap<(String, &'static str), u64>,
}

#[derive(Debug, Default, Clone)]
struct Histogram {
    /// Answers within each bound but not within the one before.
    buckets: [u64; BOUNDS_SECS.len()],
    sum_secs: f64,
    count: u64,
}

/// What is known of a machine at the moment of a scrape.
#[derive(Debug, Clone)]
pub(crate) struct Gauge {
    pub(crate) app: String,
    pub(crate) machine: String,
    pub(crate) up: bool,
    pub(crate) memory_total_bytes: u64,
    pub(crate) memory_available_bytes: Option<u64>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) exit_oom: bool,
    pub(crate) concurrency: usize,
}

impl Metrics {
    /// Counts the answer of a machine.
    pub(crate) fn count_answer(&self, app: &str, machine: &str, status: u16, took: Duration) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (app.to_owned(), machine.to_owned(), status);
        *counts.answers.entry(key).or_default() += 1;
        let key = (app.to_owned(), machine.to_owned());
        counts.times.entry(key).or_default().add(took);
    }

    /// Counts what a client got.
    pub(crate) fn count_edge(&self, app: &str, status: u16) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.edge.entry((app.to_owned(), status)).or_default() += 1;
    }

    /// Counts an attempt that had to be repeated, with or at another machine. Drained machines
    /// cause none.
    pub(crate) fn count_retry(&self, app: &str, cause: &'static str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.retries.entry((app.to_owned(), cause)).or_default() += 1;
    }

    /// Forgets a machine that is destroyed.
    pub(crate) fn forget(&self, app: &str, machine: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.answers.retain(|key, _| key.0 != app || key.1 != machine);
        counts.times.retain(|key, _| key.0 != app || key.1 != machine);
    }

    /// All of it as Prometheus text.
    pub(crate) fn render(&self, region: &str, gauges: &[Gauge]) -> String {
        let mut text = String::new();
        if let Err(error) = self.write(&mut text, region, gauges) {
            tracing::error!(%error, "metrics could not be written");
        }
        text
    }

    fn write(&self, text: &mut String, region: &str, gauges: &[Gauge]) -> std::fmt::Result {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(text, "# TYPE fly_app_http_responses_count counter")?;
        for ((app, instance, status), count) in &counts.answers {
            writeln!(
                text,
                r#"fly_app_http_responses_count{{app="{app}",instance="{instance}",region="{region}",status="{status}"}} {count}"#
            )?;
        }
        writeln!(text, "# TYPE fly_edge_http_responses_count counter")?;
        for ((app, status), count) in &counts.edge {
            writeln!(
                text,
                r#"fly_edge_http_responses_count{{app="{app}",region="{region}",status="{status}"}} {count}"#
            )?;
        }
        writeln!(text, "# TYPE platform_local_proxy_retries_count counter")?;
        for ((app, cause), count) in &counts.retries {
            writeln!(
                text,
                r#"platform_local_proxy_retries_count{{app="{app}",region="{region}",cause="{cause}"}} {count}"#
            )?;
        }
        writeln!(text, "# TYPE fly_app_http_response_time_seconds histogram")?;
        for ((app, instance), histogram) in &counts.times {
            let labels = format!(r#"app="{app}",instance="{instance}",region="{region}""#);
            histogram.write(text, &labels)?;
        }
        write_gauges(text, region, gauges)
    }
}

impl Histogram {
    fn add(&mut self, took: Duration) {
        let secs = took.as_secs_f64();
        let within = BOUNDS_SECS.iter().zip(&mut self.buckets).find(|(bound, _)| secs <= **bound);
        if let Some((_, bucket)) = within {
            *bucket += 1;
        }
        self.sum_secs += secs;
        self.count += 1;
    }

    fn write(&self, text: &mut String, labels: &str) -> std::fmt::Result {
        let name = "fly_app_http_response_time_seconds";
        let mut within = 0;
        for (bound, bucket) in BOUNDS_SECS.iter().zip(&self.buckets) {
            within += bucket;
            writeln!(text, r#"{name}_bucket{{{labels},le="{bound}"}} {within}"#)?;
        }
        writeln!(text, r#"{name}_bucket{{{labels},le="+Inf"}} {}"#, self.count)?;
        writeln!(text, "{name}_sum{{{labels}}} {}", self.sum_secs)?;
        writeln!(text, "{name}_count{{{labels}}} {}", self.count)
    }
}

fn write_gauges(text: &mut String, region: &str, gauges: &[Gauge]) -> std::fmt::Result {
    type Read = fn(&Gauge) -> Option<String>;
    let families: [(&str, Read); 6] = [
        ("fly_instance_up", |gauge| Some(u8::from(gauge.up).to_string())),
        ("fly_instance_memory_mem_total", |gauge| Some(gauge.memory_total_bytes.to_string())),
        ("fly_instance_memory_mem_available", |gauge| {
            gauge.memory_available_bytes.map(|bytes| bytes.to_string())
        }),
        ("fly_instance_exit_code", |gauge| gauge.exit_code.map(|code| code.to_string())),
        ("fly_instance_exit_oom", |gauge| Some(u8::from(gauge.exit_oom).to_string())),
        ("fly_app_concurrency", |gauge| Some(gauge.concurrency.to_string())),
    ];
    for (name, read) in families {
        writeln!(text, "# TYPE {name} gauge")?;
        for gauge in gauges {
            if let Some(value) = read(gauge) {
                let Gauge { app, machine, .. } = gauge;
                writeln!(
                    text,
                    r#"{name}{{app="{app}",instance="{machine}",region="{region}"}} {value}"#
                )?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_status_and_time() {
        let metrics = Metrics::default();
        metrics.count_answer("shop", "m1", 200, Duration::from_millis(480));
        metrics.count_answer("shop", "m1", 500, Duration::from_secs(40));
        metrics.count_edge("shop", 503);
        let text = metrics.render("local", &[]);
        for line in [
            r#"fly_app_http_responses_count{app="shop",instance="m1",region="local",status="200"} 1"#,
            r#"fly_app_http_response_time_seconds_bucket{app="shop",instance="m1",region="local",le="0.45"} 0"#,
            r#"fly_app_http_response_time_seconds_bucket{app="shop",instance="m1",region="local",le="0.5"} 1"#,
            r#"fly_app_http_response_time_seconds_bucket{app="shop",instance="m1",region="local",le="30"} 1"#,
            r#"fly_app_http_response_time_seconds_bucket{app="shop",instance="m1",region="local",le="+Inf"} 2"#,
            r#"fly_app_http_response_time_seconds_count{app="shop",instance="m1",region="local"} 2"#,
            r#"fly_edge_http_responses_count{app="shop",region="local",status="503"} 1"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nin\n{text}");
        }
        metrics.forget("shop", "m1");
        assert!(!metrics.render("local", &[]).contains("m1"));
    }

    #[test]
    fn a_machine_that_is_down_has_an_exit_code_and_no_memory() {
        let gauge = Gauge {
            app: "shop".to_owned(),
            machine: "m1".to_owned(),
            up: false,
            memory_total_bytes: 268_435_456,
            memory_available_bytes: None,
            exit_code: Some(137),
            exit_oom: false,
            concurrency: 0,
        };
        let text = Metrics::default().render("local", &[gauge]);
        let labels = r#"{app="shop",instance="m1",region="local"}"#;
        assert!(text.contains(&format!("fly_instance_up{labels} 0\n")), "{text}");
        assert!(text.contains(&format!("fly_instance_exit_code{labels} 137\n")), "{text}");
        assert!(!text.contains("mem_available{"), "{text}");
    }
}
