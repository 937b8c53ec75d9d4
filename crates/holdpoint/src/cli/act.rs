//! The verbs that act on a release under way: `approve`, `halt`, `continue`, `rollback`. Each
//! sends one command to the running conductor, or to the journal of a project at rest.

use holdpoint_core::command::{Actor, Command};
use holdpoint_core::id::PlanDigest;
use holdpoint_core::project::{Project, Role};
use holdpoint_core::view::{ReleaseStatus, Status};

use crate::cli::arguments::Approve;
use crate::cli::at_rest;
use crate::daemon::PlanView;
use crate::exit_code::ExitCode;
use crate::http::CommandRequest;
use crate::http::client::{self, AskError};
use crate::message::{self, Problem};
use crate::project_file;
use crate::settings::Settings;

/// How many digits of a plan's digest name it: as many as are shown.
const DIGITS_MIN: usize = 12;

pub(super) async fn act(
    settings: &Settings,
    command: Command,
    refusal: &str,
) -> Result<ExitCode, Problem> {
    let request = CommandRequest { actor: Actor::new(&settings.actor), command };
    let sent = client::command(&settings.socket(), &request).await;
    if let Err(AskError::Unreachable { .. }) = &sent
        && at_rest::is_at_rest(settings).await?
    {
        return at_rest::send(settings, request.command, refusal).await;
    }
    let accepted = sent.map_err(|error| problem(refusal, error))?;
    message::print(&format!("done as {}, record {}\n", settings.actor, accepted.record));
    Ok(ExitCode::Done)
}

pub(super) async fn approve(settings: &Settings, approve: &Approve) -> Result<ExitCode, Problem> {
    let refusal = "cannot approve";
    let socket = settings.socket();
    let status: Status =
        client::read(&socket, "/status").await.map_err(|error| problem(refusal, error))?;
    let release = status.release.filter(|release| release.ended.is_none());
    let release = release.ok_or_else(|| {
        Problem::new(ExitCode::Refused, refusal)
            .cause("no release is under way")
            .hint("start one with `holdpoint release VERSION`")
    })?;
    let plan = named_plan(approve, &release)?;
    let role = match approve.role {
        Some(role) => role,
        None => missing_role(settings, &release)?,
    };
    if approve.plan.is_none() {
        let shown: Option<PlanView> =
            client::read(&socket, "/plan").await.map_err(|error| problem(refusal, error))?;
        message::print(&shown.map(|shown| shown.text).unwrap_or_default());
    }
    act(settings, Command::Approve { plan, role }, refusal).await
}

/// What it means that the conductor did not do what was asked.
pub(super) fn problem(refusal: &str, error: AskError) -> Problem {
    match error {
        AskError::Unreachable { .. } => Problem::because(ExitCode::Unreachable, refusal, &error)
            .hint("drive the release with `holdpoint resume`, and repeat this beside it"),
        AskError::Refused { refused } => {
            let problem = Problem::new(ExitCode::Refused, refusal).cause(refused.error);
            match refused.hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            }
        }
        AskError::Broken { .. } => Problem::because(ExitCode::Unexpected, refusal, &error),
    }
}

fn named_plan(approve: &Approve, release: &ReleaseStatus) -> Result<PlanDigest, Problem> {
    let Some(given) = &approve.plan else {
        return Ok(release.plan.clone());
    };
    let digits = given.strip_prefix("sha256:").unwrap_or(given);
    if digits.len() < DIGITS_MIN {
        return Err(Problem::new(ExitCode::Usage, format!("`{given}` is too short for a plan"))
            .cause(format!("a plan is named by at least {DIGITS_MIN} digits of its digest"))
            .hint(format!(
                "read it with `holdpoint plan`; it begins with {}",
                release.plan.short()
            )));
    }
    let waiting = release.plan.as_str();
    let waiting = waiting.strip_prefix("sha256:").unwrap_or(waiting);
    // a digest of another plan goes to the engine as it is, which refuses it in its own words
    Ok(if waiting.starts_with(digits) {
        release.plan.clone()
    } else {
        PlanDigest::new(format!("sha256:{digits}"))
    })
}

/// The role that is still missing and that the actor has; where they have none, the engine says
/// so of the first that is missing.
fn missing_role(settings: &Settings, release: &ReleaseStatus) -> Result<Role, Problem> {
    let project: Project = project_file::load(&settings.project_file)?;
    let person = project.person(&settings.actor);
    let missing = &release.missing_approvals;
    let own = missing.iter().find(|role| person.is_some_and(|person| person.has_role(**role)));
    own.or(missing.first()).copied().ok_or_else(|| {
        Problem::new(ExitCode::Refused, "cannot approve")
            .cause("no approval is missing")
            .hint("see what the release waits for with `holdpoint status`")
    })
}
