//! Breaches: a gate that fails on the way forward opens an incident and starts the way back.

use jiff::Timestamp;

use super::rollback;
use crate::event::Event;
use crate::gate::{Finding, Gate, Signals, Verdict};
use crate::id::Course;
use crate::state::{Release, State};

/// Reacts to the first gate that fails in an environment that the release has begun to change.
pub(super) fn breach(state: &State, release: &Release, now: Timestamp) -> Vec<Event> {
    if release.course() == Course::Back {
        return Vec::new();
    }
    let watched = release.watched().into_iter();
    let mut verdicts = watched.flat_map(|environment| release.verdicts(environment, now));
    let Some(finding) = verdicts.find_map(|verdict| match verdict {
        Verdict::Fail(finding) => Some(finding).filter(|finding| is_ours(release, finding)),
        Verdict::Pass(_) | Verdict::Wait { .. } | Verdict::Inconclusive(_) => None,
    }) else {
        return Vec::new();
    };
    let reason = finding.to_string();
    let back = rollback::after_failure(state, release, now, &reason, Some(&finding.service));
    let mut events = vec![Event::Breached { finding }];
    events.extend(back);
    events
}

/// Whether a finding can have to do with this release: not so if its service was down ever since
/// the release began and was not changed by it yet, such as one that is still to be deployed.
fn is_ours(release: &Release, finding: &Finding) -> bool {
    // a value that was right before the rollout is
    if finding.gate == Gate::Invariant {
        return true;
    }
    let signals = release.signals.get(&finding.environment);
    let signals = signals.and_then(|services| services.get(&finding.service));
    signals.is_some_and(Signals::has_been_well)
        || release.forward.changed(finding.environment, &finding.service) > 0
}
