//! How long each phase of a release lasts, who consents and who is told. The
//! defaults are the runbook's.

use serde::{Deserialize, Serialize};

use super::people::Role;

/// What staging must show (the runbook's phase 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagingPolicy {
    /// A changed machine must be healthy within this time.
    pub health_within_secs: u64,
    /// Every gate must hold for this long.
    pub soak_secs: u64,
}

impl Default for StagingPolicy {
    fn default() -> Self {
        Self { health_within_secs: 30, soak_secs: 30 * 60 }
    }
}

/// How production is changed (the runbook's phases 2 and 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductionPolicy {
    /// The rollout is announced this long before its first step.
    pub announce_before_secs: u64,
    /// A changed machine must be healthy within this time.
    pub health_within_secs: u64,
    /// After the last machine is healthy, the shortest time before validation starts.
    pub settle_secs: u64,
    /// Every gate must hold for this long before the release counts as complete.
    pub validate_secs: u64,
    /// After a rollback, gates are watched for this long.
    pub watch_after_rollback_secs: u64,
    /// How many machines of a service may be out of service at once, at least 1.
    pub max_unavailable: u32,
    /// One approval is needed for each of these; never empty, without duplicates.
    pub approvals: Vec<Role>,
    /// An approval that is older than this no longer counts.
    pub approval_expires_after_secs: u64,
}

impl Default for ProductionPolicy {
    fn default() -> Self {
        Self {
            announce_before_secs: 15 * 60,
            health_within_secs: 2 * 60,
            settle_secs: 2 * 60,
            validate_secs: 15 * 60,
            watch_after_rollback_secs: 5 * 60,
            max_unavailable: 1,
            approvals: vec![Role::Engineer, Role::Manager],
            approval_expires_after_secs: 24 * 60 * 60,
        }
    }
}

/// Where messages about a release go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// Whether they are printed on the terminal that runs the release.
    pub terminal: bool,
    /// `http` or `https` URLs that get every message as JSON.
    pub webhooks: Vec<String>,
}

impl Default for Notify {
    fn default() -> Self {
        Self { terminal: true, webhooks: Vec::new() }
    }
}

/// How often people hear of a release under way (the runbook's "Communication Protocol").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Communication {
    /// Time between updates during a rollout.
    pub update_every_secs: u64,
    /// Time between updates during a rollback, until it is stable.
    pub update_every_during_rollback_secs: u64,
}

impl Default for Communication {
    fn default() -> Self {
        Self { update_every_secs: 5 * 60, update_every_during_rollback_secs: 2 * 60 }
    }
}
