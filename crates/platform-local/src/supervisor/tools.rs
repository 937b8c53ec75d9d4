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

/// Starts a program in a control group that takes memory until there is none left, or until it is
/// dropped.
pub(crate) fn take_memory(group: &Path) -> io::Result<Child> {
    // A line without an end: `tail` must keep all of it.
    let script = r#"echo $$ > "$1/cgroup.procs" && exec tail /dev/zero"#;
    tokio::process::Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(group)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
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
