//! Cases about changing a machine: update, stop, start, restart, cordon, delete.

use super::{Suite, WAIT_SECS, expect, refusal, told};
use crate::error::ErrorClass;
use crate::types::{Machine, MachineState, StopMachine, UpdateMachine, WaitState};

fn update_of(machine: &Machine) -> Result<UpdateMachine, String> {
    let mut config = machine.config.clone().ok_or("the machine shows no config")?;
    config.env.insert("CONFORMANCE".to_owned(), "second".to_owned());
    Ok(UpdateMachine { config, ..UpdateMachine::default() })
}

pub(super) async fn updated(suite: &Suite) -> Result<(), String> {
    let before = suite.started_machine().await?;
    let (client, app, id) = (&suite.client, &suite.app, before.id.as_str());
    let update = update_of(&before)?;
    let answer = told(client.update_machine(app, id, &update, None).await)?;
    expect(answer.id == before.id, "the machine keeps its id", &answer)?;
    expect(answer.instance_id != before.instance_id, "the version is new", &answer)?;
    suite.wait(&answer, WaitState::Started).await?;
    let after = suite.read(&before).await?;
    expect(after.instance_id == answer.instance_id, "the new version runs", &after)?;
    let value = after.config.as_ref().and_then(|config| config.env.get("CONFORMANCE"));
    expect(value.is_some_and(|value| value == "second"), "the config is the new one", &after)?;
    let events = told(client.events(app, id).await)?;
    let newest_first = events.is_sorted_by(|newer, older| newer.timestamp_ms >= older.timestamp_ms);
    expect(newest_first, "the events stand newest first", &events)?;
    let newest_start = events.iter().position(|event| event.event_type == "start");
    let newest_exit = events.iter().position(|event| event.event_type == "exit");
    let restarted = newest_start.is_some_and(|start| newest_exit.is_none_or(|exit| start < exit));
    expect(restarted, "the newest start is newer than every exit", &events)?;
    let versions = told(client.versions(app, id).await)?;
    let listed: Vec<&str> = versions.iter().map(|it| it.version.as_str()).collect();
    let expected = [after.instance_id.as_str(), before.instance_id.as_str()];
    expect(listed == expected, "both versions are listed, newest first", &listed)?;
    suite.remove(&after).await
}

pub(super) async fn stale(suite: &Suite) -> Result<(), String> {
    let machine = suite.started_machine().await?;
    let mut update = update_of(&machine)?;
    update.current_version = Some("00000000000000000000000000".to_owned());
    let answer = suite.client.update_machine(&suite.app, &machine.id, &update, None).await;
    // Fly documents no status for this: 409 and 412 both say it.
    let refused = answer.as_ref().is_err_and(|error| matches!(error.status, Some(409 | 412)));
    expect(refused, "the update is refused with 409 or 412", &answer)?;
    let read = suite.read(&machine).await?;
    expect(read.instance_id == machine.instance_id, "the version is the same", &read)?;
    suite.remove(&machine).await
}

pub(super) async fn stopped(suite: &Suite) -> Result<(), String> {
    let machine = suite.started_machine().await?;
    let (client, app, id) = (&suite.client, &suite.app, machine.id.as_str());
    told(client.stop(app, id, &StopMachine::default(), None).await)?;
    suite.wait(&machine, WaitState::Stopped).await?;
    let stopped = suite.read(&machine).await?;
    expect(stopped.state == MachineState::Stopped, "the machine is stopped", &stopped)?;
    let exit = stopped.events.iter().find(|event| event.event_type == "exit");
    let told_why = exit.and_then(|event| event.exit_event()).is_some_and(|it| it.requested_stop);
    expect(told_why, "an exit event says that the stop was asked for", &stopped.events)?;
    let reply = told(client.start(app, id, None).await)?;
    expect(reply.previous_state == MachineState::Stopped, "the start names the state", &reply)?;
    suite.wait(&machine, WaitState::Started).await?;
    let started = suite.read(&machine).await?;
    expect(started.state == MachineState::Started, "the machine is started", &started)?;
    suite.remove(&machine).await
}

pub(super) async fn suspended(suite: &Suite) -> Result<(), String> {
    let machine = suite.started_machine().await?;
    let (client, app, id) = (&suite.client, &suite.app, machine.id.as_str());
    told(client.suspend(app, id, None).await)?;
    suite.wait(&machine, WaitState::Suspended).await?;
    let suspended = suite.read(&machine).await?;
    expect(suspended.state == MachineState::Suspended, "the machine is suspended", &suspended)?;
    let reply = told(client.start(app, id, None).await)?;
    let before = reply.previous_state;
    expect(before == MachineState::Suspended, "the start names the state", &reply)?;
    suite.wait(&machine, WaitState::Started).await?;
    let started = suite.read(&machine).await?;
    expect(started.instance_id == machine.instance_id, "the version is the same", &started)?;
    suite.remove(&machine).await
}

pub(super) async fn signalled(suite: &Suite) -> Result<(), String> {
    let machine = suite.started_machine().await?;
    let (client, app, id) = (&suite.client, &suite.app, machine.id.as_str());
    refusal(client.signal(app, id, "SIGNONSENSE").await, 400, "a signal that there is not")?;
    told(client.signal(app, id, "SIGKILL").await)?;
    let mut read = suite.read(&machine).await?;
    for _second in 0..WAIT_SECS {
        if read.events.iter().any(|event| event.event_type == "exit") {
            break;
        }
        suite.pass_a_second(&machine).await?;
        read = suite.read(&machine).await?;
    }
    let exit = read.events.iter().find_map(|event| event.exit_event());
    let is_told = exit.is_some_and(|exit| !exit.requested_stop);
    expect(is_told, "an exit event says that nobody asked for a stop", &read.events)?;
    suite.remove(&machine).await
}

pub(super) async fn awaited(suite: &Suite) -> Result<(), String> {
    let machine = suite.started_machine().await?;
    let (client, app, id) = (&suite.client, &suite.app, machine.id.as_str());
    let Some(newest) = machine.events.first() else {
        return Err(format!("expected events, but saw {machine:?}"));
    };
    told(client.stop(app, id, &StopMachine::default(), None).await)?;
    suite.wait(&machine, WaitState::Stopped).await?;
    let reply = client.wait_after(app, id, WaitState::Stopped, &newest.id, WAIT_SECS).await;
    let reply = told(reply)?;
    expect(reply.state == MachineState::Stopped, "it tells the state", &reply)?;
    // It was started before that event, not after.
    let again = client.wait_after(app, id, WaitState::Started, &newest.id, 1).await;
    refusal(again, 408, "a state from before the event")?;
    suite.remove(&machine).await
}

pub(super) async fn restarted(suite: &Suite) -> Result<(), String> {
    let machine = suite.started_machine().await?;
    let starts = |machine: &Machine| {
        machine.events.iter().filter(|event| event.event_type == "start").count()
    };
    told(suite.client.restart(&suite.app, &machine.id, None).await)?;
    suite.wait(&machine, WaitState::Started).await?;
    // A server may answer before the machine has gone down: give it time to.
    let mut read = suite.read(&machine).await?;
    for _second in 0..WAIT_SECS {
        if starts(&read) > starts(&machine) {
            break;
        }
        suite.pass_a_second(&machine).await?;
        read = suite.read(&machine).await?;
    }
    expect(starts(&read) > starts(&machine), "there is one more start", &read.events)?;
    expect(read.instance_id == machine.instance_id, "the version is the same", &read)?;
    suite.remove(&machine).await
}

pub(super) async fn cordoned(suite: &Suite) -> Result<(), String> {
    let machine = suite.started_machine().await?;
    told(suite.client.cordon(&suite.app, &machine.id, None).await)?;
    let read = suite.read(&machine).await?;
    expect(read.cordoned == Some(true), "the machine is cordoned", &read)?;
    expect(read.state == MachineState::Started, "it goes on running", &read)?;
    told(suite.client.uncordon(&suite.app, &machine.id, None).await)?;
    let read = suite.read(&machine).await?;
    expect(read.cordoned != Some(true), "the machine is not cordoned", &read)?;
    suite.remove(&machine).await
}

pub(super) async fn deleted(suite: &Suite) -> Result<(), String> {
    let machine = suite.started_machine().await?;
    let (client, app, id) = (&suite.client, &suite.app, machine.id.as_str());
    let running = client.delete(app, id, false, None).await;
    let refused = running.as_ref().is_err_and(|error| error.class == ErrorClass::Refused);
    expect(refused, "a running machine is not deleted without force", &running)?;
    suite.remove(&machine).await?;
    match client.wait(app, id, WaitState::Destroyed, None, WAIT_SECS).await {
        Err(error) if !error.is_not_found() => return Err(error.to_string()),
        Ok(_) | Err(_) => {}
    }
    let listed = told(client.list_machines(app).await)?;
    expect(listed.iter().all(|it| it.id != machine.id), "the list holds it no more", &listed)?;
    let read = client.get_machine(app, id).await;
    let gone = match &read {
        Ok(machine) => machine.state == MachineState::Destroyed,
        Err(error) => error.is_not_found(),
    };
    expect(gone, "the machine is destroyed or not found", &read)
}
