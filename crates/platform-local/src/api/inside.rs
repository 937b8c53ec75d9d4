//! `…/exec`, `…/ps` and `…/memory`: runs a program inside a machine, and looks what runs there.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    routing::{get, post},
};
use machines_api::types::{ExecMachine, ExecReply, ProcessStat};

use super::{Pairs, parse, value};
use crate::{error::Refusal, fleet::Fleet};

type Place = Path<(String, String)>;

pub(super) fn routes() -> Router<Fleet> {
    let under = |rest: &str| format!("/v1/apps/{{app}}/machines/{{machine}}/{rest}");
    Router::new()
        .route(&under("exec"), post(exec))
        .route(&under("ps"), get(processes))
        .route(&under("memory"), get(memory))
}

async fn exec(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
    body: Bytes,
) -> Result<Json<ExecReply>, Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    let order: ExecMachine = parse(&body)?;
    // A client that hangs up ends the program: there is nobody left to tell how it went.
    Ok(Json(fleet.exec(&machine, order).await?))
}

async fn processes(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
    Query(query): Query<Pairs>,
) -> Result<Json<Vec<ProcessStat>>, Refusal> {
    let machine = fleet.machine_of(&app, &id)?;
    let by = value(&query, "sort_by").unwrap_or("pid");
    let mut processes = machine.processes().await?;
    match by {
        "pid" => processes.sort_by_key(|process| process.pid),
        "stime" => processes.sort_by_key(|process| process.stime),
        "rtime" => processes.sort_by_key(|process| process.rtime),
        "cpu" => processes.sort_by_key(|process| process.cpu),
        "rss" => processes.sort_by_key(|process| process.rss),
        "command" => processes.sort_by(|one, other| one.command.cmp(&other.command)),
        "directory" => processes.sort_by(|one, other| one.directory.cmp(&other.directory)),
        other => {
            return Err(Refusal::bad_request(format!(
                "invalid_argument: cannot sort by `{other}`\nhint: sort by pid, stime, rtime, \
                 command, directory, cpu or rss"
            )));
        }
    }
    match value(&query, "order").unwrap_or("asc") {
        "asc" => {}
        "desc" => processes.reverse(),
        other => {
            return Err(Refusal::bad_request(format!(
                "invalid_argument: `order` is `{other}`, but must be asc or desc"
            )));
        }
    }
    Ok(Json(processes))
}

async fn memory(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
) -> Result<Json<serde_json::Value>, Refusal> {
    let (limit_mb, available_mb) = fleet.machine_of(&app, &id)?.memory().await;
    Ok(Json(serde_json::json!({"limit_mb": limit_mb, "available_mb": available_mb})))
}
