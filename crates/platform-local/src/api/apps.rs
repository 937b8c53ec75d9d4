//! `/v1/apps`: lists, makes, shows and removes apps.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::get,
};
use machines_api::types::{App, AppList, Organization};

use super::{Pairs, flag, parse, refusals::AppRefusal, uninterrupted, value};
use crate::{
    error::Refusal,
    fleet::{AppRecord, Fleet},
};

pub(super) fn routes() -> Router<Fleet> {
    Router::new()
        .route("/v1/apps", get(list).post(create))
        .route("/v1/apps/{app}", get(show).delete(delete))
}

async fn list(
    State(fleet): State<Fleet>,
    Query(query): Query<Pairs>,
) -> Result<Json<AppList>, AppRefusal> {
    let slug = value(&query, "org_slug").filter(|slug| !slug.is_empty());
    let mut apps = Vec::new();
    for app in fleet.apps() {
        if slug.is_none_or(|slug| slug == app.organization) {
            apps.push(view(&fleet, &app).await?);
        }
    }
    Ok(Json(AppList { total_apps: apps.len() as u64, apps }))
}

async fn create(
    State(fleet): State<Fleet>,
    body: Bytes,
) -> Result<(StatusCode, Json<App>), AppRefusal> {
    let order = parse(&body)?;
    let made = uninterrupted({
        let fleet = fleet.clone();
        async move { fleet.create_app(order).await }
    });
    Ok((StatusCode::CREATED, Json(view(&fleet, &made.await?).await?)))
}

async fn show(
    State(fleet): State<Fleet>,
    Path(app): Path<String>,
) -> Result<Json<App>, AppRefusal> {
    Ok(Json(view(&fleet, &fleet.app(&app)?).await?))
}

async fn delete(
    State(fleet): State<Fleet>,
    Path(app): Path<String>,
    Query(query): Query<Pairs>,
) -> Result<(StatusCode, Json<serde_json::Value>), AppRefusal> {
    let force = flag(&query, "force");
    uninterrupted(async move { fleet.delete_app(&app, force).await }).await?;
    Ok((StatusCode::ACCEPTED, Json(serde_json::json!({"ok": true}))))
}

async fn view(fleet: &Fleet, app: &AppRecord) -> Result<App, Refusal> {
    let machines = fleet.machines_of(&app.name).len() as u64;
    Ok(App {
        id: app.id.clone(),
        name: app.name.clone(),
        internal_numeric_id: None,
        // Fly always names one, and some clients refuse an app without.
        network: Some(app.network.clone().unwrap_or_else(|| "default".to_owned())),
        status: Some(fleet.app_status(app).await?.to_owned()),
        machine_count: machines,
        volume_count: fleet.volumes_of(&app.name).len() as u64,
        organization: Some(Organization {
            name: app.organization.clone(),
            slug: app.organization.clone(),
            internal_numeric_id: None,
        }),
    })
}
