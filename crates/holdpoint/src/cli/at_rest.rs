//! Sends a command to a project at rest: with no conductor running and no release under way, it is
//! written into the journal right here. Messages that follow from it leave with the next conductor.

use holdpoint_core::command::{Actor, Command};
use holdpoint_core::engine::{Input, Output};

use super::drive;
use crate::daemon::{Session, read_stored};
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};
use crate::settings::Settings;

/// Whether the project is at rest, so that [`send`] is the way.
pub(super) async fn is_at_rest(settings: &Settings) -> Result<bool, Problem> {
    let stored = read_stored(&settings.state_dir).await?;
    Ok(stored.is_some_and(|stored| stored.state.active().is_none()))
}

/// Lets the engine hear a command, and makes what it decides durable.
pub(super) async fn send(
    settings: &Settings,
    command: Command,
    refusal: &str,
) -> Result<ExitCode, Problem> {
    let lock = drive::lock(settings, "a command to a project at rest".to_owned())?;
    let Session { mut engine, journal, clock } = Session::open(&settings.state_dir).await?;
    let input = Input::Command(Actor::new(&settings.actor), command);
    engine.handle(clock.now(), input).map_err(|rejection| message::refused(refusal, &rejection))?;
    loop {
        match engine.poll_output() {
            Output::Append(record) => journal.append(&record).await?,
            // the next conductor reads it off the journal, and asks for it again
            Output::Perform(..) => {}
            Output::WaitUntil(_) => break,
        }
    }
    let record = engine.head_of_journal().0;
    message::print(&format!("done as {}, record {record}\n", settings.actor));
    drop(lock);
    Ok(ExitCode::Done)
}
