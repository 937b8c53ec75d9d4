//! One machine's program while it runs, in whichever way machines are run here.

use std::pin::Pin;

use rustix::process::Signal;

use super::{
    Container, Exit, Launch, Stats,
    process::{Identity, Process},
};

/// All that a program needs is there; it is not started.
#[derive(Debug)]
pub(crate) enum Ready {
    Process(Launch),
    Container(Container),
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

impl Program {
    /// Starts a program; a failure is told in words for people.
    pub(crate) async fn start(ready: &Ready) -> Result<(Self, Ended), String> {
        match ready {
            Ready::Process(launch) => {
                let started = Process::start(launch).await.map_err(|error| error.to_string())?;
                Ok((Self::Process(started.0), Box::pin(started.1)))
            }
            Ready::Container(container) => {
                let ended = container.start().await.map_err(|error| error.to_string())?;
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

    /// Freezes the program with all that it started.
    pub(crate) fn freeze(&self) {
        match self {
            Self::Process(process) => process.freeze(),
            Self::Container(container) => container.signal(Signal::STOP),
        }
    }

    /// Lets a frozen program run on; one that runs does not notice.
    pub(crate) fn thaw(&self) {
        match self {
            Self::Process(process) => process.thaw(),
            Self::Container(container) => container.signal(Signal::CONT),
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
