//! The few programs of the system that faults are made with: mounts, and a program that takes
//! memory until there is none left.

use std::{
    ffi::OsStr,
    io,
    path::Path,
    process::{Command, Output, Stdio},
};

use tokio::process::Child;

/// Mounts a file system.
pub(crate) fn mount(kind: &str, source: &str, options: &str, place: &Path) -> io::Result<()> {
    let arguments = ["-t", kind, "-o", options, source].map(OsStr::new);
    run("mount", arguments.into_iter().chain([place.as_os_str()]))
}

/// Takes a file system away, at the latest when nobody uses it any more.
pub(crate) fn unmount(place: &Path) -> io::Result<()> {
    run("umount", [OsStr::new("--lazy"), place.as_os_str()])
}

/// A program that takes memory until there is none left. It ends when this is dropped, and when
/// the platform ends, however that comes about.
#[derive(Debug)]
pub(crate) struct MemoryTaker {
    /// Its end closes the pipe that the program's keeper waits at.
    _keeper: Child,
}

impl MemoryTaker {
    /// Starts it in a control group.
    pub(crate) fn start(group: &Path) -> io::Result<Self> {
        // A line without an end: `tail` must keep all of it.
        Ok(Self { _keeper: in_group(group, "tail /dev/zero")? })
    }
}

/// Runs a command in a control group for as long as the child's standard input is open.
fn in_group(group: &Path, command: &str) -> io::Result<Child> {
    let script =
        format!(r#"echo $$ > "$1/cgroup.procs" && {{ {command} & read -r _; kill -KILL $!; }}"#);
    tokio::process::Command::new("sh")
        .args(["-c", &script, "sh"])
        .arg(group)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(false)
        .spawn()
}

#[expect(clippy::disallowed_methods, reason = "the supervisor starts processes")]
fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> io::Result<()> {
    let Output { status, stderr, .. } =
        Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&stderr).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock,
        supervisor::process_files::{children, start_ticks},
    };

    #[tokio::test]
    async fn what_takes_memory_is_gone_when_its_platform_is() {
        let group = tempfile::tempdir().expect("a directory");
        let mut keeper = in_group(group.path(), "sleep 1000").expect("started");
        let own = i32::try_from(keeper.id().expect("it runs")).expect("an id");
        let started = async {
            loop {
                if let Some(child) = children(own).first() {
                    break *child;
                }
                clock::pause(std::time::Duration::from_millis(5)).await;
            }
        };
        let patience = std::time::Duration::from_secs(30);
        let taker = tokio::time::timeout(patience, started).await.expect("it takes");
        // The kernel does the same when the platform is killed.
        drop(keeper.stdin.take());
        let ended = tokio::time::timeout(patience, keeper.wait()).await;
        assert!(ended.is_ok(), "it does not end with its pipe");
        let gone = async {
            while start_ticks(taker).is_some() {
                clock::pause(std::time::Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(patience, gone).await.is_ok(), "what it started is left");
    }
}
