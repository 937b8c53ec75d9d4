//! What driving starts from: the journal, the engine that it rebuilds, and the clock that never
//! falls behind it.

use std::path::Path;

use holdpoint_core::engine::Engine;
use holdpoint_core::journal::{Record, ReplayError};
use holdpoint_core::state::State;
use holdpoint_core::view;
use jiff::Timestamp;
use thiserror::Error;

use super::PlanView;
use crate::adapter::clock::{Clock, ClockError};
use crate::adapter::journal_sql::{Journal, JournalError};

/// An engine that can be driven.
#[derive(Debug)]
pub struct Session {
    /// The engine as the journal leaves it.
    pub engine: Engine,
    /// The journal, for writing.
    pub journal: Journal,
    /// The clock by which the project's releases go.
    pub clock: Clock,
}

/// Why a project's state can't be read.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The journal's file.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The clock's file.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The journal's records.
    #[error(
        "the journal can't be trusted\nhint: see what is left of it with `holdpoint journal \
         verify`, and put back a copy of the state directory"
    )]
    Replay(#[from] ReplayError),
}

/// What a reader finds when no conductor runs.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The state that the records add up to.
    pub state: State,
    /// The records.
    pub records: Vec<Record>,
    /// The time of the project's clock.
    pub now: Timestamp,
}

impl Session {
    /// Opens what is kept in a state directory, for driving. The caller holds the driver's lock.
    ///
    /// # Errors
    /// When the journal or the clock can't be opened, or records are missing or altered.
    pub async fn open(state_dir: &Path) -> Result<Self, SessionError> {
        let journal = Journal::open(state_dir).await?;
        let clock = Clock::stored_in(state_dir)?.unwrap_or_else(Clock::real);
        Self::recover(journal, clock).await
    }

    /// Rebuilds the engine from an open journal.
    ///
    /// # Errors
    /// When records are missing, altered or unreadable.
    pub async fn recover(journal: Journal, clock: Clock) -> Result<Self, SessionError> {
        let records = journal.read_all().await?;
        if let Some(last) = records.last() {
            clock.not_before(last.at);
        }
        let engine = Engine::recover(records)?;
        Ok(Self { engine, journal, clock })
    }
}

/// Reads what is kept in a state directory, beside a conductor or without one; `None` where
/// nothing was released yet.
///
/// # Errors
/// When it can't be read, or records are missing or altered.
pub async fn read_stored(state_dir: &Path) -> Result<Option<Stored>, SessionError> {
    let Some(journal) = Journal::open_read_only(state_dir).await? else {
        return Ok(None);
    };
    let records = journal.read_all().await?;
    let clock = Clock::stored_in(state_dir)?.unwrap_or_else(Clock::real);
    if let Some(last) = records.last() {
        clock.not_before(last.at);
    }
    let engine = Engine::recover(records.clone())?;
    Ok(Some(Stored { state: engine.state().clone(), records, now: clock.now() }))
}

/// The plan that is carried out, or was last.
pub fn plan_view(state: &State) -> Option<PlanView> {
    let release = state.releases.values().next_back()?;
    let run = release.run();
    Some(PlanView {
        digest: run.digest.clone(),
        text: view::plan_text(&run.plan),
        left_out: release.report.left_out.iter().map(ToString::to_string).collect(),
        plan: run.plan.clone(),
    })
}
