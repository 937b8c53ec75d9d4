//! `…/ip_assignments`: the addresses of an app. Version 4 is the proxy's own address, for all
//! apps the same; the others are of the right shape, and nothing listens there.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, get},
};
use machines_api::types::{AssignIp, IpAssignment, IpAssignments};

use super::{parse, refusals::AppRefusal, uninterrupted};
use crate::fleet::Fleet;

pub(super) fn routes() -> Router<Fleet> {
    Router::new()
        .route("/v1/apps/{app}/ip_assignments", get(list).post(assign))
        .route("/v1/apps/{app}/ip_assignments/{ip}", delete(release))
}

async fn list(
    State(fleet): State<Fleet>,
    Path(app): Path<String>,
) -> Result<Json<IpAssignments>, AppRefusal> {
    Ok(Json(IpAssignments { ips: fleet.app(&app)?.addresses }))
}

async fn assign(
    State(fleet): State<Fleet>,
    Path(app): Path<String>,
    body: Bytes,
) -> Result<Json<IpAssignment>, AppRefusal> {
    let order: AssignIp = parse(&body)?;
    Ok(Json(uninterrupted(async move { fleet.assign_address(&app, order).await }).await?))
}

async fn release(
    State(fleet): State<Fleet>,
    Path((app, ip)): Path<(String, String)>,
) -> Result<StatusCode, AppRefusal> {
    uninterrupted(async move { fleet.release_address(&app, &ip).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
