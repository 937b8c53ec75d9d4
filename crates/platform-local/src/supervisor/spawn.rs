//! Starts a program inside the control group of its machine.
//!
//! With version 1 a program is in the group before its first instruction: a thread of its own
//! joins the group, starts the program, which inherits the group, and ends. Version 2 moves whole
//! processes only: there the program joins in the moment after its start. What it took before that
//! is counted elsewhere; nothing better is possible without unsafe code.

use std::io;

use rustix::io::Errno;
use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::oneshot,
};

use super::{Group, process_files};

/// A program that was started, and whether it is in its group.
#[derive(Debug)]
pub(super) struct Spawned {
    pub(super) child: Child,
    pub(super) joined: io::Result<()>,
}

/// Starts a program in a group; a failure is that of the start.
pub(super) async fn spawn_in(group: &Group, mut command: Command) -> io::Result<Spawned> {
    if !group.takes_threads() {
        let child = command.spawn()?;
        let joined = child.id().map_or(Ok(()), |pid| join_after(group, pid));
        return Ok(Spawned { child, joined });
    }
    let (told, started) = oneshot::channel();
    let (inside, runtime) = (group.clone(), Handle::current());
    let spawn = move || {
        // For a child to be waited for, the runtime must know of it.
        let _runtime = runtime.enter();
        let joined = inside.add_this_thread();
        let spawned = command.spawn().map(|child| Spawned { child, joined });
        // Whoever asked may be gone; the program is found by its mark then.
        drop(told.send(spawned));
    };
    std::thread::Builder::new().name("program start".to_owned()).spawn(spawn)?;
    started.await.map_err(|_ended| io::Error::other("the thread that starts it has ended"))?
}

/// Puts a program that was just started into its group, and with it what it may have started in
/// the moment before.
fn join_after(group: &Group, pid: u32) -> io::Result<()> {
    let mut joining: Vec<i32> = pid.try_into().into_iter().collect();
    while let Some(pid) = joining.pop() {
        match group.add(pid) {
            Ok(()) => joining.extend(process_files::children(pid)),
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {
                tracing::debug!(pid, "a process ended before it was in its control group");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::cgroup::Groups, *};

    #[tokio::test]
    async fn a_program_whose_group_cannot_be_joined_is_started_and_that_is_told() {
        let mount = tempfile::tempdir().expect("a directory");
        let memory = mount.path().join("memory");
        std::fs::create_dir(&memory).expect("made");
        std::fs::write(memory.join("memory.limit_in_bytes"), "").expect("written");
        let groups = Groups::find(mount.path(), "", "p1").expect("found");
        let started = spawn_in(&groups.group("m1"), Command::new("true")).await;
        let Spawned { mut child, joined } = started.expect("started");
        assert!(joined.is_err(), "there is no such group");
        assert!(child.wait().await.expect("ended").success());
    }
}
