//! `/v1/apps/{app}/machines`: lists, makes, shows, updates and removes machines, and tells them
//! to start, stop and restart.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::HeaderMap,
    routing::{get, post},
};
use machines_api::types::{
    CreateMachine, Machine as MachineView, MachineEvent, MachineVersion, OkReply, StartReply,
    StopMachine, UpdateMachine, WireDurationError,
};

use super::{Pairs, flag, nonce, parse, parse_or_default, uninterrupted, value};
use crate::{
    clock,
    error::Refusal,
    fleet::{Fleet, Machine, Source},
};

/// Events that are given when no limit is asked for, and at most (Fly's numbers).
const EVENTS_DEFAULT: usize = 20;
const EVENTS_MAX: usize = 50;

type Place = Path<(String, String)>;

pub(super) fn routes() -> Router<Fleet> {
    let machine = "/v1/apps/{app}/machines/{machine}";
    let under = |rest: &str| format!("{machine}/{rest}");
    Router::new()
        .route("/v1/apps/{app}/machines", get(list).post(create))
        .route(machine, get(show).post(update).delete(delete))
        .route(&under("start"), post(start))
        .route(&under("stop"), post(stop))
        .route(&under("restart"), post(restart))
        .route(&under("cordon"), post(cordon))
        .route(&under("uncordon"), post(uncordon))
        .route(&under("signal"), post(signal))
        .route(&under("events"), get(events))
        .route(&under("versions"), get(versions))
}

async fn list(
    State(fleet): State<Fleet>,
    Path(app): Path<String>,
    Query(query): Query<Pairs>,
) -> Result<Json<Vec<MachineView>>, Refusal> {
    fleet.app(&app)?;
    let every = flag(&query, "include_deleted");
    let machines = if every { fleet.every_machine_of(&app) } else { fleet.machines_of(&app) };
    let views = machines.iter().map(|machine| view(machine, &query));
    Ok(Json(views.filter(|view| matches_query(view, &query)).collect()))
}

async fn create(
    State(fleet): State<Fleet>,
    Path(app): Path<String>,
    body: Bytes,
) -> Result<Json<MachineView>, Refusal> {
    fleet.app(&app)?;
    let order: CreateMachine = parse(&body)?;
    let (machine, nonce) = uninterrupted({
        let fleet = fleet.clone();
        async move { fleet.create_machine(&app, order).await }
    })
    .await?;
    Ok(Json(MachineView { nonce, ..view(&machine, &Pairs::new()) }))
}

async fn show(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
    Query(query): Query<Pairs>,
) -> Result<Json<MachineView>, Refusal> {
    Ok(Json(view(&*fleet.machine_of(&app, &id)?, &query)))
}

async fn update(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<MachineView>, Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    let order: UpdateMachine = parse(&body)?;
    let image = fleet.check_config(&order.config).await?;
    fleet.check_secrets_version(&app, order.min_secrets_version)?;
    let given = nonce(&headers).map(str::to_owned);
    let leased = uninterrupted({
        let machine = Arc::clone(&machine);
        async move { machine.update(given.as_deref(), order, image).await }
    })
    .await?;
    Ok(Json(MachineView { nonce: leased, ..view(&machine, &Pairs::new()) }))
}

async fn delete(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
    Query(query): Query<Pairs>,
    headers: HeaderMap,
) -> Result<Json<OkReply>, Refusal> {
    // Fly's documents say `force`, its client says `kill`.
    let force = flag(&query, "force") || flag(&query, "kill");
    let machine = fleet.machine_of(&app, &id)?;
    let given = nonce(&headers).map(str::to_owned);
    ok(async move { machine.destroy(given.as_deref(), force).await }).await
}

async fn start(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
    headers: HeaderMap,
) -> Result<Json<StartReply>, Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    let given = nonce(&headers).map(str::to_owned);
    let previous_state =
        uninterrupted(async move { machine.start(given.as_deref(), Source::User).await }).await?;
    let (message, status) = (String::new(), "started".to_owned());
    Ok(Json(StartReply { message, status, previous_state }))
}

async fn stop(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<OkReply>, Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    let mut order: StopMachine = parse_or_default(&body)?;
    // Fly's client sends both of them empty when it means the config's.
    order.signal = order.signal.filter(|signal| !signal.is_empty());
    order.timeout = order.timeout.filter(|timeout| !timeout.0.is_zero());
    let given = nonce(&headers).map(str::to_owned);
    ok(async move { machine.stop(given.as_deref(), &order, Source::User).await }).await
}

async fn restart(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
    Query(query): Query<Pairs>,
    headers: HeaderMap,
) -> Result<Json<OkReply>, Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    let timeout = value(&query, "timeout").map(str::parse).transpose();
    let order = StopMachine {
        signal: value(&query, "signal").map(str::to_owned),
        timeout: timeout
            .map_err(|error: WireDurationError| Refusal::bad_request(error.to_string()))?,
    };
    let force_stop = flag(&query, "force_stop");
    let given = nonce(&headers).map(str::to_owned);
    ok(async move { machine.restart(given.as_deref(), &order, force_stop).await }).await
}

async fn cordon(
    State(fleet): State<Fleet>,
    place: Place,
    headers: HeaderMap,
) -> Result<Json<OkReply>, Refusal> {
    set_cordon(fleet, place, &headers, true).await
}

async fn uncordon(
    State(fleet): State<Fleet>,
    place: Place,
    headers: HeaderMap,
) -> Result<Json<OkReply>, Refusal> {
    set_cordon(fleet, place, &headers, false).await
}

async fn set_cordon(
    fleet: Fleet,
    Path((app, id)): Place,
    headers: &HeaderMap,
    cordoned: bool,
) -> Result<Json<OkReply>, Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    let given = nonce(headers).map(str::to_owned);
    ok(async move { machine.cordon(given.as_deref(), cordoned).await }).await
}

async fn signal(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
    body: Bytes,
) -> Result<Json<OkReply>, Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    let order: serde_json::Value = parse(&body)?;
    // Fly's client sends the number 9 to kill.
    let name = match order.get("signal") {
        Some(serde_json::Value::String(name)) => name.clone(),
        Some(number) => number.to_string(),
        None => return Err(Refusal::bad_request("`signal` is missing")),
    };
    ok(async move { machine.signal(&name).await }).await
}

async fn events(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
    Query(query): Query<Pairs>,
) -> Result<Json<Vec<MachineEvent>>, Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    let limit = value(&query, "limit").and_then(|limit| limit.parse().ok());
    let limit = limit.unwrap_or(EVENTS_DEFAULT).min(EVENTS_MAX);
    Ok(Json(machine.snapshot().events.iter().take(limit).cloned().collect()))
}

async fn versions(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
) -> Result<Json<Vec<MachineVersion>>, Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    let versions = fleet.context.store.versions(&machine.id).await?;
    let view = |(version, user_config)| MachineVersion { version, user_config };
    Ok(Json(versions.into_iter().map(view).collect()))
}

fn view(machine: &Machine, query: &Pairs) -> MachineView {
    let snapshot = machine.snapshot();
    let lease_at = flag(query, "include_leases").then(clock::now);
    snapshot.record.view(&snapshot.events, &snapshot.checks, lease_at)
}

/// Whether a machine is one that a list was asked for: by state, region and metadata.
fn matches_query(machine: &MachineView, query: &Pairs) -> bool {
    query.iter().all(|(name, wanted)| match name.as_str() {
        "state" => wanted.split(',').any(|state| state == machine.state.as_str()),
        "region" => *wanted == machine.region,
        name => name.strip_prefix("metadata.").is_none_or(|key| {
            let metadata = machine.config.as_ref().map(|config| &config.metadata);
            metadata.and_then(|metadata| metadata.get(key)) == Some(wanted)
        }),
    })
}

async fn ok(
    change: impl Future<Output = Result<(), Refusal>> + Send + 'static,
) -> Result<Json<OkReply>, Refusal> {
    uninterrupted(change).await?;
    Ok(Json(OkReply { ok: true }))
}
