//! Runs a program of the project as a check, in a group of its own: at its time limit, and when it
//! ends, nothing that it started is left. What it wrote last is what is told of it.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdpoint_core::project::smoke::CommandCheck;
use holdpoint_core::project::smoke::template::{self, RUN};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::{Context, Ended, StepReport, Trouble};
use crate::adapter::clock::Stopwatch;

/// How much of the end of its output is kept.
const OUTPUT_KEPT_BYTES: usize = 4096;

/// How many of its last lines are told.
const TOLD_LINES: usize = 10;

/// For how long output is still read after the end, when all that could write is gone.
const REST_OF_OUTPUT: Duration = Duration::from_secs(2);

/// The end of what a program wrote.
#[derive(Clone, Debug, Default)]
struct Tail(Arc<Mutex<VecDeque<u8>>>);

/// Kills a program with all that it started, when it is dropped at the latest.
struct Group(Option<Pid>);

pub(super) async fn run(context: &Context<'_>, check: &CommandCheck) -> StepReport {
    let watch = Stopwatch::start();
    let words: Result<Vec<String>, String> = check
        .command
        .iter()
        .map(|word| template::fill(word, &context.variables, template::as_it_is))
        .collect();
    let (asked, ended) = match words {
        Err(name) => (
            check.command.join(" "),
            Err(Trouble::new(format!("`{{{name}}}` has no value"), "correct `command`")),
        ),
        Ok(words) => {
            let ended = run_words(context, check, &words).await;
            (format!("`{}`", words.join(" ")), ended)
        }
    };
    StepReport::new("runs to its end", asked, ended, watch)
}

async fn run_words(context: &Context<'_>, check: &CommandCheck, words: &[String]) -> Ended {
    let directory = context.smoker.project_root.join(&check.directory);
    let (program, arguments) =
        words.split_first().map_or(("", [].as_slice()), |(first, rest)| (first.as_str(), rest));
    // a path is meant from where the command runs, whatever the conductor's own directory is
    let program = if program.contains('/') { directory.join(program) } else { program.into() };
    let target = context.target;
    let spawned = Command::new(&program)
        .args(arguments)
        .current_dir(&directory)
        .env("HOLDPOINT_ENVIRONMENT", target.environment.to_string())
        .env("HOLDPOINT_SERVICE", &target.service)
        .env("HOLDPOINT_APP", target.app.as_str())
        .env("HOLDPOINT_URL", context.smoker.prober.url(&target.app))
        .env("HOLDPOINT_RUN", context.variables.get(RUN).map_or("", String::as_str))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned.map_err(|error| {
        Trouble::new(
            format!("could not be run in `{}`: {error}", directory.display()),
            "check `command` and `directory` of the check, and that the program may be executed",
        )
    })?;
    let mut group = Group::of(&child);
    let tail = Tail::default();
    let readers = [
        child.stdout.take().map(|output| tail.read(output)),
        child.stderr.take().map(|output| tail.read(output)),
    ];
    let limit = Duration::from_millis(check.within_ms);
    let waited = tokio::time::timeout(limit, child.wait()).await;
    group.kill();
    for reader in readers.into_iter().flatten() {
        drop(tokio::time::timeout(REST_OF_OUTPUT, reader).await);
    }
    let told = tail.lines();
    match waited {
        Ok(Ok(status)) if status.success() => {
            Ok(if told.is_empty() { "done".to_owned() } else { format!("done: {told}") })
        }
        Ok(Ok(status)) => Err(Trouble::new(ended_badly(status, &told), context.logs_hint())),
        Ok(Err(error)) => {
            Err(Trouble::new(format!("its end could not be seen: {error}"), context.logs_hint()))
        }
        Err(_elapsed) => Err(Trouble::new(
            format!("killed after {} ms, with all that it started: {told}", check.within_ms),
            "see where it hangs, or raise `within`",
        )),
    }
}

fn ended_badly(status: ExitStatus, told: &str) -> String {
    if told.is_empty() { format!("{status}, without a word") } else { format!("{status}: {told}") }
}

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

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

    /// The last lines, in one.
    fn lines(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.chars().filter(|one| !one.is_control()).collect::<String>())
            .filter(|line| !line.trim().is_empty())
            .collect();
        let surplus = lines.len().saturating_sub(TOLD_LINES);
        lines.get(surplus..).unwrap_or_default().join(" | ")
    }
}
