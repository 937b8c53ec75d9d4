//! How long each phase of a release lasts, who consents and who is told. The
//! defaults are the runbook's.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::people::{Person, Role};
use super::reader::Table;
use super::report::Report;
use super::service::MACHINES_LIMIT;
use super::synthetic::SyntheticPolicy;

/// What staging must show (the runbook's phase 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagingPolicy {
    /// A changed machine must be healthy within this time.
    pub health_within_secs: u64,
    /// Every gate must hold for this long.
    pub soak_secs: u64,
}

impl StagingPolicy {
    pub(super) fn read(root: &mut Table<'_>) -> Self {
        let mut policy = Self::default();
        root.table("staging", |table| {
            table.secs("health_within", 1, &mut policy.health_within_secs);
            table.secs("soak", 1, &mut policy.soak_secs);
        });
        policy
    }
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
    /// How quickly each service must answer before validation starts.
    pub synthetic: SyntheticPolicy,
    /// After a rollback, gates are watched for this long.
    pub watch_after_rollback_secs: u64,
    /// How many machines of a service may be out of service at once, at least 1.
    pub max_unavailable: u32,
    /// One approval is needed for each of these; never empty, without duplicates.
    pub approvals: Vec<Role>,
    /// An approval that is older than this no longer counts.
    pub approval_expires_after_secs: u64,
}

impl ProductionPolicy {
    pub(super) fn read(root: &mut Table<'_>, people: &[Person]) -> Self {
        let mut policy = Self::default();
        let mut approvals_place = 0..0;
        root.table("production", |table| {
            table.secs("announce_before", 0, &mut policy.announce_before_secs);
            table.secs("health_within", 1, &mut policy.health_within_secs);
            table.secs("settle", 0, &mut policy.settle_secs);
            table.secs("validate", 1, &mut policy.validate_secs);
            policy.synthetic = SyntheticPolicy::read(table);
            table.secs("watch_after_rollback", 0, &mut policy.watch_after_rollback_secs);
            let count = table.take("max_unavailable");
            if let Some(count) = count.and_then(|value| value.number(&(1..=MACHINES_LIMIT))) {
                policy.max_unavailable = u32::try_from(count).unwrap_or(1);
            }
            if let Some(value) = table.take("approvals") {
                policy.approvals = value.words("role", &Role::ALL, Role::as_str);
                approvals_place = value.span();
            }
            table.secs("approval_expires_after", 1, &mut policy.approval_expires_after_secs);
            policy.refuse_early_expiry(table);
        });
        policy.refuse_roles_without_people(root.report, &approvals_place, people);
        policy
    }

    fn refuse_early_expiry(&self, table: &mut Table<'_>) {
        if self.approval_expires_after_secs > self.announce_before_secs {
            return;
        }
        let value = table.take("approval_expires_after").or_else(|| table.take("announce_before"));
        table.report.error(
            &value.map_or_else(|| table.span.clone(), |value| value.span()),
            "approvals expire before the announced rollout may start, so none could ever start",
            "make `approval_expires_after` longer than `announce_before`",
        );
    }

    fn refuse_roles_without_people(
        &self,
        report: &Report<'_>,
        place: &Range<usize>,
        people: &[Person],
    ) {
        for role in &self.approvals {
            if people.is_empty() || people.iter().any(|person| person.has_role(*role)) {
                continue;
            }
            report.absent(
                place,
                format!("production needs an approval by the role `{role}`, and nobody has it"),
                format!("give a person the role `{role}`, or leave it out of `[production]`'s `approvals`"),
            );
        }
    }
}

impl Default for ProductionPolicy {
    fn default() -> Self {
        Self {
            announce_before_secs: 15 * 60,
            health_within_secs: 2 * 60,
            settle_secs: 2 * 60,
            validate_secs: 15 * 60,
            synthetic: SyntheticPolicy::default(),
            watch_after_rollback_secs: 5 * 60,
            max_unavailable: 1,
            approvals: vec![Role::Engineer, Role::Manager],
            approval_expires_after_secs: 24 * 60 * 60,
        }
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

impl Communication {
    pub(super) fn read(root: &mut Table<'_>) -> Self {
        let mut communication = Self::default();
        root.table("communication", |table| {
            table.secs("update_every", 1, &mut communication.update_every_secs);
            table.secs(
                "update_every_during_rollback",
                1,
                &mut communication.update_every_during_rollback_secs,
            );
        });
        communication
    }
}

impl Default for Communication {
    fn default() -> Self {
        Self { update_every_secs: 5 * 60, update_every_during_rollback_secs: 2 * 60 }
    }
}
