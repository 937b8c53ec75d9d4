//! What people and programs are shown, as pure functions of state and journal. Nothing here
//! decides; the shell only prints what these return.

mod incident;
mod measures;
mod plan_text;
mod release_section;
mod status;
mod timeline;
mod window;

pub use incident::{IncidentStatus, incident_report, incidents};
pub(crate) use incident::{apps_in, diagnostics, report_around};
pub use measures::{ServiceMeasures, measures};
pub use plan_text::plan_text;
pub(crate) use release_section::{monitoring_section, runbook_section};
pub use status::{ReleaseStatus, Status, StepStatus, StepWord, UnreadCalendar, status};
pub use timeline::{TimelineEntry, timeline};
pub use window::{ClosedBy, WindowView, window};

use crate::engine::decide::escalation;
use crate::id::{AppName, Environment, ServiceName};
use crate::project::Invariant;
use crate::state::State;

/// What telemetry must measure now: the environments whose gates count and those whose versions
/// will be compared with, with the services and apps in each.
pub fn watched(state: &State) -> Vec<(Environment, Vec<(ServiceName, AppName)>)> {
    let Some(release) = state.active() else {
        return Vec::new();
    };
    let steps = release.forward.plan.steps.iter();
    let rollouts: Vec<_> = steps.filter_map(|step| step.kind.rollout()).collect();
    let mut environments = release.watched();
    environments.extend(release.learned());
    environments.sort_unstable();
    environments.dedup();
    let services = |environment| {
        let of_environment = rollouts.iter().filter(move |one| one.environment == environment);
        of_environment.map(|one| (one.service.clone(), one.app.clone())).collect()
    };
    environments.into_iter().map(|environment| (environment, services(environment))).collect()
}

/// Whether an incident is still to call somebody, which only a running conductor can do.
pub fn has_calls(state: &State) -> bool {
    escalation::calls(state).next().is_some()
}

/// The invariants that must be asked now: where a rollout has begun, and where one is to come, for
/// what they are before it.
pub fn invariants(state: &State) -> Vec<(Environment, Invariant)> {
    let Some(release) = state.active() else {
        return Vec::new();
    };
    let mut environments = release.watched();
    let to_come = [Environment::Staging, Environment::Production].into_iter();
    environments.extend(to_come.filter(|environment| !release.forward.touched(*environment)));
    let invariants = environments.into_iter().flat_map(|environment| {
        release.invariants_of(environment).map(move |one| (environment, one.clone()))
    });
    invariants.collect()
}

/// Whether the conductor can stop without leaving a machine in the middle of its change. Nothing
/// is lost otherwise either: it is the tidy moment.
pub fn safe_to_stop(state: &State) -> bool {
    state.active().is_none_or(|release| !release.run().is_changing())
}
