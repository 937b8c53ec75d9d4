//! The synthetic check of production: its health path is asked many times in a row, and nearly
//! all answers must be quick (the runbook, phase 3, step 3).

use serde::{Deserialize, Serialize};

use super::reader::Table;
use super::smoke::{HttpStep, SmokeCheck, SmokeKind, read_plain_path};
use crate::id::Environment;

/// How often it may be asked in a row.
const SAMPLES_LIMIT: u64 = 1000;

/// The longest budget: clients give up before.
const BUDGET_LIMIT_MS: u64 = 60 * 1000;

/// How much longer than the budget a single answer may take.
const PATIENCE_MS: u64 = 5 * 1000;

/// What the synthetic check asks, and how quick the answers must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyntheticPolicy {
    /// What 95 % of the answers must have arrived within, in milliseconds.
    pub budget_ms: u64,
    /// How often each service is asked; 0 asks nothing.
    pub samples: u32,
    /// The path; without it, that of the health check in the app's config.
    pub path: Option<String>,
}

impl SyntheticPolicy {
    /// The check of one service, whose health path is this one; `None` when nothing is asked.
    pub fn check(&self, health_path: &str) -> Option<SmokeCheck> {
        if self.samples == 0 {
            return None;
        }
        let path = self.path.as_deref().unwrap_or(health_path);
        let name = format!("synthetic check of {path}");
        let mut step = HttpStep::new(&name, "GET", path);
        step.samples = self.samples;
        step.p95_ms = Some(self.budget_ms);
        step.within_ms = self.budget_ms.saturating_add(PATIENCE_MS);
        let environments = vec![Environment::Production];
        Some(SmokeCheck { name, environments, kind: SmokeKind::Synthetic(Box::new(step)) })
    }

    pub(super) fn read(production: &mut Table<'_>) -> Self {
        let mut policy = Self::default();
        production.table("synthetic", |table| {
            if let Some(value) = table.take("budget") {
                policy.budget_ms = value.millis(&(1..=BUDGET_LIMIT_MS)).unwrap_or(policy.budget_ms);
            }
            if let Some(value) = table.take("samples") {
                let samples = value.number(&(0..=SAMPLES_LIMIT));
                let samples = samples.and_then(|count| u32::try_from(count).ok());
                policy.samples = samples.unwrap_or(policy.samples);
            }
            policy.path = table.take("path").and_then(|value| read_plain_path(&value));
        });
        policy
    }
}

impl Default for SyntheticPolicy {
    fn default() -> Self {
        Self { budget_ms: 500, samples: 20, path: None }
    }
}
