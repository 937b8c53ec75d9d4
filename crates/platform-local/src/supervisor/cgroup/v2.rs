//! Limits and measures by version 2 of the kernel's control groups: one directory for all.

use std::{fs, io, path::Path};

use super::{file_number, file_value, write};
use crate::supervisor::{Limits, Stats};

const CONTROLLERS: &str = "cgroup.subtree_control";

/// Hands the controllers down to the groups below this directory. Memory must be among them;
/// without the CPU's controller there is no limit of processor time.
pub(super) fn hand_down(directory: &Path) -> io::Result<bool> {
    let file = directory.join(CONTROLLERS);
    let has = |controller: &str| {
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.split_whitespace().any(|word| word.trim_start_matches('+') == controller)
    };
    let written = if has("cpu") && has("memory") {
        Ok(())
    } else {
        // Both at once or, where the CPU's was not handed to this user, memory alone.
        write(&file, "+memory +cpu").or_else(|_no_cpu| write(&file, "+memory"))
    };
    if has("memory") {
        return Ok(has("cpu"));
    }
    written.and_then(|()| Err(io::Error::other("the memory controller is not handed down")))
}

pub(super) fn limit_memory(group: &Path, limits: &Limits) -> io::Result<()> {
    write(&group.join("memory.max"), &limits.memory_bytes.to_string())?;
    let swap = write(&group.join("memory.swap.max"), &limits.swap_bytes.to_string());
    match swap {
        // A kernel without swap has no such file, and nothing to limit.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub(super) fn limit_cpu(group: &Path, limits: &Limits) -> io::Result<()> {
    let text = format!("{} {}", limits.cpu_quota_us, limits.cpu_period_us);
    write(&group.join("cpu.max"), &text)
}

pub(super) fn oom_kills(group: &Path) -> u64 {
    file_value(&group.join("memory.events"), "oom_kill").unwrap_or(0)
}

pub(super) fn stats(group: &Path) -> Stats {
    let used = file_number(&group.join("memory.current"));
    let unused_cache = file_value(&group.join("memory.stat"), "inactive_file").unwrap_or(0);
    let cpu = group.join("cpu.stat");
    Stats {
        memory_bytes: used.map(|used| used.saturating_sub(unused_cache)),
        cpu_used_us: file_value(&cpu, "usage_usec"),
        cpu_throttled_us: file_value(&cpu, "throttled_usec"),
        oom_kills: oom_kills(group),
    }
}
