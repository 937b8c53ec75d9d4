//! `/api/v1/apps/{app}/logs`: the log lines of an app, a page at a time. A client that follows
//! them asks again and again with the token of the page before.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    routing::get,
};
use serde_json::{Value, json};

use super::{Pairs, value};
use crate::{
    error::Refusal,
    fleet::Fleet,
    log::{LogLine, Wanted},
};

/// Lines that come first, when no token says where to go on (Fly's number).
const NEWEST_LINES: usize = 100;

/// Lines of a page that goes on from another.
const PAGE_LINES: usize = 500;

pub(super) fn routes() -> Router<Fleet> {
    Router::new().route("/api/v1/apps/{app}/logs", get(list))
}

async fn list(
    State(fleet): State<Fleet>,
    Path(app): Path<String>,
    Query(query): Query<Pairs>,
) -> Result<Json<Value>, Refusal> {
    fleet.app(&app)?;
    let given = |name| value(&query, name).filter(|value: &&str| !value.is_empty());
    let token = given("next_token");
    let after_ns = token.map(str::parse).transpose().map_err(|_invalid| {
        Refusal::bad_request("`next_token` is none that this platform gave out")
    })?;
    let region = fleet.settings().region;
    let count_max = if after_ns.is_some() { PAGE_LINES } else { NEWEST_LINES };
    let lines = if given("region").is_some_and(|wanted| wanted != region) {
        Vec::new()
    } else {
        let wanted = Wanted { after_ns, machine: given("instance"), count_max };
        fleet.context.logs.read(&app, &wanted)
    };
    let next = lines.last().map(|line| line.at_ns.to_string());
    let next = next.or_else(|| token.map(str::to_owned)).unwrap_or_default();
    let data: Vec<_> = lines.iter().map(|line| view(line, &region)).collect();
    Ok(Json(json!({"data": data, "meta": {"next_token": next}})))
}

fn view(line: &LogLine, region: &str) -> Value {
    let at = jiff::Timestamp::from_nanosecond(line.at_ns.into()).unwrap_or_default();
    let (id, name) = line.machine.clone().unwrap_or_default();
    json!({
        "id": line.at_ns.to_string(),
        "type": "log",
        "attributes": {
            "timestamp": at.to_string(),
            "message": line.text,
            "level": line.level.as_str(),
            "instance": id,
            "region": region,
            "meta": {
                "instance": id,
                "machine_name": name,
                "region": region,
                "event": {"provider": line.provider.as_str()},
            },
        },
    })
}
