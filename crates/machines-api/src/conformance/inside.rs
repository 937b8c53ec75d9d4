//! Cases about what runs inside a machine.

use super::{Suite, expect, refusal, told};
use crate::types::ExecMachine;

pub(super) async fn listed(suite: &Suite) -> Result<(), String> {
    let machine = suite.started_machine().await?;
    let processes = told(suite.client.processes(&suite.app, &machine.id).await)?;
    let is_told = processes.iter().all(|it| it.pid > 0 && !it.command.is_empty());
    expect(!processes.is_empty() && is_told, "each process has id and command", &processes)?;
    suite.remove(&machine).await
}

pub(super) async fn missing(suite: &Suite) -> Result<(), String> {
    let machine = suite.started_machine().await?;
    let exec = |command: &[&str]| ExecMachine {
        command: command.iter().map(|&word| word.to_owned()).collect(),
        timeout_secs: Some(10),
        ..ExecMachine::default()
    };
    let nothing = suite.client.exec(&suite.app, &machine.id, &exec(&[])).await;
    refusal(nothing, 400, "running no program")?;
    let done = suite.client.exec(&suite.app, &machine.id, &exec(&["/conformance/missing"])).await;
    // Fly documents neither: a refusal and the exit code of a shell both say it.
    let failed = match &done {
        Ok(reply) => reply.exit_code != 0,
        Err(error) => error.status == Some(400),
    };
    expect(failed, "a missing program fails", &done)?;
    suite.remove(&machine).await
}
