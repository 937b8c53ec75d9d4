//! Runs a program that the project's file names, in a group of its own: at its time limit, and when
//! it ends or is let go, nothing that it started is left. What its end means is for others to say.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// How much of the end of its output is kept.
const OUTPUT_KEPT_BYTES: usize = 4096;

/// For how long output is still read after the end, when all that could write is gone.
const REST_OF_OUTPUT: Duration = Duration::from_secs(2);

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ran {
    /// `None` when it was killed at its time limit.
    pub(super) status: Option<io::Result<ExitStatus>>,
    /// The last of what it wrote that is not empty, without control characters.
    pub(super) last_lines: Vec<String>,
}

/// Kills a program with all that it started, when it is dropped at the latest.
#[derive(Debug)]
pub(super) struct Group(Option<Pid>);

/// The end of what a program wrote.
#[derive(Clone, Debug, Default)]
struct Tail(Arc<Mutex<VecDeque<u8>>>);

/// The command of these words, to be run in `directory`. A path is meant from there, whatever the
/// conductor's own directory is.
pub(super) fn command(directory: &Path, words: &[String]) -> Command {
    let (program, arguments) =
        words.split_first().map_or(("", [].as_slice()), |(first, rest)| (first.as_str(), rest));
    let mut command = if program.contains('/') {
        Command::new(directory.join(program))
    } else {
        Command::new(program)
    };
    command
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Starts it. Its output goes where the command says.
pub(super) fn start(mut command: Command) -> io::Result<(Child, Group)> {
    let child = command.spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    Ok((child, Group(group)))
}

/// Runs it to its end, or to its limit.
///
/// # Errors
/// When it can't be started.
pub(super) async fn run(mut command: Command, limit: Duration) -> io::Result<Ran> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (mut child, mut group) = start(command)?;
    let tail = Tail::default();
    let readers = [
        child.stdout.take().map(|output| tail.read(output)),
        child.stderr.take().map(|output| tail.read(output)),
    ];
    let waited = tokio::time::timeout(limit, child.wait()).await;
    group.kill();
    for reader in readers.into_iter().flatten() {
        drop(tokio::time::timeout(REST_OF_OUTPUT, reader).await);
    }
    Ok(Ran { status: waited.ok(), last_lines: tail.lines() })
}

impl Group {
    fn kill(&mut self) {
        if let Some(group) = self.0.take()
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            // it is gone, which is what was wanted
            tracing::debug!(%error, "a command's group was not there any more");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Tail {
    fn read(&self, mut output: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<()> {
        let tail = self.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; OUTPUT_KEPT_BYTES];
            while let Ok(count) = output.read(&mut buffer).await {
                let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { break };
                let mut kept = tail.0.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(read);
                let surplus = kept.len().saturating_sub(OUTPUT_KEPT_BYTES);
                kept.drain(..surplus);
            }
        })
    }

    fn lines(&self) -> Vec<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        text.lines()
            .map(|line| line.chars().filter(|one| !one.is_control()).collect::<String>())
            .filter(|line| !line.trim().is_empty())
            .collect()
    }
}
