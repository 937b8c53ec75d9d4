//! Limits and measures by version 1 of the kernel's control groups: one directory per controller.

use std::{io, path::Path};

use super::{file_number, file_value, write};
use crate::supervisor::{Limits, Stats};

/// Files of a group, by controller.
pub(super) const MEMORY_PROBE: &str = "memory.limit_in_bytes";

pub(super) fn limit_memory(group: &Path, limits: &Limits) -> io::Result<()> {
    write(&group.join("memory.limit_in_bytes"), &limits.memory_bytes.to_string())?;
    let with_swap = limits.memory_bytes.saturating_add(limits.swap_bytes);
    // Kernels without swap accounting have no such file: then the group is kept from swapping.
    let memsw = group.join("memory.memsw.limit_in_bytes");
    if memsw.exists() {
        write(&memsw, &with_swap.to_string())
    } else if limits.swap_bytes == 0 {
        write(&group.join("memory.swappiness"), "0")
    } else {
        Ok(())
    }
}

pub(super) fn limit_cpu(group: &Path, limits: &Limits) -> io::Result<()> {
    write(&group.join("cpu.cfs_period_us"), &limits.cpu_period_us.to_string())?;
    write(&group.join("cpu.cfs_quota_us"), &limits.cpu_quota_us.to_string())
}

pub(super) fn oom_kills(memory: &Path) -> u64 {
    file_value(&memory.join("memory.oom_control"), "oom_kill").unwrap_or(0)
}

pub(super) fn stats(memory: &Path, cpu: Option<&Path>, accounting: Option<&Path>) -> Stats {
    let used = file_number(&memory.join("memory.usage_in_bytes"));
    let unused_cache = file_value(&memory.join("memory.stat"), "total_inactive_file").unwrap_or(0);
    let throttled_ns = cpu.and_then(|cpu| file_value(&cpu.join("cpu.stat"), "throttled_time"));
    let used_ns = accounting.and_then(|group| file_number(&group.join("cpuacct.usage")));
    Stats {
        memory_bytes: used.map(|used| used.saturating_sub(unused_cache)),
        cpu_used_us: used_ns.map(|ns| ns / 1000),
        cpu_throttled_us: throttled_ns.map(|ns| ns / 1000),
        oom_kills: oom_kills(memory),
    }
}
