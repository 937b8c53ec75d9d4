//! The command line: its definition in [`arguments`], and one file per verb. Verbs that act send
//! a command to the conductor that runs beside them; verbs that read ask it too, or read the
//! journal where none runs.

mod act;
pub mod arguments;
mod at_rest;
mod calendars;
mod check;
mod completions;
mod drill;
mod drive;
mod fault;
mod fly_environment;
mod incident;
mod init;
mod journal;
mod logs;
mod man;
mod plan;
mod preflight;
mod probe;
mod rehearse;
mod release;
mod resume;
mod scale;
mod smoke;
mod status;
mod timeline;
mod up;
mod waive;
mod window;

use holdpoint_core::command::Command;

use crate::exit_code::ExitCode;
use crate::message::Problem;
use crate::settings::Settings;

use arguments::{Arguments, Journal, RaiseFlag, Verb};

/// Does what the command line asks for.
///
/// # Errors
/// When it can't be done; the problem says why and what mends it.
pub async fn run(arguments: Arguments) -> Result<ExitCode, Problem> {
    let Arguments { shared, verb } = arguments;
    if let Verb::Rehearse(rehearse) = verb {
        return Box::pin(rehearse::rehearse(&shared, &rehearse)).await;
    }
    if let Verb::Up(up) = verb {
        return up::up(&shared, &up).await;
    }
    if let Verb::Logs(logs) = verb {
        return logs::logs(&shared, &logs).await;
    }
    if let Verb::Check(flags) = verb {
        return Box::pin(check::check(&shared, &flags)).await;
    }
    if let Verb::Fault(fault) = verb {
        return fault::fault(&shared, fault).await;
    }
    if let Verb::Init(flags) = verb {
        return init::init(&flags).await;
    }
    if let Verb::Completions(flags) = verb {
        return Ok(completions::completions(&flags));
    }
    if let Verb::Man(flags) = verb {
        return man::man(&flags);
    }
    if let Verb::Probe(flags) = verb {
        return probe::probe(&shared, &flags).await;
    }
    let settings = Settings::resolve(&shared)?;
    match verb {
        Verb::Rehearse(_)
        | Verb::Up(_)
        | Verb::Logs(_)
        | Verb::Fault(_)
        | Verb::Check(_)
        | Verb::Init(_)
        | Verb::Completions(_)
        | Verb::Man(_)
        | Verb::Probe(_) => Ok(ExitCode::Done),
        Verb::Release(release) => Box::pin(release::release(&settings, &release)).await,
        Verb::Resume(resume) => Box::pin(resume::resume(&settings, &resume)).await,
        Verb::Smoke(flags) => Box::pin(smoke::smoke(&settings, &flags)).await,
        Verb::Status(reading) => status::status(&settings, reading).await,
        Verb::Window(flags) => window::window(&settings, &flags).await,
        Verb::Plan(reading) => plan::plan(&settings, reading).await,
        Verb::Timeline(reading) => timeline::timeline(&settings, reading).await,
        Verb::Approve(approve) => act::approve(&settings, &approve).await,
        Verb::Waive(waive) => waive::waive(&settings, &waive).await,
        Verb::Halt(halt) => {
            act::act(&settings, Command::Halt { reason: halt.reason }, "cannot halt").await
        }
        Verb::Continue => act::act(&settings, Command::Resume, "cannot go on").await,
        Verb::Rollback(rollback) => {
            let command = Command::Rollback { reason: rollback.reason };
            act::act(&settings, command, "cannot roll back").await
        }
        Verb::Flag(RaiseFlag { flag, reason }) => {
            let refusal = format!("cannot raise the {flag} flag");
            act::act(&settings, Command::RaiseFlag { flag, reason }, &refusal).await
        }
        Verb::Drill(flags) => Box::pin(drill::drill(&settings, &flags)).await,
        Verb::Scale(flags) => Box::pin(scale::scale(&settings, &flags)).await,
        Verb::Incident(incidents) => Box::pin(incident::incident(&settings, incidents)).await,
        Verb::Journal(Journal::Verify(reading)) => journal::verify(&settings, reading).await,
    }
}
