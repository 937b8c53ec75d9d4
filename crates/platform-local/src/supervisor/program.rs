//! One machine's program while it runs, in whichever way machines are run here.

use std::{fmt::Display, io, pin::Pin};

use machines_api::types::ProcessStat;
use rustix::process::Signal;

use super::{
    Container, ContainerError, EngineError, Exec, ExecDone, ExecError, Exit, Launch, Stats,
    process::{Identity, Process},
    processes::processes,
};

/// All that a program needs is there; it is not started.
#[derive(Debug)]
pub(crate) enum Ready {
    Process(Launch),
    Container(Container),
}

/// Why a program was not started.
#[derive(Debug)]
pub(crate) struct NotStarted {
    /// In words for people.
    pub(crate) reason: String,
    /// It may well start later, when the container engine answers again.
    pub(crate) engine_is_away: bool,
}

/// A running program. Dropping it leaves the program running.
#[derive(Debug, Clone)]
pub(crate) enum Program {
    /// A process of this computer.
    Process(Process),
    Container(Container),
}

/// Ends when the program does.
pub(crate) type Ended = Pin<Box<dyn Future<Output = Exit> + Send>>;

impl Ready {
    /// Gives up a start. What was made for a process is removed by the next start.
    pub(crate) async fn discard(self) {
        match self {
            Self::Process(_) => {}
            Self::Container(container) => container.remove().await,
        }
    }
}

impl NotStarted {
    /// For a reason that does not pass by itself.
    pub(crate) fn because(reason: impl Display) -> Self {
        Self { reason: reason.to_string(), engine_is_away: false }
    }
}

impl From<ContainerError> for NotStarted {
    fn from(error: ContainerError) -> Self {
        let engine_is_away = matches!(&error, ContainerError::Engine(why) if why.is_broken());
        Self { reason: error.to_string(), engine_is_away }
    }
}

impl From<EngineError> for NotStarted {
    fn from(error: EngineError) -> Self {
        ContainerError::from(error).into()
    }
}

impl Program {
    /// Starts a program.
    pub(crate) async fn start(ready: &Ready) -> Result<(Self, Ended), NotStarted> {
        match ready {
            Ready::Process(launch) => {
                let (process, ended) = Process::start(launch).await.map_err(NotStarted::because)?;
                Ok((Self::Process(process), Box::pin(ended)))
            }
            Ready::Container(container) => {
                let ended = container.start().await?;
                Ok((Self::Container(container.clone()), Box::pin(ended)))
            }
        }
    }

    /// What names a process for ever, to find it again. A container is found by its labels.
    pub(crate) fn identity(&self) -> Option<Identity> {
        match self {
            Self::Process(process) => Some(process.identity),
            Self::Container(_) => None,
        }
    }

    /// Sends a signal; a program that has ended meanwhile is no error.
    pub(crate) fn signal(&self, signal: Signal) {
        match self {
            Self::Process(process) => process.signal(signal),
            Self::Container(container) => container.signal(signal),
        }
    }

    /// Kills the program and all that it started.
    pub(crate) fn kill(&self) {
        match self {
            Self::Process(process) => process.kill(),
            Self::Container(container) => container.kill(),
        }
    }

    /// Freezes the program with all that it started; a failure is told in words for people.
    pub(crate) async fn freeze(&self) -> Result<(), String> {
        match self {
            Self::Process(process) => {
                process.freeze();
                Ok(())
            }
            Self::Container(container) => {
                container.freeze().await.map_err(|error| error.to_string())
            }
        }
    }

    /// Lets a frozen program run on; one that runs does not notice.
    pub(crate) async fn thaw(&self) {
        match self {
            Self::Process(process) => process.thaw(),
            Self::Container(container) => container.thaw().await,
        }
    }

    /// Runs one more program inside the machine, to its end.
    pub(crate) async fn exec(&self, exec: Exec) -> Result<ExecDone, ExecError> {
        match self {
            Self::Process(process) => exec.run(process).await,
            Self::Container(container) => container.exec(exec).await,
        }
    }

    /// The processes of the machine whose start this is.
    pub(crate) async fn processes(&self, start: &str) -> io::Result<Vec<ProcessStat>> {
        match self {
            Self::Process(process) => {
                let (identity, start) = (process.identity, start.to_owned());
                let looked = tokio::task::spawn_blocking(move || processes(identity, &start));
                looked.await.map_err(io::Error::other)?
            }
            Self::Container(container) => container.processes(start).await,
        }
    }

    /// The id of the program's process, if it can be seen from here.
    pub(crate) fn pid(&self) -> Option<i32> {
        match self {
            Self::Process(process) => Some(process.identity.pid),
            Self::Container(container) => container.pid(),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        match self {
            Self::Process(process) => process.stats(),
            Self::Container(container) => container.stats(),
        }
    }

    /// Removes what is left of a program that has ended, once its end is stored.
    pub(crate) async fn remove(&self) {
        match self {
            Self::Process(_) => {}
            Self::Container(container) => container.remove().await,
        }
    }
}
