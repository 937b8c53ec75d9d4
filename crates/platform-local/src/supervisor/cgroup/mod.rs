//! Holds machines to their limits by the kernel's control groups, of version 1 or 2.
//!
//! Each start of a machine has a group of its own below one directory of the platform, so that the
//! groups are found again after a crash, with what the kernel counted in them meanwhile. What
//! happens where no group can be made is not decided here.

mod v1;
mod v2;

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, getpid, kill_process};

use super::{Limits, Stats};
use crate::clock;

/// Where the hierarchies are mounted on every Linux of today.
pub(crate) const MOUNT: &str = "/sys/fs/cgroup";

/// A directory that is there now may be gone a moment later, but not again and again.
const MAKE_TRIES: u32 = 5;

/// Processes that were killed are gone after this, unless the kernel itself holds them.
const END_TRIES: u32 = 200;
const END_PAUSE: Duration = Duration::from_millis(10);

/// The directories in which one platform makes its groups.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    version: Version,
    memory: PathBuf,
    cpu: Option<PathBuf>,
    /// Where version 1 counts processor time.
    accounting: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Groups {
    /// Finds a place for the groups of this platform: the one of before, else one that may be
    /// written to. `own` is the text of `/proc/self/cgroup`; a failure says what stands against it.
    pub(crate) fn find(mount: &Path, own: &str, platform: &str) -> io::Result<Self> {
        let name = format!("holdpoint-{platform}");
        if mount.join("cgroup.controllers").exists() {
            let (directory, has_cpu) = v2_directory(mount, path_in(own, ""), &name)?;
            let cpu = has_cpu.then(|| directory.clone());
            return Ok(Self { version: Version::V2, memory: directory, cpu, accounting: None });
        }
        let controller = |controller: &str| {
            v1_directory(&mount.join(controller), path_in(own, controller), &name)
        };
        if !mount.join("memory").join(v1::MEMORY_PROBE).exists() {
            return Err(io::Error::other(format!(
                "there is no memory controller below {}",
                mount.display()
            )));
        }
        Ok(Self {
            version: Version::V1,
            memory: controller("memory")?,
            cpu: controller("cpu").ok(),
            accounting: controller("cpuacct").ok(),
        })
    }

    /// How limits are held, for people.
    pub(crate) fn description(&self) -> &'static str {
        match (self.version, &self.cpu) {
            (Version::V1, Some(_)) => "cgroup v1 (memory and cpu)",
            (Version::V1, None) => "cgroup v1 (memory; no cpu controller may be written to)",
            (Version::V2, Some(_)) => "cgroup v2 (memory and cpu)",
            (Version::V2, None) => "cgroup v2 (memory; no cpu controller may be written to)",
        }
    }

    /// The group of this name, whether it is there or not.
    pub(crate) fn group(&self, name: &str) -> Group {
        let below = |directory: &PathBuf| directory.join(name);
        Group {
            version: self.version,
            memory: below(&self.memory),
            cpu: self.cpu.as_ref().map(below),
            accounting: self.accounting.as_ref().map(below),
        }
    }

    /// The names of all groups that are there.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .directories()
            .filter_map(|directory| fs::read_dir(directory).ok())
            .flat_map(Iterator::flatten)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Removes the platform's own directories, unless groups are in them. The next group makes
    /// them again.
    pub(crate) fn remove_if_empty(&self) {
        for directory in self.directories() {
            if !removed(directory) {
                tracing::debug!(directory = %directory.display(), "control groups are kept");
            }
        }
    }

    fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        [Some(&self.memory), self.cpu.as_ref(), self.accounting.as_ref()].into_iter().flatten()
    }
}

/// The control group of one start of a machine.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    version: Version,
    memory: PathBuf,
    cpu: Option<PathBuf>,
    accounting: Option<PathBuf>,
}

impl Group {
    /// The group that somebody else has made for this process, such as a container engine. None if
    /// it has none of its own.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let read = |who: &str| fs::read_to_string(format!("/proc/{who}/cgroup")).ok();
        let own = Self::named(Path::new(MOUNT), &read("self")?);
        Self::named(Path::new(MOUNT), &read(&pid.to_string())?)
            .filter(|group| own.is_none_or(|own| own.memory != group.memory))
    }

    /// The group of a process by the text of its `cgroup` file, unless that is the root.
    fn named(mount: &Path, text: &str) -> Option<Self> {
        let below = |directory: &str, controller: &str| {
            let path = path_in(text, controller);
            (!path.is_empty()).then(|| mount.join(directory).join(path))
        };
        if mount.join("cgroup.controllers").exists() {
            let directory = below("", "")?;
            let cpu = Some(directory.clone());
            return Some(Self { version: Version::V2, memory: directory, cpu, accounting: None });
        }
        Some(Self {
            version: Version::V1,
            memory: below("memory", "memory")?,
            cpu: below("cpu", "cpu"),
            accounting: below("cpuacct", "cpuacct"),
        })
    }

    pub(crate) fn exists(&self) -> bool {
        self.memory.is_dir()
    }

    /// Makes the group with its limits.
    pub(crate) fn create(&self, limits: &Limits) -> io::Result<()> {
        let mut made = self.make();
        for _ in 0..MAKE_TRIES {
            // The last group that ended may have taken the platform's directory with it.
            match &made {
                Err(error) if error.kind() == io::ErrorKind::NotFound => made = self.make(),
                Ok(()) | Err(_) => break,
            }
        }
        made?;
        self.limit(limits)
    }

    fn make(&self) -> io::Result<()> {
        for directory in self.directories() {
            if let Some(parent) = directory.parent().filter(|parent| !parent.is_dir()) {
                make(parent)?;
                if self.version == Version::V2 {
                    v2::hand_down(parent)?;
                }
            }
            make(directory)?;
        }
        Ok(())
    }

    fn limit(&self, limits: &Limits) -> io::Result<()> {
        match self.version {
            Version::V1 => v1::limit_memory(&self.memory, limits)?,
            Version::V2 => v2::limit_memory(&self.memory, limits)?,
        }
        match (self.version, &self.cpu) {
            (Version::V1, Some(cpu)) => v1::limit_cpu(cpu, limits),
            (Version::V2, Some(cpu)) => v2::limit_cpu(cpu, limits),
            (_, None) => Ok(()),
        }
    }

    /// Puts a process into the group; what it starts from then on is in it too.
    pub(crate) fn add(&self, pid: i32) -> io::Result<()> {
        for directory in self.directories() {
            write(&directory.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// Whether a single thread can be in the group.
    pub(crate) fn takes_threads(&self) -> bool {
        self.version == Version::V1
    }

    /// Puts the calling thread, and no other of this process, into the group: what it starts from
    /// then on is in it. The thread shall end soon.
    pub(crate) fn add_this_thread(&self) -> io::Result<()> {
        let own = fs::read_link("/proc/thread-self")?;
        let id = own.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        for directory in self.directories() {
            write(&directory.join("tasks"), id)?;
        }
        Ok(())
    }

    /// Removes the group, unless a process is in it.
    pub(crate) fn remove_if_empty(&self) {
        for directory in self.directories() {
            if !removed(directory) {
                tracing::debug!(directory = %directory.display(), "a control group is kept");
            }
        }
    }

    pub(crate) fn oom_kills(&self) -> u64 {
        match self.version {
            Version::V1 => v1::oom_kills(&self.memory),
            Version::V2 => v2::oom_kills(&self.memory),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        match self.version {
            Version::V1 => v1::stats(&self.memory, self.cpu.as_deref(), self.accounting.as_deref()),
            Version::V2 => v2::stats(&self.memory),
        }
    }

    /// The processes in the group. Never this one: version 1 names it while its thread that
    /// starts a program there has not ended, and whoever asks means to kill.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let own = getpid().as_raw_pid();
        let text = fs::read_to_string(self.memory.join("cgroup.procs")).unwrap_or_default();
        let listed = text.lines().filter_map(|line| line.trim().parse().ok());
        listed.filter(|pid| *pid != own).collect()
    }

    /// Kills every process in the group.
    pub(crate) fn kill(&self) {
        for pid in self.processes() {
            if let Some(pid) = Pid::from_raw(pid)
                && let Err(error) = kill_process(pid, Signal::KILL)
            {
                tracing::debug!(%error, "a process of a machine was gone already");
            }
        }
    }

    /// Ends the group: kills what is left in it and removes it.
    pub(crate) async fn end(&self) {
        for _ in 0..END_TRIES {
            self.kill();
            if self.directories().all(|directory| removed(directory)) {
                // Together with the platform's own directory, if this was the last group in it.
                self.directories().filter_map(|directory| directory.parent()).for_each(|parent| {
                    removed(parent);
                });
                return;
            }
            clock::pause(END_PAUSE).await;
        }
        tracing::warn!(
            group = %self.memory.display(),
            processes = ?self.processes(),
            "a control group cannot be removed; the next start of the platform tries again"
        );
    }

    fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        [Some(&self.memory), self.cpu.as_ref(), self.accounting.as_ref()].into_iter().flatten()
    }
}

/// The path of a process in the hierarchy of a controller, by the text of its `cgroup` file;
/// version 2 has an empty name.
fn path_in<'a>(text: &'a str, controller: &str) -> &'a str {
    let of = |line: &'a str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        controllers.split(',').any(|name| name == controller).then_some(path)
    };
    text.lines().find_map(of).unwrap_or("/").trim_start_matches('/')
}

/// At the root, where the group outlives the session that the platform was started from; else
/// below the platform's own group.
fn v1_directory(controller: &Path, own: &str, name: &str) -> io::Result<PathBuf> {
    let (at_root, below_own) = (controller.join(name), controller.join(own).join(name));
    let is_below_own = below_own.is_dir() && !at_root.is_dir();
    if !is_below_own && make(&at_root).is_ok() {
        return Ok(at_root);
    }
    make(&below_own).map(|()| below_own)
}

/// The highest directory above the platform's own group that may be written to. Not in the own
/// group: a group that has processes of its own cannot hand controllers down.
fn v2_directory(mount: &Path, own: &str, name: &str) -> io::Result<(PathBuf, bool)> {
    let mut above: Vec<PathBuf> = mount.join(own).ancestors().skip(1).map(Path::to_owned).collect();
    above.retain(|directory| directory.starts_with(mount));
    if above.is_empty() {
        above.push(mount.to_owned());
    }
    above.reverse();
    // The place of before goes first, wherever it is.
    above.sort_by_key(|directory| !directory.join(name).is_dir());
    let mut refused = io::Error::other("there is no directory that may be written to");
    for parent in above {
        let directory = parent.join(name);
        let made = v2::hand_down(&parent)
            .and_then(|_| make(&directory))
            .and_then(|()| v2::hand_down(&directory));
        match made {
            Ok(has_cpu) => return Ok((directory, has_cpu)),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn make(directory: &Path) -> io::Result<()> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io::Error::new(
            error.kind(),
            format!("cannot make {}: {error}", directory.display()),
        )),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn removed(directory: &Path) -> bool {
    match fs::remove_dir(directory) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    let written = OpenOptions::new().write(true).open(file).and_then(|mut open| {
        // One write: the kernel takes each as an order of its own.
        open.write_all(text.as_bytes())
    });
    written.map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot write `{text}` to {}: {error}", file.display()),
        )
    })
}

fn file_number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The number after this name in a file of lines `NAME NUMBER`.
fn file_value(file: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .and_then(|number| number.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        memory_bytes: 64 << 20,
        swap_bytes: 0,
        cpu_quota_us: 200_000,
        cpu_period_us: 100_000,
    };

    fn file(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn read(path: PathBuf) -> String {
        fs::read_to_string(path).expect("read")
    }

    #[test]
    fn version_2_hands_its_controllers_down_and_limits_in_one_directory() {
        let mount = tempfile::tempdir().expect("a directory");
        let root = mount.path();
        file(root.join("cgroup.controllers"), "cpu memory");
        file(root.join("cgroup.subtree_control"), "cpu memory");
        fs::create_dir_all(root.join("user.slice/session")).expect("made");
        fs::create_dir(root.join("holdpoint-p1")).expect("made");
        file(root.join("holdpoint-p1/cgroup.subtree_control"), "");
        let groups = Groups::find(root, "0::/user.slice/session\n", "p1").expect("found");
        assert_eq!(groups.description(), "cgroup v2 (memory and cpu)");
        assert_eq!(read(root.join("holdpoint-p1/cgroup.subtree_control")), "+memory +cpu");

        let group = groups.group("m1");
        let directory = root.join("holdpoint-p1/m1");
        for (name, text) in [
            ("memory.max", ""),
            ("memory.swap.max", ""),
            ("cpu.max", ""),
            ("cgroup.procs", ""),
            ("memory.current", "9000\n"),
            ("memory.stat", "anon 1\ninactive_file 1000\n"),
            ("cpu.stat", "usage_usec 5\nthrottled_usec 7\n"),
            ("memory.events", "oom 4\noom_kill 3\n"),
        ] {
            file(directory.join(name), text);
        }
        group.create(&LIMITS).expect("limited");
        group.add(4321).expect("added");
        assert_eq!(read(directory.join("memory.max")), (64 << 20).to_string());
        assert_eq!(read(directory.join("memory.swap.max")), "0");
        assert_eq!(read(directory.join("cpu.max")), "200000 100000");
        assert_eq!(group.processes(), [4321]);
        let stats = group.stats();
        assert_eq!(stats.memory_bytes, Some(8000));
        assert_eq!((stats.cpu_used_us, stats.cpu_throttled_us), (Some(5), Some(7)));
        assert_eq!(stats.oom_kills, 3);
        assert_eq!(groups.names(), ["m1"]);
    }

    #[test]
    fn version_2_takes_a_directory_above_its_own_when_the_root_may_not_be_written_to() {
        let mount = tempfile::tempdir().expect("a directory");
        let root = mount.path();
        // No control file at the root: like one that another user owns, it hands nothing down.
        file(root.join("cgroup.controllers"), "cpu memory");
        file(root.join("user/cgroup.subtree_control"), "memory");
        fs::create_dir_all(root.join("user/app")).expect("made");
        file(root.join("user/holdpoint-p1/cgroup.subtree_control"), "memory");
        let groups = Groups::find(root, "0::/user/app\n", "p1").expect("found");
        assert!(groups.group("m1").memory.starts_with(root.join("user/holdpoint-p1")));
    }

    #[test]
    fn version_1_limits_in_a_directory_of_each_controller() {
        let mount = tempfile::tempdir().expect("a directory");
        let root = mount.path();
        file(root.join("memory/memory.limit_in_bytes"), "");
        fs::create_dir(root.join("cpu")).expect("made");
        let groups = Groups::find(root, "4:memory:/\n1:cpu:/\n", "p1").expect("found");
        assert_eq!(groups.description(), "cgroup v1 (memory and cpu)");
        let group = groups.group("m1");
        let (memory, cpu) = (root.join("memory/holdpoint-p1/m1"), root.join("cpu/holdpoint-p1/m1"));
        for path in [
            memory.join("memory.limit_in_bytes"),
            memory.join("memory.memsw.limit_in_bytes"),
            memory.join("cgroup.procs"),
            cpu.join("cgroup.procs"),
            cpu.join("cpu.cfs_period_us"),
            cpu.join("cpu.cfs_quota_us"),
        ] {
            file(path, "");
        }
        file(memory.join("memory.oom_control"), "under_oom 0\noom_kill 2\n");
        group.create(&LIMITS).expect("limited");
        group.add(77).expect("added");
        assert_eq!(read(memory.join("memory.memsw.limit_in_bytes")), (64 << 20).to_string());
        assert_eq!(read(cpu.join("cpu.cfs_quota_us")), "200000");
        assert_eq!(read(cpu.join("cgroup.procs")), "77");
        assert_eq!(group.oom_kills(), 2);
    }

    #[tokio::test]
    async fn a_group_that_ends_while_a_thread_of_the_platform_is_in_it_leaves_the_platform() {
        let own = fs::read_to_string("/proc/self/cgroup").expect("read");
        let Ok(groups) = Groups::find(Path::new(MOUNT), &own, "own-thread") else {
            // Without control groups of the kernel no thread can be in one.
            return;
        };
        let group = groups.group("m1");
        group.create(&LIMITS).expect("made");
        if group.takes_threads() {
            let (entered, has_entered) = std::sync::mpsc::channel();
            let (leave, may_leave) = std::sync::mpsc::channel::<()>();
            let inside = group.clone();
            let thread = std::thread::spawn(move || {
                entered.send(inside.add_this_thread()).expect("told");
                may_leave.recv()
            });
            has_entered.recv().expect("told").expect("in the group");
            assert!(group.processes().is_empty());
            group.kill();
            leave.send(()).expect("told");
            thread.join().expect("no panic").expect("told");
        }
        group.end().await;
        assert!(!group.exists());
    }

    #[test]
    fn where_no_group_can_be_made_the_reason_is_told() {
        let mount = tempfile::tempdir().expect("a directory");
        let error = Groups::find(mount.path(), "", "p1").expect_err("nothing is there");
        assert!(error.to_string().contains("no memory controller"), "{error}");
        file(mount.path().join("cgroup.controllers"), "cpu memory");
        let error = Groups::find(mount.path(), "0::/\n", "p1").expect_err("nothing is there");
        assert!(error.to_string().contains("cgroup.subtree_control"), "{error}");
    }

    #[test]
    fn the_group_that_an_engine_made_is_found_in_both_versions_and_never_the_root() {
        let mount = tempfile::tempdir().expect("a directory");
        let root = mount.path();
        let text = "9:name=systemd:/x\n4:memory:/pod/c1\n2:cpuacct:/pod/c2\n0::/pod/c3\n";
        let old = Group::named(root, text).expect("a group");
        assert_eq!(old.memory, root.join("memory/pod/c1"));
        assert_eq!(old.accounting, Some(root.join("cpuacct/pod/c2")));
        assert!(Group::named(root, "4:memory:/\n").is_none());
        file(root.join("cgroup.controllers"), "cpu memory");
        let new = Group::named(root, text).expect("a group");
        assert_eq!(new.memory, root.join("pod/c3"));
        file(new.memory.join("memory.events"), "oom 3\noom_kill 2\n");
        assert_eq!(new.oom_kills(), 2);
    }

    #[test]
    fn the_path_is_that_of_the_controller() {
        let text = "4:memory:/jobs/7\n2:cpu,cpuacct:/jobs/8\n0::/user/app\n";
        assert_eq!(path_in(text, "memory"), "jobs/7");
        assert_eq!(path_in(text, "cpuacct"), "jobs/8");
        assert_eq!(path_in(text, ""), "user/app");
        assert_eq!(path_in("", "memory"), "");
    }
}
