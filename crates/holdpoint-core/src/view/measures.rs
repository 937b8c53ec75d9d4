//! What was measured of each service of a release, in the time that its gates look back on.

use serde::{Deserialize, Serialize};

use crate::gate::percentile_ms;
use crate::id::{Environment, ServiceName};
use crate::observation::Sample;
use crate::state::Release;

/// The measures of one service in one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceMeasures {
    /// Where.
    pub environment: Environment,
    /// Of which service.
    pub service: ServiceName,
    /// Requests answered.
    pub requests: u64,
    /// Those answered with a server error.
    pub errors: u64,
    /// The median latency, in milliseconds; `None` without any request.
    pub p50_ms: Option<u64>,
    /// The 95th percentile.
    pub p95_ms: Option<u64>,
    /// The 99th percentile.
    pub p99_ms: Option<u64>,
    /// The largest share of its memory that a machine used, 0 to 1.
    pub memory_share: Option<f64>,
    /// Health probes that succeeded.
    pub probes_passed: u64,
    /// Health probes that failed.
    pub probes_failed: u64,
    /// Machines killed for want of memory.
    pub oom_kills: u64,
}

/// The measures of every service that was watched.
pub fn measures(release: &Release) -> Vec<ServiceMeasures> {
    let environments = release.signals.iter();
    let services =
        environments.flat_map(|(environment, all)| all.iter().map(move |one| (*environment, one)));
    services
        .map(|(environment, (service, signals))| {
            let samples: Vec<&Sample> = signals.samples().collect();
            let sum = |count: fn(&Sample) -> u64| samples.iter().map(|one| count(one)).sum();
            let percentile = |share| percentile_ms(samples.iter().copied(), share);
            let memory = samples.iter().filter_map(|sample| sample.memory_share);
            ServiceMeasures {
                environment,
                service: service.clone(),
                requests: sum(|sample| sample.requests),
                errors: sum(|sample| sample.errors),
                p50_ms: percentile(0.5),
                p95_ms: percentile(0.95),
                p99_ms: percentile(0.99),
                memory_share: memory.reduce(f64::max),
                probes_passed: sum(|sample| sample.probes_passed),
                probes_failed: sum(|sample| sample.probes_failed),
                oom_kills: sum(|sample| sample.oom_kills),
            }
        })
        .collect()
}
