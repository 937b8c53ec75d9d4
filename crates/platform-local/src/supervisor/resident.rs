//! Watches the memory of a process group where no control group can hold it.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{START_VARIABLE, Stats, process_files};
use crate::clock;

/// Between two looks. A program may exceed its memory for so long.
const LOOK: Duration = Duration::from_millis(500);

/// Ends when the processes of the group hold more than this together.
pub(super) async fn exceeds(group: i32, memory_bytes: u64) {
    loop {
        clock::pause(LOOK).await;
        if memory_of(group) > memory_bytes {
            return;
        }
    }
}

/// Kills what is left of the group after its leader has ended. Its number may belong to others
/// soon, so each process must carry the mark of a machine.
pub(super) fn kill(group: i32) {
    for pid in process_files::members(group) {
        if process_files::environment_value(pid, START_VARIABLE).is_some()
            && let Some(pid) = Pid::from_raw(pid)
            && let Err(error) = kill_process(pid, Signal::KILL)
        {
            tracing::debug!(%error, "a process of a machine was gone already");
        }
    }
}

pub(super) fn stats(group: i32) -> Stats {
    let members = process_files::members(group);
    let cpu_used_us = members.iter().filter_map(|pid| process_files::cpu_used_us(*pid)).sum();
    Stats {
        memory_bytes: Some(memory_of(group)),
        cpu_used_us: Some(cpu_used_us),
        cpu_throttled_us: None,
        oom_kills: 0,
    }
}

fn memory_of(group: i32) -> u64 {
    let members = process_files::members(group);
    members.into_iter().filter_map(process_files::resident_bytes).sum()
}
