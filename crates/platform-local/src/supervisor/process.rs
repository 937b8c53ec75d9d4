//! One program while it runs, whether it was started now or by an earlier platform.
//!
//! The program leads a process group of its own: an interrupt at the terminal does not reach it.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    Exit, Hold, Limits, Stats, process_files, resident,
    spawn::{Spawned, spawn_in},
};
use crate::clock;

/// Where a program is looked for that is named without a directory.
const PATH_INSIDE: [&str; 5] = ["usr/local/bin", "usr/bin", "bin", "usr/sbin", "sbin"];

/// How often a start is tried again while the binary still counts as being written: a file that
/// was open for writing while any other thread started a program cannot be run for a moment.
const BUSY_TRIES: u32 = 100;

/// What to start.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) root: PathBuf,
    /// The directory to run in, as the image names it.
    pub(crate) working_directory: String,
    pub(crate) command: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    /// Where standard output and standard error go.
    pub(crate) output: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) hold: Hold,
}

/// Why a program did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnError {
    #[error("the image names no program to run\nhint: give it an entrypoint")]
    NoCommand,
    #[error("the image holds no program `{program}`\nhint: check its entrypoint")]
    NoProgram { program: String },
    #[error(
        "cannot start `{program}`: {source}\nhint: it must be a static Linux binary for this computer"
    )]
    Start { program: String, source: io::Error },
    #[error("cannot write the output of the program to `{path}`: {source}")]
    Output { path: PathBuf, source: io::Error },
    #[error("cannot hold the program to its limits: {source}")]
    Limits { source: io::Error },
}

/// A process for ever, although ids are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    pub(crate) start_ticks: u64,
}

/// A running program. Dropping it leaves the program running.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) identity: Identity,
    handle: Arc<OwnedFd>,
    pub(super) hold: Hold,
}

impl Process {
    /// Starts the program; the future ends when the program does.
    pub(crate) async fn start(
        launch: &Launch,
    ) -> Result<(Self, impl Future<Output = Exit> + Send + 'static), SpawnError> {
        let program = find_program(launch)?;
        let started = Self::start_held(&program, launch).await;
        if started.is_err()
            && let Hold::Group(group) = &launch.hold
        {
            // It was made before anything else could fail.
            group.end().await;
        }
        started
    }

    async fn start_held(
        program: &Path,
        launch: &Launch,
    ) -> Result<(Self, impl Future<Output = Exit> + Send + 'static + use<>), SpawnError> {
        launch.hold.create(&launch.limits).map_err(|source| SpawnError::Limits { source })?;
        let failed = |source| SpawnError::Start { program: program.display().to_string(), source };
        let mut tries = 0;
        let (mut child, hold) = loop {
            match spawn(command(program, launch)?, &launch.hold).await {
                Ok(started) => break started,
                Err(error)
                    if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES =>
                {
                    tries += 1;
                    clock::pause(Duration::from_millis(20)).await;
                }
                Err(error) => return Err(failed(error)),
            }
        };
        // Not waited for yet, the child keeps its id even if it has ended already.
        let gone = || io::Error::other("it ended before it could be watched");
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).ok_or_else(gone);
        let (pid, handle) = match pid.and_then(|pid| Ok((pid, open(pid)?))) {
            Ok(watched) => watched,
            Err(error) => {
                end_unwatched(child).await;
                return Err(failed(error));
            }
        };
        let start_ticks = process_files::start_ticks(pid).unwrap_or_default();
        let waited = async move {
            match child.wait().await {
                Ok(status) => {
                    Exit { code: status.code(), signal: status.signal(), oom_killed: false }
                }
                Err(error) => {
                    tracing::error!(%error, pid, "cannot learn how a program ended");
                    Exit::UNKNOWN
                }
            }
        };
        let identity = Identity { pid, start_ticks };
        let process = Self { identity, handle: Arc::new(handle), hold };
        let ended = process.clone().held(launch.limits.memory_bytes, waited);
        Ok((process, ended))
    }

    /// Takes over a program that an earlier platform started, if it still runs.
    pub(super) fn adopt(
        identity: Identity,
        hold: Hold,
        limits: &Limits,
    ) -> Option<(Self, impl Future<Output = Exit> + Send + 'static)> {
        let process = Self::of(identity, hold)?;
        let watched = Arc::clone(&process.handle);
        let waited = async move {
            if let Err(error) = wait_for_end(watched).await {
                tracing::error!(%error, "cannot watch an adopted program");
            }
            Exit::UNKNOWN
        };
        let ended = process.clone().held(limits.memory_bytes, waited);
        Some((process, ended))
    }

    /// The process of this identity, if it still runs.
    pub(super) fn of(identity: Identity, hold: Hold) -> Option<Self> {
        // The handle first: when the start time still fits after that, the handle is the right one.
        let handle = Arc::new(open(identity.pid).ok()?);
        let same = process_files::start_ticks(identity.pid) == Some(identity.start_ticks);
        same.then_some(Self { identity, handle, hold })
    }

    /// Waits for the end under the program's limits; nothing of the machine is left then.
    async fn held(self, memory_bytes: u64, waited: impl Future<Output = Exit>) -> Exit {
        match &self.hold {
            Hold::Group(group) => {
                let exit = waited.await.with_oom_kills(group.oom_kills());
                group.end().await;
                exit
            }
            Hold::Watching => {
                let group = self.identity.pid;
                let exceeded = resident::exceeds(group, memory_bytes);
                tokio::pin!(waited);
                let exit = tokio::select! {
                    exit = &mut waited => exit,
                    () = exceeded => {
                        tracing::warn!(pid = group, "a program exceeds its memory and is killed");
                        self.kill();
                        waited.await.with_oom_kills(1)
                    }
                };
                resident::kill(group);
                exit
            }
        }
    }

    /// What the program uses.
    pub(crate) fn stats(&self) -> Stats {
        match &self.hold {
            Hold::Group(group) => group.stats(),
            Hold::Watching => resident::stats(self.identity.pid),
        }
    }

    /// Sends a signal; a program that has ended meanwhile is no error.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(&self.handle, signal) {
            tracing::debug!(%error, pid = self.identity.pid, "a signal found no program");
        }
    }

    /// Kills the program and all that it started.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
        if let Some(group) = Pid::from_raw(self.identity.pid).filter(|_| self.is_alive())
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            tracing::debug!(%error, pid = self.identity.pid, "no process group to kill");
        }
        if let Hold::Group(group) = &self.hold {
            group.kill();
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        process_files::start_ticks(self.identity.pid) == Some(self.identity.start_ticks)
    }
}

/// Starts a program under its limits. Gives how it is held: one that cannot be put into its group
/// is watched, so that its memory has a limit at least.
async fn spawn(
    mut command: tokio::process::Command,
    hold: &Hold,
) -> io::Result<(tokio::process::Child, Hold)> {
    let Hold::Group(group) = hold else {
        return Ok((command.spawn()?, Hold::Watching));
    };
    let Spawned { child, joined } = spawn_in(group, command).await?;
    let Err(error) = joined else {
        return Ok((child, hold.clone()));
    };
    tracing::warn!(
        %error, pid = child.id(),
        "a program cannot be put into its control group: its memory is watched, and its processor \
         time has no limit"
    );
    // Whatever of it is in the group stays there and is not counted; an empty one goes.
    group.remove_if_empty();
    Ok((child, Hold::Watching))
}

/// Ends a program that cannot be watched, with its process group: nobody would find it again.
async fn end_unwatched(mut child: tokio::process::Child) {
    if let Some(group) = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
        && let Err(error) = kill_process_group(group, Signal::KILL)
    {
        tracing::debug!(%error, "no process group to kill");
    }
    if let Err(error) = child.wait().await {
        tracing::warn!(%error, "a program that was not watched may be left");
    }
}

/// A process handle becomes readable when the process ends.
#[expect(deprecated, reason = "its successor is unsafe; an owned handle is sound in either")]
pub(super) async fn wait_for_end(handle: Arc<OwnedFd>) -> io::Result<()> {
    let watched = AsyncFd::with_interest(handle, Interest::READABLE)?;
    watched.readable().await?.retain_ready();
    Ok(())
}

pub(super) fn open(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::other("no process has this id"))?;
    Ok(pidfd_open(pid, PidfdFlags::NONBLOCK)?)
}

fn command(program: &Path, launch: &Launch) -> Result<tokio::process::Command, SpawnError> {
    let failed = |source| SpawnError::Output { path: launch.output.clone(), source };
    // A file and no pipe: the program goes on writing when this platform has ended.
    let output = OpenOptions::new().create(true).append(true).open(&launch.output);
    let output = output.map_err(failed)?;
    let errors = output.try_clone().map_err(failed)?;
    let directory = launch.root.join(launch.working_directory.trim_start_matches('/'));
    let mut command = tokio::process::Command::new(program);
    command
        .args(launch.command.iter().skip(1))
        .current_dir(directory)
        .env_clear()
        .envs(&launch.environment)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .process_group(0)
        .kill_on_drop(false);
    Ok(command)
}

/// The program's file below the root, resolved as the image means it.
fn find_program(launch: &Launch) -> Result<PathBuf, SpawnError> {
    let name = launch.command.first().ok_or(SpawnError::NoCommand)?;
    find_below(&launch.root, &launch.working_directory, name)
        .ok_or_else(|| SpawnError::NoProgram { program: name.clone() })
}

/// The file of the program with this name below a root.
pub(super) fn find_below(root: &Path, working_directory: &str, name: &str) -> Option<PathBuf> {
    let candidates: Vec<PathBuf> = if let Some(inside) = name.strip_prefix('/') {
        vec![root.join(inside)]
    } else if name.contains('/') {
        vec![root.join(working_directory.trim_start_matches('/')).join(name)]
    } else {
        PATH_INSIDE.iter().map(|directory| root.join(directory).join(name)).collect()
    };
    candidates.into_iter().find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::{super::cgroup::Groups, *};

    #[tokio::test]
    async fn a_start_that_fails_leaves_no_control_group() {
        let directory = tempfile::tempdir().expect("a directory");
        let (root, memory) = (directory.path().join("root"), directory.path().join("memory"));
        std::fs::create_dir(&root).expect("made");
        std::fs::create_dir(&memory).expect("made");
        std::fs::write(root.join("app"), "").expect("written");
        std::fs::write(memory.join("memory.limit_in_bytes"), "").expect("written");
        let groups = Groups::find(directory.path(), "", "p1").expect("found");
        let launch = Launch {
            output: root.join("log"),
            root,
            working_directory: String::new(),
            command: vec!["/app".to_owned()],
            environment: BTreeMap::new(),
            limits: Limits::of(None, None, false),
            hold: Hold::Group(groups.group("m1")),
        };
        let failed = Process::start(&launch).await.map(|_| ()).expect_err("no kernel makes files");
        assert!(matches!(failed, SpawnError::Limits { .. }), "{failed}");
        assert!(!memory.join("holdpoint-p1").exists());
    }
}
