//! Runs `wrk`, which loads a server with many connections, and reads its report.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::process::Command;

use crate::Outcome;

/// What `wrk` is told.
#[derive(Debug, Clone)]
pub(crate) struct Load<'a> {
    pub(crate) url: String,
    pub(crate) headers: Vec<String>,
    pub(crate) connections: u32,
    pub(crate) secs: u64,
    /// A Lua script that makes the requests, if they are not plain GETs.
    pub(crate) script: Option<&'a Path>,
}

/// What it reports.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    pub(crate) requests_per_sec: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Answers other than 2xx and 3xx, and broken connections.
    pub(crate) failed: u64,
}

impl Load<'_> {
    /// Plain GETs.
    pub(crate) fn of(url: String, connections: u32, secs: u64) -> Self {
        Load { url, headers: Vec::new(), connections, secs, script: None }
    }

    pub(crate) async fn run(&self) -> Outcome<Measured> {
        let mut command = Command::new("wrk");
        command.args(["--latency", "--threads", "2", "--timeout", "10s"]);
        command.args(["--connections", &self.connections.to_string()]);
        command.args(["--duration", &format!("{}s", self.secs)]);
        for header in &self.headers {
            command.args(["--header", header]);
        }
        if let Some(script) = self.script {
            command.arg("--script").arg(script);
        }
        command.arg(&self.url).stdin(Stdio::null());
        let output = command.output().await.map_err(|error| format!("wrk: {error}"))?;
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        read(&report).ok_or_else(|| {
            let errors = String::from_utf8_lossy(&output.stderr);
            format!("wrk reported something else than expected:\n{report}{errors}").into()
        })
    }
}

fn read(report: &str) -> Option<Measured> {
    let after = |label: &str| {
        let line = report.lines().map(str::trim).find_map(|line| line.strip_prefix(label))?;
        line.split_whitespace().next()
    };
    let refused = after("Non-2xx or 3xx responses:").map_or(Some(0), |count| count.parse().ok())?;
    let broken = report
        .lines()
        .find_map(|line| line.trim().strip_prefix("Socket errors:"))
        .unwrap_or_default()
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|count| count.parse::<u64>().ok())
        .sum::<u64>();
    Some(Measured {
        requests_per_sec: after("Requests/sec:")?.parse().ok()?,
        p50: duration(after("50%")?)?,
        p99: duration(after("99%")?)?,
        failed: refused + broken,
    })
}

fn duration(text: &str) -> Option<Duration> {
    let at = text.find(|letter: char| letter.is_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let secs_each = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * secs_each).ok()
}
