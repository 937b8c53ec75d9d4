//! The drills: what each breaks, how that must be noticed, and how long that may take by the
//! project's own policy.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use holdpoint_core::project::GatePolicy;
use serde_json::{Value, json};

/// What is drilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Drill {
    /// Stop all machines of the service, out of the rotation
    AllMachinesDown,
    /// Answer a share of the requests with an error
    HighErrorRate,
    /// Answer every request too late
    HighLatency,
    /// Fill the memory of a machine until the kernel kills its program
    Oom,
    /// Leave the service idle until its machines stop, then ask it once
    Autoscale,
    /// Change the machines of staging by a release, and roll it back by a person's word
    Rollback,
    /// Refuse every call of the Machines API in the middle of a rollout
    PlatformApiDown,
    /// Make the database unreachable
    DatabaseDown,
}

/// The part of the requests that is answered with an error: more than any sensible threshold.
const ERROR_SHARE: f64 = 0.5;

/// Beyond the policy's own time: looks, the first requests, a busy computer.
const MARGIN: Duration = Duration::from_mins(3);

/// Whoever stops a drill in a way that nothing survives leaves a fault that ends by itself.
const FAULT_SECS_MAX: u64 = 3600;

impl fmt::Display for Drill {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::AllMachinesDown => "all-machines-down",
            Self::HighErrorRate => "high-error-rate",
            Self::HighLatency => "high-latency",
            Self::Oom => "oom",
            Self::Autoscale => "autoscale",
            Self::Rollback => "rollback",
            Self::PlatformApiDown => "platform-api-down",
            Self::DatabaseDown => "database-down",
        })
    }
}

impl Drill {
    /// The fault that the platform is asked for, as `POST /admin/faults` takes it.
    pub(super) fn fault(self, app: &str, machine: &str, policy: &GatePolicy) -> Option<Value> {
        let mut fault = match self {
            Self::HighErrorRate => {
                json!({"kind": "error", "status": 500, "share": ERROR_SHARE, "app": app})
            }
            Self::HighLatency => {
                let ms = policy.latency_p95_critical_ms.saturating_mul(3) / 2;
                json!({"kind": "latency", "ms": ms.max(1), "app": app})
            }
            // Once is enough: the gate forgives none.
            Self::Oom => json!({"kind": "memory", "machine": machine, "app": app, "count": 1}),
            Self::PlatformApiDown => json!({
                "kind": "api_error", "status": 503, "message": "a drill: the API is down",
            }),
            Self::AllMachinesDown | Self::Autoscale | Self::Rollback | Self::DatabaseDown => {
                return None;
            }
        };
        if let Some(fields) = fault.as_object_mut() {
            fields.insert("for_secs".to_owned(), FAULT_SECS_MAX.into());
        }
        Some(fault)
    }

    /// How long it may take until it is noticed: by the project's policy, and a margin.
    pub(super) fn detection_limit(self, policy: &GatePolicy) -> Duration {
        let secs = match self {
            Self::AllMachinesDown => policy.health_critical_for_secs,
            Self::HighErrorRate => policy.error_critical_for_secs,
            Self::HighLatency => policy.latency_p95_critical_for_secs,
            Self::Oom
            | Self::Autoscale
            | Self::Rollback
            | Self::PlatformApiDown
            | Self::DatabaseDown => 0,
        };
        Duration::from_secs(secs).saturating_add(MARGIN)
    }
}
