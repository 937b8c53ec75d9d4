//! Examples of what a mutation may show, with one entry in every list. A selection is tried on them
//! before the mutation is done, so that one that asks for an unknown field changes nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use machines_api::types::{IpAssignment, Machine, MachineEvent, Secret};
use serde_json::Value;

use super::{
    app::{self, text},
    error::GraphqlError,
    execute::{Answer, Arguments},
    view,
};
use crate::fleet::{AppRecord, Fleet, ReleaseRecord, ReleaseStatus};

pub(super) fn app() -> Answer {
    Answer::App(Box::new(AppRecord {
        id: String::new(),
        name: String::new(),
        organization: "personal".to_owned(),
        network: None,
        created_at: Timestamp::UNIX_EPOCH,
        secrets_version: 0,
        secrets: BTreeMap::from([(String::new(), Secret::default())]),
        addresses: vec![IpAssignment::default()],
    }))
}

/// A field of the example, in which nothing is empty that others find full.
pub(super) async fn field_of_app(
    fleet: &Fleet,
    app: &AppRecord,
    name: &str,
    arguments: &Arguments,
) -> Result<Answer, GraphqlError> {
    let json = match name {
        "currentRelease" | "currentReleaseUnprocessed" | "release" => release(),
        "releases" | "releasesUnprocessed" => {
            view::connection("ReleaseUnprocessedConnection", &[release()])
        }
        "machines" => view::connection("MachineConnection", &[machine()]),
        "machine" => {
            text(arguments, "id")?;
            machine()
        }
        _ => return app::field(fleet, app, name, arguments).await,
    };
    Ok(Answer::Json(json))
}

pub(super) fn release() -> Value {
    view::release(&ReleaseRecord {
        id: String::new(),
        version: 0,
        status: ReleaseStatus::Pending,
        strategy: String::new(),
        user: String::new(),
        image_ref: String::new(),
        definition: Value::Null,
        created_at: Timestamp::UNIX_EPOCH,
        metadata: Value::Null,
    })
}

pub(super) fn address() -> Value {
    view::address(&IpAssignment::default())
}

fn machine() -> Value {
    let machine = Machine { events: vec![MachineEvent::default()], ..Machine::default() };
    view::machine(&machine, "", "")
}
