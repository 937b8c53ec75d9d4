//! Folds signals into the comparison of the new version with the one before it, and keeps what is
//! known of a version from one release to the next.

use std::collections::BTreeMap;

use crate::event::Ending;
use crate::gate::comparison::{Comparison, History};
use crate::gate::seconds;
use crate::id::{Environment, ServiceName};
use crate::observation::Observation;
use crate::state::{Release, State};

type PerService<T> = BTreeMap<Environment, BTreeMap<ServiceName, T>>;

/// The comparisons of a release that begins.
pub(super) fn of_histories(histories: &PerService<History>) -> PerService<Comparison> {
    let of_one = |services: &BTreeMap<ServiceName, History>| {
        let all = services.iter();
        all.map(|(name, history)| (name.clone(), Comparison::after(history.clone()))).collect()
    };
    histories.iter().map(|(environment, services)| (*environment, of_one(services))).collect()
}

/// Takes in what was measured, on the way forward.
pub(super) fn observed(release: &mut Release, observation: &Observation) {
    let Release { project, forward, back: None, comparisons, .. } = release else { return };
    let environment = observation.environment;
    let policy = &project.gates;
    let new_before = observation.from - seconds(policy.comparison.warm_up_secs);
    let span = (observation.from, observation.to);
    let services = comparisons.entry(environment).or_default();
    for sample in &observation.samples {
        let service = ServiceName::new(&sample.service);
        let comparison = services.entry(service.clone()).or_default();
        if forward.changed(environment, &service) > 0 {
            let sides = forward.sides(environment, &service, new_before);
            // a stretch lasts at least a second of real time: a clock that runs faster must not
            // make many stretches of one moment in which a computer stands still
            comparison.observe(span, sample, &sides, policy, u64::from(forward.plan.pace));
        } else {
            comparison.learn(span, sample);
        }
    }
}

/// Keeps how the versions did that run once the release has ended.
pub(super) fn keep(state: &mut State, ending: &Ending) {
    let Some(release) = state.active_mut() else { return };
    let comparisons = std::mem::take(&mut release.comparisons);
    let is_kept = *ending == Ending::Released;
    for (environment, services) in comparisons {
        let kept = state.histories.entry(environment).or_default();
        for (service, comparison) in services {
            kept.insert(service, comparison.into_history(is_kept));
        }
    }
}
