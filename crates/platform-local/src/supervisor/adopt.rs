//! Finds, after a restart of the platform, the programs that an earlier one started.
//!
//! A program is found by its id and start time. If the earlier platform was killed between
//! starting a program and storing its id, the program is found by the mark in its environment.

use std::collections::BTreeMap;

use super::{
    Hold, Limits,
    process::{Identity, Process},
    process_files,
    program::{Ended, Program},
};

/// The variable that names, in the environment of each machine, the start that it belongs to.
pub(crate) const START_VARIABLE: &str = "FLY_LOCAL_START";

/// The variable that names the platform, by the id of its state directory.
pub(crate) const PLATFORM_VARIABLE: &str = "FLY_LOCAL_PLATFORM";

/// The programs of one platform that were running when they were looked for.
#[derive(Debug)]
pub(crate) struct Survivors {
    by_start: BTreeMap<String, Identity>,
}

impl Survivors {
    /// Looks through all processes for those of this platform.
    pub(crate) fn find(platform: &str) -> Self {
        let mut by_start = BTreeMap::new();
        for pid in process_files::all() {
            let mark = process_files::environment_value(pid, PLATFORM_VARIABLE);
            if mark.as_deref() != Some(platform) || !leads_its_group(pid) {
                continue;
            }
            let start = process_files::environment_value(pid, START_VARIABLE);
            if let (Some(start), Some(start_ticks)) = (start, process_files::start_ticks(pid)) {
                by_start.insert(start, Identity { pid, start_ticks });
            }
        }
        Self { by_start }
    }

    /// Takes over the program of this start: the one with the stored identity, or else the one
    /// that carries the mark.
    pub(crate) fn claim(
        &mut self,
        start: &str,
        stored: Option<Identity>,
        hold: Hold,
        limits: &Limits,
    ) -> Option<(Program, Ended)> {
        let marked = self.by_start.remove(start);
        let (process, ended) = Process::adopt(stored.or(marked)?, hold, limits)?;
        Some((Program::Process(process), Box::pin(ended)))
    }

    /// Ends the programs that nobody claimed: starts that were given up.
    pub(crate) fn kill_the_rest(self) {
        for (start, identity) in self.by_start {
            if let Some(process) = Process::of(identity, Hold::Watching) {
                tracing::warn!(start, pid = identity.pid, "ending a program that no machine owns");
                process.kill();
            }
        }
    }
}

/// Children of a machine inherit its environment; only the machine itself leads its group.
fn leads_its_group(pid: i32) -> bool {
    rustix::process::Pid::from_raw(pid)
        .is_some_and(|pid| rustix::process::getpgid(Some(pid)).is_ok_and(|group| group == pid))
}
