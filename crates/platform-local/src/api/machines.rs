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
    StopMachine, UpdateMachine, WireDuration, WireDurationError,
};

use super::{Pairs, flag, has_state, nonce, parse, parse_or_default, uninterrupted, value};
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
        .route(&under("suspend"), post(suspend))
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
    let views = views.filter(|view| matches_query(view, &query));
    if flag(&query, "summary") {
        return Ok(Json(views.map(summary).collect()));
    }
    Ok(Json(views.collect()))
}

async fn create(
    State(fleet): State<Fleet>,
    Path(app): Path<String>,
    body: Bytes,
) -> Result<Json<MachineView>, Refusal> {
    fleet.app(&app)?;
    let order: CreateMachine = parse(&body)?;
    let made = uninterrupted(async move { fleet.create_machine(&app, order).await });
    // As it was made, although it may be starting by now.
    let (snapshot, nonce) = made.await?;
    let view = snapshot.record.view(&snapshot.events, &snapshot.checks, None);
    Ok(Json(MachineView { nonce, ..view }))
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
    let given = nonce(&headers).map(str::to_owned);
    let leased = uninterrupted({
        let machine = Arc::clone(&machine);
        async move { fleet.update_machine(&machine, given.as_deref(), order).await }
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
    let status = "started".to_owned();
    Ok(Json(StartReply { status, previous_state, ..StartReply::default() }))
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

async fn suspend(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
    headers: HeaderMap,
) -> Result<Json<OkReply>, Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    let given = nonce(&headers).map(str::to_owned);
    ok(async move { machine.suspend(given.as_deref(), Source::User).await }).await
}

async fn restart(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
    Query(query): Query<Pairs>,
    headers: HeaderMap,
) -> Result<Json<OkReply>, Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    let given = |name| value(&query, name).filter(|text| !text.is_empty());
    let order = StopMachine {
        signal: given("signal").map(str::to_owned),
        timeout: given("timeout").map(restart_timeout).transpose()?,
    };
    let force_stop = flag(&query, "force_stop");
    let given = nonce(&headers).map(str::to_owned);
    ok(async move { machine.restart(given.as_deref(), &order, force_stop).await }).await
}

/// A duration, or, as Fly's client sends it, a bare number of seconds.
fn restart_timeout(text: &str) -> Result<WireDuration, Refusal> {
    if let Ok(seconds) = text.parse() {
        return Ok(WireDuration::from_secs(seconds));
    }
    text.parse().map_err(|error: WireDurationError| Refusal::bad_request(error.to_string()))
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
        Some(serde_json::Value::Number(number)) => number.to_string(),
        Some(_) | None => {
            return Err(Refusal::bad_request("`signal` is missing, or neither name nor number"));
        }
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

/// A machine without what a summary leaves out.
fn summary(machine: MachineView) -> MachineView {
    MachineView {
        config: None,
        checks: Vec::new(),
        events: Vec::new(),
        host_status: None,
        ..machine
    }
}

/// Whether a machine is one that a list was asked for: by state, region and metadata.
fn matches_query(machine: &MachineView, query: &Pairs) -> bool {
    has_state(query, machine.state.as_str())
        && query.iter().all(|(name, wanted)| match name.as_str() {
            "region" => wanted.is_empty() || *wanted == machine.region,
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
