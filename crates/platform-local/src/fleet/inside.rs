//! Looks into a machine that runs: its processes, its memory, and programs run beside its own.

use std::time::Duration;

use axum::http::StatusCode;
use machines_api::types::{ExecMachine, ExecReply, MachineState, ProcessStat};
use oci_image::ImageDigest;

use super::{Fleet, Machine, launch::MachineFiles, record::RunRecord};
use crate::{
    error::Refusal,
    supervisor::{Exec, ExecError, Program},
};

/// How long a program may run whose caller names no time, and at most.
const EXEC_TIME_DEFAULT: Duration = Duration::from_mins(1);
const EXEC_TIME_MAX: Duration = Duration::from_mins(15);

impl Fleet {
    /// Runs a program inside the machine and waits for its end. Like on Fly no lease is asked for.
    pub(crate) async fn exec(
        &self,
        machine: &Machine,
        order: ExecMachine,
    ) -> Result<ExecReply, Refusal> {
        let invalid = |why: &str| Refusal::bad_request(format!("invalid_argument: {why}"));
        if order.container.as_ref().is_some_and(|container| !container.is_empty()) {
            return Err(invalid("this machine has no containers to choose from"));
        }
        let command = if order.command.is_empty() {
            shlex::split(&order.cmd).ok_or_else(|| invalid("`cmd` has a quote without its end"))?
        } else {
            order.command
        };
        if command.is_empty() {
            return Err(invalid("`command` is missing"));
        }
        let (run, program) = machine.running().await?;
        let digest: ImageDigest =
            run.image_digest.parse().map_err(|_damaged| invalid("its image has no digest"))?;
        let image =
            self.context.images.read_config(&digest).map_err(|error| {
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            })?;
        let time_max = order.timeout_secs.filter(|secs| *secs > 0).map(Duration::from_secs);
        let exec = Exec {
            start: run.start.clone(),
            root: MachineFiles::of(&self.context, &machine.id).root(&run.start),
            working_directory: image.config.working_dir.unwrap_or_default(),
            command,
            stdin: order.stdin.unwrap_or_default().into_bytes(),
            time_max: time_max.unwrap_or(EXEC_TIME_DEFAULT).min(EXEC_TIME_MAX),
        };
        let _permit = self.execs.try_acquire().map_err(|_full| {
            let text = "too many programs are being run in machines at once";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)
        })?;
        let done = program.exec(exec).await.map_err(|error| refusal(&error))?;
        Ok(ExecReply {
            exit_code: done.exit.code().unwrap_or(-1),
            exit_signal: done.exit.signal.unwrap_or(0),
            stdout: done.stdout,
            stderr: done.stderr,
        })
    }
}

impl Machine {
    /// The processes that run in the machine.
    pub(crate) async fn processes(&self) -> Result<Vec<ProcessStat>, Refusal> {
        let (run, program) = self.running().await?;
        program.processes(&run.start).await.map_err(|error| {
            let text = format!("the processes of machine {} cannot be read: {error}", self.id);
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
        })
    }

    /// Megabytes that the machine may have, and those of them that are free.
    pub(crate) async fn memory(&self) -> (u64, u64) {
        let inner = self.inner.lock().await;
        let limit = inner.record.memory_mb();
        let used = inner.program.as_ref().and_then(|program| program.stats().memory_bytes);
        (limit, limit.saturating_sub(used.unwrap_or(0) >> 20))
    }

    /// The program of the machine, which must be started.
    async fn running(&self) -> Result<(RunRecord, Program), Refusal> {
        let inner = self.inner.lock().await;
        let run = inner.record.run.clone().filter(|_| inner.record.state == MachineState::Started);
        run.zip(inner.program.clone()).ok_or_else(|| {
            Refusal::precondition(format!(
                "machine {} is {}\nhint: start it first",
                self.id, inner.record.state
            ))
        })
    }
}

fn refusal(error: &ExecError) -> Refusal {
    let status = match error {
        ExecError::NoProgram { .. } | ExecError::Start { .. } => StatusCode::BAD_REQUEST,
        ExecError::Gone => StatusCode::PRECONDITION_FAILED,
        ExecError::TooLong { .. } => StatusCode::REQUEST_TIMEOUT,
        ExecError::Engine(error) if error.is_broken() => StatusCode::SERVICE_UNAVAILABLE,
        ExecError::Wait(_) | ExecError::Limits { .. } | ExecError::Engine(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    Refusal::new(status, error.to_string())
}
