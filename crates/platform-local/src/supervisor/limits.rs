//! How much memory and processor time a machine's program may use, in the kernel's own measures.

use machines_api::types::{Guest, Init};

/// What a machine gets that names no size: Fly's smallest.
pub(crate) const MEMORY_MB_DEFAULT: u64 = 256;

/// The time over which processor time is shared out. The kernel's default.
const PERIOD_US: u64 = 100_000;

/// Fly shares out its shared CPUs in periods of 80 ms, of which each CPU may use 5 ms.
const SHARED_PERIOD_US: u64 = 80_000;
const SHARED_QUOTA_US: u64 = 5_000;

/// The limits of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) memory_bytes: u64,
    /// On top of the memory; none unless the config asks for it.
    pub(crate) swap_bytes: u64,
    /// Processor time within each period, over all CPUs.
    pub(crate) cpu_quota_us: u64,
    pub(crate) cpu_period_us: u64,
}

impl Limits {
    /// The limits that a config means. A shared CPU is a whole one, unless Fly's baseline shall be
    /// kept too: one sixteenth of a CPU would make a rehearsal slow without making it truer.
    pub(crate) fn of(guest: Option<&Guest>, init: Option<&Init>, keep_baseline: bool) -> Self {
        let cpus = u64::from(guest.map_or(1, |guest| guest.cpus).max(1));
        let shared = guest.is_none_or(|guest| guest.cpu_kind != "performance");
        let (cpu_quota_us, cpu_period_us) = if shared && keep_baseline {
            (SHARED_QUOTA_US.saturating_mul(cpus), SHARED_PERIOD_US)
        } else {
            (PERIOD_US.saturating_mul(cpus), PERIOD_US)
        };
        let swap_mb = init.and_then(|init| init.swap_size_mb).unwrap_or(0);
        Self {
            memory_bytes: memory_mb(guest).saturating_mul(1 << 20),
            swap_bytes: swap_mb.saturating_mul(1 << 20),
            cpu_quota_us,
            cpu_period_us,
        }
    }
}

/// The memory of a machine of this size.
pub(crate) fn memory_mb(guest: Option<&Guest>) -> u64 {
    let size = guest.map_or(0, |guest| guest.memory_mb);
    if size == 0 { MEMORY_MB_DEFAULT } else { size }
}

/// What a program uses, as far as this computer tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Memory that cannot be taken back at once: without the file cache that is unused.
    pub(crate) memory_bytes: Option<u64>,
    /// Processor time since the start, of the whole machine.
    pub(crate) cpu_used_us: Option<u64>,
    /// Time for which the machine wanted to run and had used up its quota.
    pub(crate) cpu_throttled_us: Option<u64>,
    /// Processes of the machine that were killed for want of memory since the start.
    pub(crate) oom_kills: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_becomes_limits_and_the_baseline_of_shared_cpus_only_on_request() {
        let guest = |kind: &str, cpus| Guest {
            cpu_kind: kind.to_owned(),
            cpus,
            memory_mb: 512,
            ..Guest::default()
        };
        let shared = Limits::of(Some(&guest("shared", 2)), None, false);
        assert_eq!((shared.memory_bytes, shared.swap_bytes), (512 << 20, 0));
        assert_eq!((shared.cpu_quota_us, shared.cpu_period_us), (200_000, 100_000));
        let baseline = Limits::of(Some(&guest("shared", 2)), None, true);
        assert_eq!((baseline.cpu_quota_us, baseline.cpu_period_us), (10_000, 80_000));
        let performance = Limits::of(Some(&guest("performance", 4)), None, true);
        assert_eq!((performance.cpu_quota_us, performance.cpu_period_us), (400_000, 100_000));
        let none = Limits::of(None, None, false);
        assert_eq!((none.memory_bytes, none.cpu_quota_us), (256 << 20, 100_000));
        let init = Init { swap_size_mb: Some(64), ..Init::default() };
        assert_eq!(Limits::of(None, Some(&init), false).swap_bytes, 64 << 20);
    }
}
