//! `…/volumes`: lists, makes, shows, changes, extends and deletes the volumes of an app.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    routing::{get, put},
};
use machines_api::types::{CreateVolume, ExtendReply, ExtendVolume, UpdateVolume, Volume};

use super::{parse, uninterrupted};
use crate::{error::Refusal, fleet::Fleet};

type Place = Path<(String, String)>;

pub(super) fn routes() -> Router<Fleet> {
    let volume = "/v1/apps/{app}/volumes/{volume}";
    Router::new()
        .route("/v1/apps/{app}/volumes", get(list).post(create))
        .route(volume, get(show).put(update).delete(delete))
        .route(&format!("{volume}/extend"), put(extend))
}

async fn list(
    State(fleet): State<Fleet>,
    Path(app): Path<String>,
) -> Result<Json<Vec<Volume>>, Refusal> {
    fleet.app(&app)?;
    Ok(Json(fleet.volumes_of(&app).iter().map(|volume| fleet.volume_view(volume)).collect()))
}

async fn create(
    State(fleet): State<Fleet>,
    Path(app): Path<String>,
    body: Bytes,
) -> Result<Json<Volume>, Refusal> {
    let order: CreateVolume = parse(&body)?;
    let made = uninterrupted({
        let fleet = fleet.clone();
        async move { fleet.create_volume(&app, order).await }
    });
    Ok(Json(fleet.volume_view(&made.await?)))
}

async fn show(State(fleet): State<Fleet>, Path((app, id)): Place) -> Result<Json<Volume>, Refusal> {
    Ok(Json(fleet.volume_view(&fleet.volume_of(&app, &id)?)))
}

async fn update(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
    body: Bytes,
) -> Result<Json<Volume>, Refusal> {
    let order: UpdateVolume = parse(&body)?;
    let changed = uninterrupted({
        let fleet = fleet.clone();
        async move { fleet.update_volume(&app, &id, order).await }
    });
    Ok(Json(fleet.volume_view(&changed.await?)))
}

async fn extend(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
    body: Bytes,
) -> Result<Json<ExtendReply>, Refusal> {
    let order: ExtendVolume = parse(&body)?;
    let extended = uninterrupted({
        let fleet = fleet.clone();
        async move { fleet.extend_volume(&app, &id, order.size_gb).await }
    });
    let volume = fleet.volume_view(&extended.await?);
    // A volume is a directory here: its machine sees the room at once.
    Ok(Json(ExtendReply { volume, needs_restart: false }))
}

async fn delete(
    State(fleet): State<Fleet>,
    Path((app, id)): Place,
) -> Result<Json<Volume>, Refusal> {
    let deleted = uninterrupted({
        let fleet = fleet.clone();
        async move { fleet.delete_volume(&app, &id).await }
    });
    let volume = fleet.volume_view(&deleted.await?);
    Ok(Json(Volume { state: "pending_destroy".to_owned(), ..volume }))
}
