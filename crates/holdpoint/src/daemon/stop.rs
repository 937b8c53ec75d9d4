//! How a conductor is told to stop: Ctrl-C or SIGTERM once for the next safe point, again for at
//! once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How soon to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// At the next point at which nothing is half done.
    AtSafePoint,
    /// Now.
    AtOnce,
}

/// The signals that ask a process to stop.
#[derive(Debug)]
pub struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    asked: bool,
}

impl StopSignals {
    /// Listens from now on; before this, a signal ends the process.
    ///
    /// # Errors
    /// When the system refuses to tell of signals.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            asked: false,
        })
    }

    /// The next request to stop.
    pub async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        let stop = if self.asked { Stop::AtOnce } else { Stop::AtSafePoint };
        self.asked = true;
        stop
    }
}
