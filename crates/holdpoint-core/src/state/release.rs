//! One release and all that is known of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::Run;
use crate::command::Rehearsal;
use crate::effect::CheckResult;
use crate::event::Ending;
use crate::gate::comparison::Comparison;
use crate::gate::{Finding, Gate, InvariantTrack, Signals, Verdict, compare, evaluate};
use crate::id::{Course, Environment, IncidentId, MachineId, ReleaseId, ServiceName};
use crate::plan::{MachineAction, Step, StepKind};
use crate::planner::Report;
use crate::preflight::{Waiver, unwaived};
use crate::project::{Project, Role};

/// One release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// Its version.
    pub version: Version,
    /// Who started it.
    pub author: String,
    /// The project that rules it.
    pub project: Project,
    /// Set when it is a rehearsal.
    pub rehearsal: Option<Rehearsal>,
    /// What the planner left out.
    pub report: Report,
    /// Machines of the plan that ran a version that was never released: an earlier way back had
    /// taken them out of service, and so does this one's.
    pub unreleased: BTreeSet<MachineId>,
    /// When it started.
    pub started_at: Timestamp,
    /// When and how it ended.
    pub ended: Option<(Timestamp, Ending)>,
    /// The way forward.
    pub forward: Run,
    /// The way back, once it is taken.
    pub back: Option<Run>,
    /// Why it is taken.
    pub rollback_reason: Option<String>,
    /// The breach that led to it, if one did.
    pub breach: Option<(Timestamp, Finding)>,
    /// The incident that it opened.
    pub incident: Option<IncidentId>,
    /// Who consented.
    pub approvals: Vec<Approval>,
    /// What pre-flight found when it last looked.
    #[serde(default)]
    pub preflight: Vec<CheckResult>,
    /// Checks that need not hold.
    #[serde(default)]
    pub waivers: Vec<Waiver>,
    /// Set while it stands still.
    pub halt: Option<Halt>,
    /// When production steps will start, once that is announced.
    pub announced_start: Option<Timestamp>,
    /// When people were last told how it goes.
    pub told_at: Timestamp,
    /// The signals per environment and service.
    pub signals: BTreeMap<Environment, BTreeMap<ServiceName, Signals>>,
    /// How the new version compares with the one before it.
    #[serde(default)]
    pub comparisons: BTreeMap<Environment, BTreeMap<ServiceName, Comparison>>,
    /// What was answered to the invariants' questions, by their names.
    pub invariants: BTreeMap<Environment, BTreeMap<String, InvariantTrack>>,
}

/// Consent to the way forward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Whose.
    pub actor: String,
    /// In which role.
    pub role: Role,
    /// When.
    pub at: Timestamp,
}

/// A release that stands still until somebody says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// Who halted it; `None` when the engine did.
    pub by: Option<String>,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

impl Release {
    /// The way that is being taken.
    pub fn run(&self) -> &Run {
        self.back.as_ref().unwrap_or(&self.forward)
    }

    pub(crate) fn run_mut(&mut self) -> &mut Run {
        self.back.as_mut().unwrap_or(&mut self.forward)
    }

    /// Which way is being taken.
    pub fn course(&self) -> Course {
        self.run().plan.course
    }

    /// The step under way.
    pub fn current_step(&self) -> Option<&Step> {
        let run = self.run();
        run.plan.steps.get(run.current?)
    }

    /// The environments whose gates count now: those in which machines were begun, and on the way
    /// back the one in which the previous version is watched.
    pub fn watched(&self) -> Vec<Environment> {
        let steps = self.back.iter().flat_map(|back| &back.plan.steps);
        let mut watched: Vec<Environment> = steps
            .filter_map(|step| match &step.kind {
                StepKind::Soak(soak) => Some(soak.environment),
                StepKind::Preflight
                | StepKind::Rollout(_)
                | StepKind::Smoke { .. }
                | StepKind::Approval { .. }
                | StepKind::Window { .. }
                | StepKind::RestoreSecrets { .. } => None,
            })
            .collect();
        if !watched.is_empty() {
            return watched;
        }
        for environment in [Environment::Staging, Environment::Production] {
            if self.forward.touched(environment) {
                watched.push(environment);
            }
        }
        // once production has begun, staging has done its part
        if watched.contains(&Environment::Production) {
            watched.retain(|environment| *environment == Environment::Production);
        }
        watched
    }

    /// What every gate says of an environment.
    pub fn verdicts(&self, environment: Environment, now: Timestamp) -> Vec<Verdict> {
        let services = self.project.services.iter().map(|service| ServiceName::new(&service.name));
        let verdicts = services.flat_map(|service| {
            Gate::THRESHOLDS.into_iter().map(move |gate| {
                let signals = self.signals.get(&environment).and_then(|all| all.get(&service));
                evaluate(gate, environment, &service, signals, &self.project.gates, now)
            })
        });
        let verdicts = verdicts.chain(self.comparison_verdicts(environment, now));
        verdicts.chain(self.invariant_verdicts(environment, now)).collect()
    }

    /// What the gates say that compare the new version with the one before it. On the way back
    /// there is nothing to compare, and neither is there in a service that was not begun.
    fn comparison_verdicts(
        &self,
        environment: Environment,
        now: Timestamp,
    ) -> impl Iterator<Item = Verdict> {
        let services = self.project.services.iter().map(|service| ServiceName::new(&service.name));
        let begun = services.filter(move |service| {
            self.back.is_none() && self.forward.changed(environment, service) > 0
        });
        begun.flat_map(move |service| {
            Gate::COMPARISONS.map(|gate| {
                let compared = self.comparisons.get(&environment).and_then(|all| all.get(&service));
                compare(gate, environment, &service, compared, &self.project.gates, now)
            })
        })
    }

    /// The environments with machines that the way forward will change and has not begun: what
    /// their version does now is what the new one is compared with.
    pub fn learned(&self) -> Vec<Environment> {
        if self.back.is_some() {
            return Vec::new();
        }
        let rollouts = self.forward.plan.steps.iter().filter_map(|step| step.kind.rollout());
        let to_come = rollouts.filter(|one| {
            let mut changes = one.waves.iter().flat_map(|wave| &wave.changes);
            !self.forward.touched(one.environment)
                && changes.any(|change| matches!(change.action, MachineAction::Update { .. }))
        });
        let environments: BTreeSet<Environment> = to_come.map(|one| one.environment).collect();
        environments.into_iter().collect()
    }

    /// The pre-flight checks that failed, and that no waiver covers at `now`.
    pub fn failed_checks(&self, now: Timestamp) -> Vec<&CheckResult> {
        unwaived(&self.preflight, &self.waivers, now)
    }

    /// Whether the step under way is pre-flight.
    pub fn is_in_preflight(&self) -> bool {
        self.current_step().is_some_and(|step| step.kind == StepKind::Preflight)
    }

    /// The roles whose consent is still missing.
    pub fn missing_approvals(&self) -> Vec<Role> {
        let given = |role: &Role| self.approvals.iter().any(|approval| approval.role == *role);
        let mut wanted = Vec::new();
        for step in &self.forward.plan.steps {
            if let StepKind::Approval { roles, .. } = &step.kind {
                wanted.extend(roles.iter().copied().filter(|role| !given(role)));
            }
        }
        wanted
    }
}
