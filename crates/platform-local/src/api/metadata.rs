//! `…/metadata`: what clients note on a machine. It makes no new version.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use machines_api::types::{MachineConfig, MetadataValue};

use super::{parse, uninterrupted};
use crate::{error::Refusal, fleet::Fleet};

/// Entries of one machine.
const ENTRIES_MAX: usize = 200;

pub(super) fn routes() -> Router<Fleet> {
    let all = "/v1/apps/{app}/machines/{machine}/metadata";
    Router::new()
        .route(all, get(show_all))
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
    change(&fleet, &app, &id, move |config| {
        config.metadata.insert(key, value);
        if config.metadata.len() > ENTRIES_MAX {
            return Err(Refusal::bad_request(format!("more than {ENTRIES_MAX} entries")));
        }
        Ok(())
    })
    .await
}

async fn remove(
    State(fleet): State<Fleet>,
    Path((app, id, key)): Path<(String, String, String)>,
) -> Result<StatusCode, Refusal> {
    change(&fleet, &app, &id, move |config| {
        config.metadata.remove(&key);
        Ok(())
    })
    .await
}

async fn change(
    fleet: &Fleet,
    app: &str,
    id: &str,
    change: impl FnOnce(&mut MachineConfig) -> Result<(), Refusal> + Send + 'static,
) -> Result<StatusCode, Refusal> {
    let machine = fleet.machine_of(app, id)?;
    uninterrupted(async move { machine.change_metadata(change).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
