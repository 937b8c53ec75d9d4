//! Reads what the kernel counts of a container: the memory it uses and how often some process of
//! it was killed for want of memory. Older versions of Podman don't tell the latter.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::supervisor::Stats;

/// Where control groups are mounted on every Linux of today.
const MOUNT: &str = "/sys/fs/cgroup";

/// The control group that an engine made for a container.
#[derive(Debug, Clone)]
pub(super) struct Group {
    directory: PathBuf,
}

impl Group {
    /// The group of the process that leads a container.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        Some(Self { directory: directory(Path::new(MOUNT), &text)? })
    }

    /// What the container uses. Its processor time is not read.
    pub(super) fn stats(&self) -> Stats {
        let number = |file: &str| -> Option<u64> {
            fs::read_to_string(self.directory.join(file)).ok()?.trim().parse().ok()
        };
        let used = number("memory.current").or_else(|| number("memory.usage_in_bytes"));
        let statistics = fs::read_to_string(self.directory.join("memory.stat")).unwrap_or_default();
        // The file cache that is unused can be taken back at once.
        let unused: Option<u64> = statistics.lines().find_map(|line| {
            line.trim_start_matches("total_").strip_prefix("inactive_file ")?.trim().parse().ok()
        });
        Stats {
            memory_bytes: used.map(|used| used.saturating_sub(unused.unwrap_or(0))),
            oom_kills: self.oom_kills(),
            ..Stats::default()
        }
    }

    /// Processes that were killed for want of memory. None are known when the group is gone.
    pub(super) fn oom_kills(&self) -> u64 {
        let count = |file: &str| {
            let text = fs::read_to_string(self.directory.join(file)).ok()?;
            text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        };
        count("memory.events").or_else(|| count("memory.oom_control")).unwrap_or(0)
    }
}

/// The directory of the memory controller: its own in version 1, the common one in version 2.
fn directory(mount: &Path, text: &str) -> Option<PathBuf> {
    let path_in = |controller: &str| {
        text.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let is_it = controllers.split(',').any(|name| name == controller);
            is_it.then(|| path.trim_start_matches('/'))
        })
    };
    if let Some(path) = path_in("memory") {
        return Some(mount.join("memory").join(path));
    }
    Some(mount.join(path_in("")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_found_in_both_versions_and_its_kills_are_counted() {
        let mount = tempfile::tempdir().expect("a directory");
        let old = directory(mount.path(), "9:name=systemd:/x\n4:memory:/pod/c1\n0::/pod/c1\n");
        assert_eq!(old, Some(mount.path().join("memory/pod/c1")));
        let new = directory(mount.path(), "0::/machine.slice/c1\n").expect("a group");
        assert_eq!(new, mount.path().join("machine.slice/c1"));
        let group = Group { directory: new.clone() };
        assert_eq!(group.oom_kills(), 0);
        fs::create_dir_all(&new).expect("made");
        fs::write(new.join("memory.events"), "oom 3\noom_kill 2\n").expect("written");
        assert_eq!(group.oom_kills(), 2);
    }
}
