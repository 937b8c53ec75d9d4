//! `/metrics`: what the platform measures, and `/metrics/targets`: where the programs of machines
//! serve metrics of their own, for Prometheus' HTTP service discovery. Neither asks for a token,
//! as scrapers on the same computer expect.

use axum::{
    Json, Router,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
    routing::get,
};

use crate::fleet::Fleet;

pub(super) fn routes() -> Router<Fleet> {
    Router::new().route("/metrics", get(metrics)).route("/metrics/targets", get(targets))
}

async fn metrics(State(fleet): State<Fleet>) -> Response {
    let text = fleet.metrics().render(&fleet.surroundings(), &fleet.gauges());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn targets(State(fleet): State<Fleet>) -> Json<Vec<serde_json::Value>> {
    Json(fleet.metrics_targets())
}
