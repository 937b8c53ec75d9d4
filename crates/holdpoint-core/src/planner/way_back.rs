//! Plans the way back: the image, config and secrets version of every machine that the way
//! forward has touched, in reverse order, production first. It never waits for a window.

use crate::id::{Course, Environment, ImageDigest};
use crate::plan::{MachineAction, MachineChange, Plan, Rollout, SoakPurpose, Step, StepKind, Wave};
use crate::planner::soak;
use crate::state::{MachineProgress, Release};

/// The way back from where `release` stands. Its steps are empty when nothing was touched.
pub fn way_back(release: &Release) -> Plan {
    let forward = &release.forward;
    let mut steps = Vec::new();
    let mut watched = None;
    for environment in [Environment::Production, Environment::Staging] {
        let mut smoke = Vec::new();
        for rollout in forward.plan.steps.iter().rev().filter_map(|step| step.kind.rollout()) {
            if rollout.environment != environment {
                continue;
            }
            let changes = undo(release, rollout);
            if changes.is_empty() {
                continue;
            }
            watched = watched.or(Some(environment));
            if let Some(version) = rollout.secrets_version {
                steps.push(Step {
                    name: format!("{environment} secrets of {}", rollout.service),
                    kind: StepKind::RestoreSecrets { app: rollout.app.clone(), version },
                });
            }
            let previous_runs =
                changes.iter().any(|change| matches!(change.action, MachineAction::Update { .. }));
            steps.push(Step {
                name: format!("{environment} rollback of {}", rollout.service),
                kind: StepKind::Rollout(Rollout {
                    image_digest: previous_image(rollout)
                        .unwrap_or_else(|| rollout.image_digest.clone()),
                    // one machine after the other, so that the others keep serving
                    waves: changes
                        .into_iter()
                        .map(|change| Wave { changes: vec![change] })
                        .collect(),
                    ..rollout.clone()
                }),
            });
            if previous_runs {
                smoke.push(Step {
                    name: format!("{environment} smoke checks of {}", rollout.service),
                    kind: StepKind::Smoke {
                        service: rollout.service.clone(),
                        environment,
                        app: rollout.app.clone(),
                    },
                });
            }
        }
        smoke.reverse();
        steps.extend(smoke);
    }
    // with no previous version to watch, there is nothing that could be stable
    let smoked = steps.iter().any(|step| matches!(step.kind, StepKind::Smoke { .. }));
    if let Some(environment) = watched.filter(|_| smoked) {
        let secs = release.project.production.watch_after_rollback_secs;
        steps.push(soak(SoakPurpose::Watch, environment, secs));
    }
    Plan {
        release: release.id,
        course: Course::Back,
        version: release.version.clone(),
        parent: Some(forward.digest.clone()),
        pace: forward.plan.pace,
        steps,
    }
}

/// The image that the machines of a rollout ran before, where it is known.
fn previous_image(rollout: &Rollout) -> Option<ImageDigest> {
    let mut changes = rollout.waves.iter().flat_map(|wave| &wave.changes);
    changes.find_map(|change| match &change.action {
        MachineAction::Update { previous_image, .. } => previous_image.clone(),
        MachineAction::Create { .. }
        | MachineAction::Retire { .. }
        | MachineAction::Withdraw { .. } => None,
    })
}

/// The changes that undo what a rollout has begun, last machine first.
fn undo(release: &Release, rollout: &Rollout) -> Vec<MachineChange> {
    let changes = rollout.waves.iter().flat_map(|wave| &wave.changes);
    let undone = changes.filter_map(|change| {
        let progress = release.forward.machines.get(&change.slot)?;
        let action = undo_machine(release, &change.action, &rollout.image_digest, progress)?;
        Some(MachineChange { slot: change.slot.clone(), action })
    });
    let mut undone: Vec<MachineChange> = undone.collect();
    undone.reverse();
    undone
}

fn undo_machine(
    release: &Release,
    action: &MachineAction,
    image: &ImageDigest,
    progress: &MachineProgress,
) -> Option<MachineAction> {
    match action {
        MachineAction::Create { .. } => {
            let created_by = progress.created_by.clone()?;
            Some(MachineAction::Retire { machine: progress.machine.clone(), created_by })
        }
        // a machine of which not even the lease was ever taken is as it was
        MachineAction::Update { .. } if !progress.was_leased => None,
        MachineAction::Update { machine, .. } if release.unreleased.contains(machine) => {
            Some(MachineAction::Withdraw {
                machine: machine.clone(),
                supersedes_lease: progress.lease.clone(),
            })
        }
        MachineAction::Update { machine, previous_config, config, .. } => {
            Some(MachineAction::Update {
                machine: machine.clone(),
                expected_instance: None,
                previous_config: config.clone(),
                previous_image: Some(image.clone()),
                config: previous_config.clone(),
                supersedes_lease: progress.lease.clone(),
            })
        }
        // a way forward retires nothing
        MachineAction::Retire { .. } | MachineAction::Withdraw { .. } => None,
    }
}
