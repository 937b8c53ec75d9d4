//! The test persons of a rehearsal: one for each role that must consent. They are added to the
//! project's people, consent to whatever waits for them, and stand in the journal under names
//! that nobody takes for a person's.

use std::time::Duration;

use holdpoint_core::command::{Actor, Command};
use holdpoint_core::engine::WaitReason;
use holdpoint_core::project::{Person, Project, Role};

use crate::adapter::clock::pause;
use crate::daemon::{Handle, Unanswered};

/// Who starts the releases of a rehearsal. Nobody of the project does.
pub const AUTHOR: &str = "rehearsal";

/// How often the test persons look whether they are wanted.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// How long each takes to read the plan.
const READING: Duration = Duration::from_millis(700);

/// Adds a test person for each role that production needs.
pub fn add_to(project: &mut Project) {
    for role in project.production.approvals.clone() {
        project.people.push(Person { name: name(role), roles: vec![role] });
    }
}

/// Consents in every role that is missing, each as another person, until the conductor stops.
pub async fn consent(handle: Handle) -> Result<(), Unanswered> {
    loop {
        pause(LOOK_EVERY).await;
        let Some(release) = handle.status().await?.release else {
            continue;
        };
        if !matches!(release.waits_for, Some(WaitReason::Approvals { .. })) {
            continue;
        }
        for role in release.missing_approvals {
            pause(READING).await;
            let approve = Command::Approve { plan: release.plan.clone(), role };
            match handle.command(Actor::new(name(role)), approve).await {
                Ok(_) => {}
                // the release may have moved on while they were reading
                Err(Unanswered::Rejected(rejection)) => {
                    tracing::info!(%rejection, "a test person's approval was refused");
                }
                Err(stopped @ (Unanswered::Stopped | Unanswered::Journal(_))) => {
                    return Err(stopped);
                }
            }
        }
    }
}

fn name(role: Role) -> String {
    format!("test-{role}")
}
