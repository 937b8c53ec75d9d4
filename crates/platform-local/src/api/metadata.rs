//! `…/metadata`: what clients note on a machine. It makes no new version.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use jiff::Timestamp;
use machines_api::types::{MetadataValue, UpdateMetadata};

use super::{parse, uninterrupted};
use crate::{
    error::Refusal,
    fleet::{Fleet, MachineRecord},
};

/// Entries of one machine, and bytes of all of them.
const ENTRIES_MAX: usize = 200;
const BYTES_MAX: usize = 256 * 1024;

pub(super) fn routes() -> Router<Fleet> {
    let all = "/v1/apps/{app}/machines/{machine}/metadata";
    Router::new()
        .route(all, get(show_all).put(update).patch(update))
        .route(&format!("{all}/{{key}}"), get(show).post(set).delete(remove))
}

async fn show_all(
    State(fleet): State<Fleet>,
    Path((app, id)): Path<(String, String)>,
) -> Result<Json<BTreeMap<String, String>>, Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    Ok(Json(machine.snapshot().record.config.metadata.clone()))
}

async fn show(
    State(fleet): State<Fleet>,
    Path((app, id, key)): Path<(String, String, String)>,
) -> Result<Json<MetadataValue>, Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    let value = machine.snapshot().record.config.metadata.get(&key).cloned();
    let missing = || Refusal::not_found(format!("machine {id} has no metadata `{key}`"));
    Ok(Json(MetadataValue { value: value.ok_or_else(missing)? }))
}

async fn set(
    State(fleet): State<Fleet>,
    Path((app, id, key)): Path<(String, String, String)>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let MetadataValue { value } = parse(&body)?;
    let metadata = BTreeMap::from([(key, Some(value))]);
    change(&fleet, &app, &id, UpdateMetadata { metadata, ..UpdateMetadata::default() }).await
}

async fn update(
    State(fleet): State<Fleet>,
    Path((app, id)): Path<(String, String)>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    change(&fleet, &app, &id, parse(&body)?).await
}

async fn remove(
    State(fleet): State<Fleet>,
    Path((app, id, key)): Path<(String, String, String)>,
) -> Result<StatusCode, Refusal> {
    let metadata = BTreeMap::from([(key, None)]);
    change(&fleet, &app, &id, UpdateMetadata { metadata, ..UpdateMetadata::default() }).await
}

async fn change(
    fleet: &Fleet,
    app: &str,
    id: &str,
    order: UpdateMetadata,
) -> Result<StatusCode, Refusal> {
    let machine = fleet.machine_of(app, id)?;
    let change = move |record: &MachineRecord| applied(record, order);
    uninterrupted(async move { machine.change_metadata(change).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The metadata after the change. Nothing of it is done unless all of it can be.
fn applied(
    record: &MachineRecord,
    order: UpdateMetadata,
) -> Result<BTreeMap<String, String>, Refusal> {
    let seen = order.machine_version.filter(|version| !version.is_empty());
    if let Some(seen) = seen.filter(|seen| *seen != record.instance_id) {
        return Err(Refusal::precondition(format!(
            "machine version is {}, not {seen}\nhint: read the machine again and decide anew",
            record.instance_id
        )));
    }
    if let Some(seen) = order.updated_at.filter(|seen| !seen.is_empty()) {
        let seen: Timestamp = seen.parse().map_err(|_invalid| {
            Refusal::bad_request(format!("invalid_argument: `updated_at` is no time: `{seen}`"))
        })?;
        if seen != record.updated_at {
            return Err(Refusal::precondition(format!(
                "machine was updated at {}, not {seen}",
                record.updated_at
            )));
        }
    }
    let mut metadata = record.config.metadata.clone();
    for (key, value) in order.metadata {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => metadata.insert(key, value),
            None => metadata.remove(&key),
        };
    }
    let bytes: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if metadata.len() > ENTRIES_MAX || bytes > BYTES_MAX {
        return Err(Refusal::bad_request(format!(
            "metadata is at most {ENTRIES_MAX} entries and {BYTES_MAX} bytes"
        )));
    }
    Ok(metadata)
}
