//! One machine's program while it runs, in whichever way machines are run here.

use std::pin::Pin;

use rustix::process::Signal;

use super::{
    Exit, Launch, Stats,
    process::{Identity, Process, SpawnError},
};

/// A running program. Dropping it leaves the program running.
#[derive(Debug, Clone)]
pub(crate) enum Program {
    /// A process of this computer.
    Process(Process),
}

/// Ends when the program does.
pub(crate) type Ended = Pin<Box<dyn Future<Output = Exit> + Send>>;

impl Program {
    /// Starts a program.
    pub(crate) async fn start(launch: &Launch) -> Result<(Self, Ended), SpawnError> {
        let (process, ended) = Process::start(launch).await?;
        Ok((Self::Process(process), Box::pin(ended)))
    }

    /// What names the program for ever, to find it again.
    pub(crate) fn identity(&self) -> Identity {
        match self {
            Self::Process(process) => process.identity,
        }
    }

    /// Sends a signal; a program that has ended meanwhile is no error.
    pub(crate) fn signal(&self, signal: Signal) {
        match self {
            Self::Process(process) => process.signal(signal),
        }
    }

    /// Kills the program and all that it started.
    pub(crate) fn kill(&self) {
        match self {
            Self::Process(process) => process.kill(),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        match self {
            Self::Process(process) => process.stats(),
        }
    }
}
