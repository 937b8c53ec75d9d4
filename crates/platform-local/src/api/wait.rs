//! `…/wait`: answers when a machine has reached a state.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    routing::get,
};
use machines_api::types::{WaitReply, WaitState};

use super::{Pairs, value};
use crate::{
    error::Refusal,
    fleet::{Awaited, Fleet},
};

/// Seconds, both when no time is asked for and at most (Fly's number).
const TIMEOUT_MAX_SECS: u64 = 60;

pub(super) fn routes() -> Router<Fleet> {
    Router::new().route("/v1/apps/{app}/machines/{machine}/wait", get(wait))
}

async fn wait(
    State(fleet): State<Fleet>,
    Path((app, id)): Path<(String, String)>,
    Query(query): Query<Pairs>,
) -> Result<Json<WaitReply>, Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    let named = value(&query, "version").or_else(|| value(&query, "instance_id"));
    let awaited = Awaited {
        states: states(&query)?,
        instance_id: named.filter(|named| !named.is_empty()).map(str::to_owned),
        after_event: after_event(&query)?,
        timeout: timeout(&query)?,
    };
    Ok(Json(machine.wait(&awaited).await?))
}

fn states(query: &Pairs) -> Result<Vec<WaitState>, Refusal> {
    let words = query.iter().filter(|(name, _)| name == "state").flat_map(|(_, v)| v.split(','));
    let mut states = Vec::new();
    for word in words.map(str::trim).filter(|word| !word.is_empty()) {
        let text = serde_json::Value::String(word.to_owned());
        let state: WaitState = serde_json::from_value(text).map_err(|_unknown| {
            Refusal::bad_request(format!(
                "invalid_argument: cannot wait for `{word}`\nhint: wait for started, stopped, \
                 suspended, destroyed, failed or settled"
            ))
        })?;
        states.push(state);
    }
    if states.is_empty() {
        states.push(WaitState::Started);
    }
    Ok(states)
}

/// The event from which on is waited, by its id.
fn after_event(query: &Pairs) -> Result<Option<String>, Refusal> {
    let Some(id) = value(query, "from_event_id").filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    if id.len() != 26 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Refusal::bad_request(format!(
            "invalid_argument: `from_event_id` is `{id}`, but must be the id of an event"
        )));
    }
    Ok(Some(id.to_owned()))
}

fn timeout(query: &Pairs) -> Result<Duration, Refusal> {
    let Some(text) = value(query, "timeout") else {
        return Ok(Duration::from_secs(TIMEOUT_MAX_SECS));
    };
    // Whole seconds, with or without the unit.
    let secs: u64 = text.trim_end_matches('s').parse().map_err(|_invalid| {
        Refusal::bad_request(format!(
            "invalid_argument: `timeout` is `{text}`, but must be a number of seconds"
        ))
    })?;
    Ok(Duration::from_secs(secs.clamp(1, TIMEOUT_MAX_SECS)))
}
