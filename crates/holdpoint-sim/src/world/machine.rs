//! One machine as the platform has it, and its lease. It decides nothing.

use holdpoint_core::id::{AppName, Environment, InstanceId, MachineId, ServiceName};
use jiff::Timestamp;
use serde_json::Value;

/// A machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its app.
    pub app: AppName,
    /// Where.
    pub environment: Environment,
    /// What it runs.
    pub service: ServiceName,
    /// Its name, unique within the app.
    pub name: String,
    /// Its whole config.
    pub config: Value,
    /// The number of its newest version.
    pub instance: u64,
    /// The effect that stands in the metadata of its newest version.
    pub made_by: Option<String>,
    /// Whether it runs.
    pub is_started: bool,
    /// Whether the conductor took it out of service for good.
    pub is_retired: bool,
    /// Whether it is out of the rotation.
    pub is_cordoned: bool,
    /// Its lease, which may have expired.
    pub lease: Option<Lease>,
    /// When its newest version was started.
    pub started_at: Timestamp,
    /// When its checks can pass at the earliest.
    pub ready_at: Timestamp,
}

/// The right to act on a machine.
#[derive(Clone, Debug)]
pub struct Lease {
    /// What its holder shows.
    pub nonce: String,
    /// The effect that took it; `None` when somebody else did.
    pub taken_by: Option<String>,
    /// Until when it counts.
    pub expires_at: Timestamp,
}

impl Machine {
    /// The id of its newest version.
    pub fn instance_id(&self, id: &MachineId) -> InstanceId {
        InstanceId::new(format!("{id}-v{}", self.instance))
    }

    /// The image that it runs.
    pub fn image(&self) -> &str {
        self.config.get("image").and_then(Value::as_str).unwrap_or_default()
    }

    /// The version that it runs: the world's images end in it.
    pub fn version(&self) -> &str {
        self.image().rsplit('-').next().unwrap_or_default()
    }

    /// The lease that counts at `now`.
    pub fn lease_at(&self, now: Timestamp) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| now < lease.expires_at)
    }

    /// Whether a nonce gives the right to act at `now`.
    pub fn is_held_with(&self, nonce: &str, now: Timestamp) -> bool {
        self.lease_at(now).is_some_and(|lease| lease.nonce == nonce)
    }

    /// Whether requests reach it.
    pub fn is_in_rotation(&self) -> bool {
        self.is_started && !self.is_cordoned
    }
}
