//! Runs one more program inside a machine, beside the machine's own: with its root, its working
//! directory and its environment. It ends with its caller, at its time limit, and, if the platform
//! is killed meanwhile, when the next one finds it.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::{ffi::OsStringExt as _, process::ExitStatusExt as _},
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::task::AbortOnDropHandle;

use crate::identity;

use super::{
    EngineError, Exit, Hold,
    adopt::START_VARIABLE,
    process::{Identity, Process, find_below},
    process_files,
    spawn::{Spawned, spawn_in},
};

/// Bytes of each output that are kept; the rest is read and forgotten.
pub(super) const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// How long a program's own children may still write when it has ended.
pub(super) const AFTER_THE_END: Duration = Duration::from_millis(300);

/// What to run.
#[derive(Debug)]
pub(crate) struct Exec {
    /// The start of the machine that it belongs to.
    pub(crate) start: String,
    /// Where the root of a process is; a container has its own.
    pub(crate) root: PathBuf,
    /// The directory that a process runs in, as its image names it.
    pub(crate) working_directory: String,
    pub(crate) command: Vec<String>,
    pub(crate) stdin: Vec<u8>,
    pub(crate) time_max: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct ExecDone {
    pub(crate) exit: Exit,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Why it did not run to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    #[error("the machine has no program `{program}`\nhint: name one of its image, by its path")]
    NoProgram { program: String },
    #[error("failed_precondition: the machine's program has ended")]
    Gone,
    #[error("cannot start `{program}`: {source}")]
    Start { program: String, source: io::Error },
    #[error("cannot hold the program to the limits of its machine: {source}")]
    Limits { source: io::Error },
    #[error("deadline_exceeded: the program ran for more than {} s and was killed", time_max.as_secs())]
    TooLong { time_max: Duration },
    #[error("cannot learn how the program ended: {0}")]
    Wait(io::Error),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Exec {
    /// Runs it to its end, beside this process and held to the same limits. Dropped before that, it
    /// is killed.
    pub(super) async fn run(mut self, beside: &Process) -> Result<ExecDone, ExecError> {
        let mut child = self.spawn(beside).await?;
        let group = Group(child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)));
        if let Some(mut input) = child.stdin.take() {
            let bytes = std::mem::take(&mut self.stdin);
            // A program that reads no input closes it, which is no error.
            tokio::spawn(async move { input.write_all(&bytes).await });
        }
        let stdout = Output::collect(child.stdout.take());
        let stderr = Output::collect(child.stderr.take());
        let ended = tokio::time::timeout(self.time_max, child.wait()).await;
        let Ok(ended) = ended else {
            drop(group);
            // Whoever is told that it was killed finds nothing of it.
            child.kill().await.map_err(ExecError::Wait)?;
            return Err(ExecError::TooLong { time_max: self.time_max });
        };
        let status = ended.map_err(ExecError::Wait)?;
        let rest = async { tokio::join!(stdout.end(), stderr.end()) };
        if tokio::time::timeout(AFTER_THE_END, rest).await.is_err() {
            tracing::debug!("a program's children held its output open and are ended");
        }
        drop(group);
        Ok(ExecDone {
            exit: Exit { code: status.code(), signal: status.signal(), ..Exit::UNKNOWN },
            stdout: stdout.text(),
            stderr: stderr.text(),
        })
    }

    async fn spawn(&self, beside: &Process) -> Result<tokio::process::Child, ExecError> {
        let name = self.command.first().cloned().unwrap_or_default();
        let program = find_below(&self.root, &self.working_directory, &name)
            .ok_or_else(|| ExecError::NoProgram { program: name.clone() })?;
        // The mark of a start that no machine has: should the platform be killed, the next one
        // ends the program.
        let mark = format!("exec-{}-{}", self.start, identity::version());
        let mut command = tokio::process::Command::new(program);
        command
            .args(self.command.iter().skip(1))
            .current_dir(self.root.join(self.working_directory.trim_start_matches('/')))
            .env_clear()
            .envs(environment(beside.identity)?)
            .env(START_VARIABLE, mark)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let failed = |source| ExecError::Start { program: name, source };
        let Hold::Group(group) = &beside.hold else {
            return command.spawn().map_err(failed);
        };
        let Spawned { child, joined } = spawn_in(group, command).await.map_err(failed)?;
        if let Err(source) = joined {
            // Dropped, it is killed: it would run without the machine's limits.
            return Err(ExecError::Limits { source });
        }
        Ok(child)
    }
}

/// The environment that a process was started with.
fn environment(of: Identity) -> Result<Vec<(OsString, OsString)>, ExecError> {
    let bytes = fs::read(format!("/proc/{}/environ", of.pid));
    let is_it = process_files::start_ticks(of.pid) == Some(of.start_ticks);
    let bytes = bytes.ok().filter(|_| is_it).ok_or(ExecError::Gone)?;
    let pairs = bytes.split(|byte| *byte == 0).filter_map(|entry| {
        let middle = entry.iter().position(|byte| *byte == b'=')?;
        let (name, value) = entry.split_at(middle);
        let value = value.get(1..)?;
        Some((OsString::from_vec(name.to_vec()), OsString::from_vec(value.to_vec())))
    });
    Ok(pairs.collect())
}

/// The program with all that it started; dropped, they are killed.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            tracing::trace!(%error, "nothing of a program was left");
        }
    }
}

/// An output while it is written.
#[derive(Debug)]
struct Output {
    kept: Arc<Mutex<Vec<u8>>>,
    reader: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Output {
    fn collect(pipe: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&kept);
        let reader = tokio::spawn(async move {
            let Some(mut pipe) = pipe else { return };
            let mut piece = vec![0; 16 * 1024];
            while let Ok(read @ 1..) = pipe.read(&mut piece).await {
                let mut kept = sink.lock().unwrap_or_else(PoisonError::into_inner);
                let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len());
                kept.extend(piece.iter().take(read.min(room)));
            }
        });
        Self { kept, reader: Mutex::new(Some(AbortOnDropHandle::new(reader))) }
    }

    async fn end(&self) {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reader) = reader
            && let Err(error) = reader.await
        {
            tracing::warn!(%error, "an output was not read to its end");
        }
    }

    fn text(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}
