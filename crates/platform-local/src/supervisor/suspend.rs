//! Freezes a program with all that it started, and lets it run on. Its memory stays as it is.

use rustix::process::{Pid, Signal, kill_process_group};

use super::process::Process;

impl Process {
    /// Freezes the program's process group.
    pub(crate) fn freeze(&self) {
        self.signal_group(Signal::STOP);
    }

    /// Lets a frozen process group run on; one that runs does not notice.
    pub(crate) fn thaw(&self) {
        self.signal_group(Signal::CONT);
    }

    fn signal_group(&self, signal: Signal) {
        // First by its handle: should the program have ended, its id may be another's by now.
        self.signal(signal);
        if let Some(group) = Pid::from_raw(self.identity.pid).filter(|_| self.is_alive())
            && let Err(error) = kill_process_group(group, signal)
        {
            tracing::debug!(%error, pid = self.identity.pid, "no process group to signal");
        }
    }
}
