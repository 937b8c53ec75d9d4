//! A plan as text, one line a step and one a machine: what people read before they approve.

use std::fmt::Write;

use crate::gate::human_secs;
use crate::id::{Course, ImageDigest};
use crate::plan::{MachineAction, Plan, StepKind};

/// The plan as lines of text, its digest first.
pub fn plan_text(plan: &Plan) -> String {
    let mut text = String::new();
    let way = match plan.course {
        Course::Forward => "release of",
        Course::Back => "rollback of",
    };
    // writing to a string can't fail
    let _infallible = writeln!(text, "plan {}: {way} {}", plan.digest().short(), plan.version);
    for (step, number) in plan.steps.iter().zip(1..) {
        let _infallible = writeln!(text, "{number:>3}. {}{}", step.name, detail(&step.kind));
        let StepKind::Rollout(rollout) = &step.kind else { continue };
        for (wave, number) in rollout.waves.iter().zip(1..) {
            for change in &wave.changes {
                let action = action_text(&change.action, &rollout.image_digest);
                let _infallible = writeln!(text, "     wave {number}: {}: {action}", change.slot);
            }
        }
        if rollout.waves.is_empty() {
            let _infallible = writeln!(text, "     every machine is as it should be");
        }
    }
    text
}

/// What happens to a machine, as a difference: what it runs now, and what it will run.
fn action_text(action: &MachineAction, image: &ImageDigest) -> String {
    match action {
        MachineAction::Create { .. } => format!("a new machine, nothing -> {}", image.short()),
        MachineAction::Update { machine, previous_image, .. } => {
            let before = previous_image.as_ref().map_or("unknown", ImageDigest::short);
            format!("machine {machine}, {before} -> {}", image.short())
        }
        MachineAction::Retire { machine: Some(machine), .. }
        | MachineAction::Withdraw { machine, .. } => format!("stop machine {machine}"),
        MachineAction::Retire { machine: None, .. } => {
            "stop the machine, should it exist".to_owned()
        }
    }
}

fn detail(kind: &StepKind) -> String {
    let human = |secs: u64| human_secs(i64::try_from(secs).unwrap_or(i64::MAX));
    match kind {
        StepKind::Preflight | StepKind::Smoke { .. } => String::new(),
        StepKind::Rollout(rollout) => format!(
            ": image {}, healthy within {}",
            rollout.image_digest.short(),
            human(rollout.health_within_secs)
        ),
        StepKind::Soak(soak) => {
            format!(": every gate holds for {}", human(soak.duration_secs))
        }
        StepKind::Approval { roles, .. } => {
            let roles: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
            format!(": {}, none by the author", roles.join(" and "))
        }
        StepKind::Window { announce_before_secs } => {
            format!(": open, not frozen, announced {} before", human(*announce_before_secs))
        }
        StepKind::RestoreSecrets { version, .. } => format!(": back to version {version}"),
    }
}
