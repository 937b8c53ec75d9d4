//! What a rollback leaves behind: new releases are held until somebody says that they go on, and
//! the images that were to blame are not tried again without a person's word. It says what is held
//! and who is to blame; it never keeps a way back from being taken.

use std::collections::BTreeSet;

use crate::command::{Rejection, StartRelease};
use crate::event::Ending;
use crate::id::{ImageDigest, ServiceName};
use crate::plan::{Plan, StepKind};
use crate::state::{Release, State};

/// Refuses a release that comes too soon after a rollback, or with an image that was rolled back.
pub(super) fn refuse(state: &State, start: &StartRelease) -> Result<(), Rejection> {
    if let Some(release) = state.held_by.and_then(|held_by| state.releases.get(&held_by)) {
        return Err(Rejection::HeldAfterRollback {
            version: release.version.to_string(),
            release: release.id.to_string(),
        });
    }
    if start.again.is_some() {
        return Ok(());
    }
    let tried: BTreeSet<String> = start
        .facts
        .iter()
        .filter_map(|facts| {
            let release = state.suspects.get(&facts.image_digest)?;
            let (service, image) = (&facts.service, facts.image_digest.short());
            Some(format!("the image {image} of {service} was rolled back by {release}"))
        })
        .collect();
    if tried.is_empty() {
        return Ok(());
    }
    let tried: Vec<String> = tried.into_iter().collect();
    Err(Rejection::TriedBefore { images: tried.join("; ") })
}

/// The images that a rollback of `release` blames: that of the service in which it went wrong,
/// where that is known and was changed, or else those of all services that were changed. An image
/// that was released before has shown that it is good.
pub(super) fn suspects(
    state: &State,
    release: &Release,
    culprit: Option<&ServiceName>,
) -> Vec<ImageDigest> {
    let forward = &release.forward;
    let was_changed =
        |service: &ServiceName| forward.machines.keys().any(|slot| slot.service == *service);
    let culprit = culprit.filter(|service| was_changed(service));
    let blamed: BTreeSet<ImageDigest> = forward
        .plan
        .images()
        .into_iter()
        .filter(|(_, service, _)| match culprit {
            Some(culprit) => service == culprit,
            None => was_changed(service),
        })
        .map(|(_, _, image)| image)
        .filter(|image| !was_released(state, image))
        .collect();
    blamed.into_iter().collect()
}

/// The service of the step under way, if it is about one.
pub(super) fn service_of_step(release: &Release) -> Option<&ServiceName> {
    match &release.current_step()?.kind {
        StepKind::Rollout(rollout) => Some(&rollout.service),
        StepKind::Smoke { service, .. } => Some(service),
        StepKind::Preflight
        | StepKind::Soak(_)
        | StepKind::Approval { .. }
        | StepKind::Window { .. }
        | StepKind::RestoreSecrets { .. } => None,
    }
}

fn was_released(state: &State, image: &ImageDigest) -> bool {
    let brings = |plan: &Plan| plan.images().iter().any(|(_, _, brought)| brought == image);
    state.releases.values().any(|release| {
        matches!(release.ended, Some((_, Ending::Released))) && brings(&release.forward.plan)
    })
}
