//! Finds the control group that limits a program's memory, whoever made it: the fleet for its
//! processes, a container engine for its containers.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where the hierarchies are mounted on every Linux of today.
const MOUNT: &str = "/sys/fs/cgroup";

/// The group that limits a program's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemoryGroup {
    pub(crate) path: PathBuf,
    pub(crate) limit_bytes: u64,
}

impl MemoryGroup {
    /// The group of this program, if it is one of its own and has a limit.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let read = |who: &str| fs::read_to_string(format!("/proc/{who}/cgroup")).ok();
        let (theirs, ours) = (read(&pid.to_string())?, read("self")?);
        let (path, file) = place(&theirs)?;
        // The platform's own group is no machine's.
        if place(&ours).is_some_and(|(own, _)| own == path) {
            return None;
        }
        let limit = fs::read_to_string(path.join(file)).ok()?.trim().parse().ok()?;
        (limit < all_bytes()?).then_some(Self { path, limit_bytes: limit })
    }
}

/// Makes the kernel choose this program first when its group is out of memory.
pub(crate) fn make_first_victim(pid: i32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/oom_score_adj"), "1000")
}

/// Bytes of memory that this computer could still give.
pub(crate) fn available_bytes() -> Option<u64> {
    memory_field("MemAvailable:")
}

fn all_bytes() -> Option<u64> {
    memory_field("MemTotal:")
}

fn memory_field(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The directory of the group, and the file in it that holds the limit: of version 1, if memory
/// is controlled by that, else of version 2.
fn place(cgroups: &str) -> Option<(PathBuf, &'static str)> {
    let lines = cgroups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let mut version_2 = None;
    for (controllers, path) in lines {
        let inside = path.trim_start_matches('/');
        if controllers.split(',').any(|one| one == "memory") {
            return Some((Path::new(MOUNT).join("memory").join(inside), "memory.limit_in_bytes"));
        }
        if controllers.is_empty() {
            version_2 = Some((Path::new(MOUNT).join(inside), "memory.max"));
        }
    }
    version_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_found_in_either_version() {
        let old = "4:memory:/a/b\n3:cpu,cpuacct:/c\n0::/\n";
        let place_of = |text| place(text).expect("a place");
        assert_eq!(place_of(old).0, Path::new("/sys/fs/cgroup/memory/a/b"));
        let new = "0::/user.slice/x\n";
        let found = place_of(new);
        assert_eq!(found, (PathBuf::from("/sys/fs/cgroup/user.slice/x"), "memory.max"));
        assert_eq!(place(""), None);
    }
}
