//! A state directory for one test. When the test ends, well or badly, no program that was started
//! from it is left.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use tempfile::TempDir;

pub struct StateDirectory(TempDir);

/// A place where something was mounted, which goes with this.
pub struct Mounted(PathBuf);

impl StateDirectory {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes what is mounted over volumes seen in containers too, as it is on most computers.
    pub fn share_volumes(&self) -> Mounted {
        let volumes = self.canonical().join("volumes");
        std::fs::create_dir_all(&volumes).expect("made");
        mount(&["--bind", &volumes.to_string_lossy(), &volumes.to_string_lossy()]);
        mount(&["--make-shared", &volumes.to_string_lossy()]);
        Mounted(volumes)
    }

    /// The programs of this platform's machines that run now, by machine, as the kernel tells.
    pub fn programs(&self) -> BTreeMap<String, i32> {
        self.every_program().into_iter().collect()
    }

    /// All programs that run in a machine.
    pub fn programs_of(&self, machine: &str) -> Vec<i32> {
        let every = self.every_program().into_iter();
        every.filter(|(of, _)| of == machine).map(|(_, pid)| pid).collect()
    }

    /// The machine of each program that runs, sorted.
    pub fn machines_of_programs(&self) -> Vec<String> {
        let mut machines: Vec<_> = self.every_program().into_iter().map(|(of, _)| of).collect();
        machines.sort();
        machines
    }

    fn every_program(&self) -> Vec<(String, i32)> {
        let machines = self.canonical().join("machines");
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").expect("proc").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let program = std::fs::read_link(entry.path().join("exe")).unwrap_or_default();
            if let Ok(inside) = program.strip_prefix(&machines)
                && let Some(machine) = inside.components().next()
            {
                found.push((machine.as_os_str().to_string_lossy().into_owned(), pid));
            }
        }
        found
    }

    fn canonical(&self) -> PathBuf {
        self.path().canonicalize().expect("a directory")
    }
}

impl Drop for Mounted {
    #[expect(clippy::disallowed_methods, reason = "a mount is undone by the system's own program")]
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

#[expect(clippy::disallowed_methods, reason = "mounts are made by the system's own program")]
fn mount(arguments: &[&str]) {
    let status = Command::new("mount").args(arguments).status().expect("started");
    assert!(status.success(), "this test must run as root");
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        for (_, pid) in self.every_program() {
            let groups = control_groups(pid);
            kill(pid);
            for group in groups {
                remove_group(&group);
            }
        }
    }
}

/// The control groups of a process that were made for it as a machine.
pub fn control_groups(pid: i32) -> Vec<PathBuf> {
    machine_groups(&std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default())
}

/// The same of the kernel's own list of a process's groups.
pub fn machine_groups(text: &str) -> Vec<PathBuf> {
    let of_line = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let path = path.contains("/holdpoint-").then(|| path.trim_start_matches('/'))?;
        Some(Path::new("/sys/fs/cgroup").join(controllers).join(path))
    };
    text.lines().filter_map(of_line).collect()
}

/// Removes what a test that failed leaves; the killed process is in it for another moment.
fn remove_group(group: &Path) {
    for _ in 0..1000 {
        if std::fs::remove_dir(group).is_ok() || !group.exists() {
            break;
        }
        std::thread::yield_now();
    }
    if let Some(parent) = group.parent() {
        drop(std::fs::remove_dir(parent));
    }
}

/// A variable of the environment that a program was started with.
pub fn variable(pid: i32, name: &str) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let prefix = format!("{name}=");
    text.split('\0').find_map(|entry| entry.strip_prefix(&prefix).map(str::to_owned))
}

/// Whether the kernel says that a program was told to stop.
pub fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, after)| after.trim_start().chars().next());
    state == Some('T')
}

/// Kills a program, if it is still there.
pub fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid)
        && let Err(error) = kill_process(pid, Signal::KILL)
    {
        assert_eq!(error, Errno::SRCH, "it could not be killed");
    }
}
