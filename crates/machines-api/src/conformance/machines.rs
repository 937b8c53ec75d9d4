//! Cases about creating, reading, listing and finding machines, and their metadata.

use serde_json::json;

use super::{Suite, expect, refusal, told};
use crate::types::{Machine, MachineState, UpdateMetadata, WaitState};

pub(super) async fn unknown(suite: &Suite) -> Result<(), String> {
    let (client, app, id) = (&suite.client, &suite.app, "00000000000000");
    refusal(client.get_machine(app, id).await, 404, "reading a machine that is not there")?;
    refusal(client.start(app, id, None).await, 404, "starting one")?;
    let wait = client.wait(app, id, WaitState::Started, None, 1).await;
    refusal(wait, 404, "waiting for one").map(|_| ())
}

pub(super) async fn created(suite: &Suite) -> Result<(), String> {
    let mut body = suite.create_body();
    // A field that few know: it must come back as it went.
    body.config.rest.insert("dns".to_owned(), json!({"skip_registration": true}));
    let created = told(suite.client.create_machine(&suite.app, &body, None).await)?;
    expect(!created.id.is_empty(), "the machine has an id", &created)?;
    expect(!created.instance_id.is_empty(), "the machine has a version", &created)?;
    suite.wait(&created, WaitState::Started).await?;
    let machine = suite.read(&created).await?;
    expect(machine.state == MachineState::Started, "the machine is started", &machine)?;
    expect(machine.instance_id == created.instance_id, "the version is the same", &machine)?;
    expect(machine.created_at.is_some(), "the time of creation is told", &machine)?;
    let Some(config) = &machine.config else {
        return Err(format!("expected a config, but saw {machine:?}"));
    };
    expect(config.env == body.config.env, "the environment is as given", config)?;
    let dns = config.rest.get("dns").and_then(|dns| dns.get("skip_registration"));
    expect(dns == Some(&json!(true)), "a rare field of the config is kept", config)?;
    expect(machine.image_ref.digest.starts_with("sha256:"), "the digest is told", &machine)?;
    events_in_order(&machine)?;
    let listed = told(suite.client.list_machines(&suite.app).await)?;
    expect(listed.iter().any(|it| it.id == machine.id), "the list holds the machine", &listed)?;
    suite.remove(&machine).await
}

pub(super) async fn found(suite: &Suite) -> Result<(), String> {
    let (key, value) = ("conformance_id", "wanted");
    let mut body = suite.create_body();
    body.skip_launch = true;
    let other = told(suite.client.create_machine(&suite.app, &body, None).await)?;
    body.config.metadata.insert(key.to_owned(), value.to_owned());
    let wanted = told(suite.client.create_machine(&suite.app, &body, None).await)?;
    let found = told(suite.client.find_machines(&suite.app, key, value).await)?;
    let ids: Vec<&str> = found.iter().map(|machine| machine.id.as_str()).collect();
    expect(ids == [wanted.id.as_str()], "only the machine with the metadata is found", &ids)?;
    suite.remove(&other).await?;
    suite.remove(&wanted).await
}

pub(super) async fn metadata(suite: &Suite) -> Result<(), String> {
    let machine = suite.started_machine().await?;
    let (client, app, id) = (&suite.client, &suite.app, machine.id.as_str());
    told(client.set_metadata(app, id, "color", "blue").await)?;
    let set = told(client.get_metadata(app, id).await)?;
    expect(set.get("color").is_some_and(|color| color == "blue"), "the key is set", &set)?;
    let read = suite.read(&machine).await?;
    expect(read.instance_id == machine.instance_id, "the version is the same", &read)?;
    told(client.delete_metadata(app, id, "color").await)?;
    let left = told(client.get_metadata(app, id).await)?;
    expect(!left.contains_key("color"), "the key is deleted", &left)?;
    suite.remove(&machine).await
}

pub(super) async fn several(suite: &Suite) -> Result<(), String> {
    let mut body = suite.create_body();
    body.skip_launch = true;
    body.config.metadata.insert("old".to_owned(), "1".to_owned());
    let machine = told(suite.client.create_machine(&suite.app, &body, None).await)?;
    let (client, app, id) = (&suite.client, &suite.app, machine.id.as_str());
    let mut update = UpdateMetadata {
        metadata: [("old", None), ("new", Some("2"))]
            .map(|(key, value)| (key.to_owned(), value.map(str::to_owned)))
            .into(),
        machine_version: Some(machine.instance_id.clone()),
        updated_at: None,
    };
    told(client.update_metadata(app, id, &update).await)?;
    let read = told(client.get_metadata(app, id).await)?;
    let is_done = !read.contains_key("old") && read.get("new").is_some_and(|it| it == "2");
    expect(is_done, "one key is set and one is gone", &read)?;
    update.machine_version = Some("00000000000000000000000000".to_owned());
    let stale = client.update_metadata(app, id, &update).await;
    refusal(stale, 412, "metadata for a stale version")?;
    suite.remove(&machine).await
}

pub(super) async fn unlaunched(suite: &Suite) -> Result<(), String> {
    let mut body = suite.create_body();
    body.skip_launch = true;
    let machine = told(suite.client.create_machine(&suite.app, &body, None).await)?;
    let wait = suite.client.wait(&suite.app, &machine.id, WaitState::Started, None, 1).await;
    let error = refusal(wait, 408, "waiting for a start that nobody asked for")?;
    expect(error.is_wait_timeout(), "the wait may be repeated", &error)?;
    let read = suite.read(&machine).await?;
    let waiting = matches!(read.state, MachineState::Created | MachineState::Stopped);
    expect(waiting, "the machine does not run", &read)?;
    suite.remove(&machine).await
}

/// The events stand newest first, and tell of the launch before the start.
pub(super) fn events_in_order(machine: &Machine) -> Result<(), String> {
    let newest_first =
        machine.events.is_sorted_by(|newer, older| newer.timestamp_ms >= older.timestamp_ms);
    expect(newest_first, "the events stand newest first", &machine.events)?;
    let place = |kind: &str| machine.events.iter().position(|event| event.event_type == kind);
    let (launch, start) = (place("launch"), place("start"));
    let ordered = matches!((start, launch), (Some(start), Some(launch)) if start < launch);
    expect(ordered, "a start follows a launch", &machine.events)
}
