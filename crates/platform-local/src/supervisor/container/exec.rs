//! Runs one more program inside a container, beside the machine's own: the engine starts it there,
//! with the container's environment and working directory. Like one beside a process it ends with
//! its caller, at its time limit, and, if the platform is killed meanwhile, when the next one finds
//! its mark.

use std::time::Duration;

use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Container,
    engine::{Ask, EngineError},
    exit_of,
    frames::{ERRORS, Frames},
};
use crate::{
    clock, identity,
    supervisor::{
        Exec, ExecDone, ExecError,
        adopt::{PLATFORM_VARIABLE, START_VARIABLE},
        exec::{AFTER_THE_END, OUTPUT_BYTES_MAX},
        process, process_files,
    },
};

/// Between two looks for what comes a moment later: an exit code, the end of what was killed.
const AGAIN: Duration = Duration::from_millis(20);

/// So often it is looked whether what was killed is gone; only the kernel can hold it for longer.
const END_TRIES: u32 = 100;

/// What engines give as exit code of a program that they could not start.
const NOT_STARTED: [i64; 2] = [126, 127];

/// What stands in the output then, in the words of each engine.
const NOT_STARTED_WORD: &str = "OCI ";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    running: bool,
    /// Missing while it runs.
    exit_code: Option<i64>,
    pid: i32,
}

/// The processes that carry a mark; dropped, they are killed.
#[derive(Debug)]
struct Marked(String);

/// What a program has written, up to a limit.
#[derive(Debug, Default)]
struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Container {
    /// Runs it to its end. Dropped before that, it is killed.
    pub(crate) async fn exec(&self, exec: Exec) -> Result<ExecDone, ExecError> {
        let marked = Marked(format!("exec-{}-{}", exec.start, identity::version()));
        let time_max = exec.time_max;
        let done = tokio::time::timeout(time_max, self.run_marked(exec, &marked)).await;
        if let Ok(done) = done {
            return done;
        }
        // Whoever is told that it was killed finds nothing of it.
        for _ in 0..END_TRIES {
            if !marked.kill() {
                break;
            }
            clock::pause(AGAIN).await;
        }
        Err(ExecError::TooLong { time_max })
    }

    async fn run_marked(&self, exec: Exec, marked: &Marked) -> Result<ExecDone, ExecError> {
        let id = self.begin(&exec, marked).await.map_err(|error| {
            // It is the container that is missing, or in no state to run anything.
            if error.is_missing() || error.is_conflict() { ExecError::Gone } else { error.into() }
        })?;
        let start = Ask::new(Method::POST, format!("/exec/{id}/start"), "run the program")
            .with_json(&json!({"Detach": false, "Tty": false}))?;
        let (answers, mut input) = tokio::io::split(self.engine.connect_to(start).await?);
        let stdin = exec.stdin;
        // A program that reads no input closes it, which is no error.
        let _feeding = AbortOnDropHandle::new(tokio::spawn(async move {
            input.write_all(&stdin).await?;
            input.shutdown().await
        }));
        let mut output = Output::default();
        let ended = self.exec_ended(&id);
        tokio::select! {
            read = output.read(answers) => read.map_err(|cause| self.engine.broken(&cause))?,
            () = ended => tracing::debug!("a program's children held its output open and are ended"),
        }
        let code = loop {
            match self.exec_inspect(&id).await? {
                Inspected { running: false, exit_code: Some(code), .. } => break code,
                _still_running => clock::pause(AGAIN).await,
            }
        };
        let (stdout, stderr) = output.texts();
        let told = stdout.contains(NOT_STARTED_WORD) || stderr.contains(NOT_STARTED_WORD);
        if NOT_STARTED.contains(&code) && told {
            let program = exec.command.into_iter().next().unwrap_or_default();
            return Err(ExecError::NoProgram { program });
        }
        Ok(ExecDone { exit: exit_of(code), stdout, stderr })
    }

    async fn begin(&self, exec: &Exec, marked: &Marked) -> Result<String, EngineError> {
        let path = format!("/containers/{}/exec", self.id);
        let ask = Ask::new(Method::POST, path, "prepare the program").with_json(&json!({
            "AttachStdin": true,
            "AttachStdout": true,
            "AttachStderr": true,
            "Tty": false,
            "Cmd": exec.command,
            "Env": [
                format!("{START_VARIABLE}={}", marked.0),
                format!("{PLATFORM_VARIABLE}={}", self.platform),
            ],
        }))?;
        let made: Made = self.engine.read(ask).await?;
        Ok(made.id)
    }

    /// Ends a moment after the program has, if its process can be seen from here.
    async fn exec_ended(&self, id: &str) {
        let pid = self.exec_inspect(id).await.map_or(0, |inspected| inspected.pid);
        let watched = async { process::wait_for_end(process::open(pid)?.into()).await };
        match watched.await {
            Ok(()) => clock::pause(AFTER_THE_END).await,
            // Then the end of its output tells.
            Err(_unseen) => std::future::pending().await,
        }
    }

    async fn exec_inspect(&self, id: &str) -> Result<Inspected, EngineError> {
        let path = format!("/exec/{id}/json");
        self.engine.read(Ask::new(Method::GET, path, "tell of the program")).await
    }
}

impl Marked {
    /// Kills them; whether there were any.
    fn kill(&self) -> bool {
        let mut found = false;
        for pid in process_files::all() {
            let mark = process_files::environment_value(pid, START_VARIABLE);
            if mark.as_ref() == Some(&self.0)
                && let Some(pid) = Pid::from_raw(pid)
            {
                found = true;
                if let Err(error) = kill_process(pid, Signal::KILL) {
                    tracing::debug!(%error, "a program in a container was gone already");
                }
            }
        }
        found
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Output {
    /// Reads to the end, and keeps the beginning.
    async fn read(&mut self, mut answers: impl AsyncRead + Unpin) -> std::io::Result<()> {
        let (mut frames, mut piece) = (Frames::default(), vec![0; 16 << 10]);
        loop {
            let read = answers.read(&mut piece).await?;
            if read == 0 {
                return Ok(());
            }
            frames.take(piece.get(..read).unwrap_or_default(), |stream, content| {
                let kept = if stream == ERRORS { &mut self.stderr } else { &mut self.stdout };
                let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len());
                kept.extend(content.iter().take(room));
            });
        }
    }

    fn texts(&self) -> (String, String) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&self.stdout), text(&self.stderr))
    }
}
