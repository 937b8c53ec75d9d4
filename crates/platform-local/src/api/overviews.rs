//! `/v1/orgs/{slug}`: the machines and volumes of all apps of an organization, oldest change
//! first, page by page.

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    routing::get,
};
use jiff::Timestamp;
use machines_api::types::{OrgMachine, OrgMachines, OrgVolume, OrgVolumes, OverviewConfig};

use super::{Pairs, flag, has_state, value};
use crate::{clock, error::Refusal, fleet::Fleet};

/// The largest page (Fly's number).
const PAGE_MAX: usize = 1000;

pub(super) fn routes() -> Router<Fleet> {
    Router::new()
        .route("/v1/orgs/{slug}/machines", get(machines))
        .route("/v1/orgs/{slug}/volumes", get(volumes))
}

async fn machines(
    State(fleet): State<Fleet>,
    Path(slug): Path<String>,
    Query(query): Query<Pairs>,
) -> Result<Json<OrgMachines>, Refusal> {
    let page = Page::of(&query)?;
    let mut found = Vec::new();
    for app in fleet.apps().into_iter().filter(|app| app.organization == slug) {
        for machine in fleet.every_machine_of(&app.name) {
            let record = &machine.snapshot().record;
            let is_hidden = record.is_gone() && !flag(&query, "include_deleted");
            if is_hidden
                || !has_state(&query, record.state.as_str())
                || value(&query, "region").is_some_and(|region| region != record.region)
            {
                continue;
            }
            let config = OverviewConfig {
                image: record.config.image.clone(),
                guest: record.config.guest.clone(),
                metadata: record.config.metadata.clone(),
            };
            found.push(OrgMachine {
                app_name: app.name.clone(),
                id: record.id.clone(),
                name: record.name.clone(),
                state: record.state,
                region: record.region.clone(),
                version: record.instance_id.clone(),
                private_ip: record.private_ip(),
                config: (!flag(&query, "summary")).then_some(config),
                created_at: Some(record.created_at),
                updated_at: Some(record.updated_at),
            });
        }
    }
    let place = |machine: &OrgMachine| Place::new(machine.updated_at, &machine.id);
    let (machines, next_cursor) = page.cut(found, place);
    let last = machines.last();
    Ok(Json(OrgMachines {
        last_machine_id: last.map(|last| last.id.clone()).unwrap_or_default(),
        last_updated_at: last.and_then(|last| last.updated_at),
        next_cursor,
        machines,
    }))
}

async fn volumes(
    State(fleet): State<Fleet>,
    Path(slug): Path<String>,
    Query(query): Query<Pairs>,
) -> Result<Json<OrgVolumes>, Refusal> {
    let page = Page::of(&query)?;
    let mut found = Vec::new();
    for app in fleet.apps().into_iter().filter(|app| app.organization == slug) {
        for volume in fleet.volumes_of(&app.name) {
            if value(&query, "region").is_none_or(|region| region == volume.region) {
                found.push(OrgVolume {
                    app_name: app.name.clone(),
                    updated_at: Some(volume.updated_at),
                    volume: fleet.volume_view(&volume),
                });
            }
        }
    }
    found.retain(|volume| has_state(&query, &volume.volume.state));
    let place = |volume: &OrgVolume| Place::new(volume.updated_at, &volume.volume.id);
    let (volumes, next_cursor) = page.cut(found, place);
    let last = volumes.last();
    Ok(Json(OrgVolumes {
        last_volume_id: last.map(|last| last.volume.id.clone()).unwrap_or_default(),
        last_updated_at: last.and_then(|last| last.updated_at),
        next_cursor,
        volumes,
    }))
}

/// Where an entry stands among all: by the time of its last change, then by its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    updated_at: Timestamp,
    id: String,
}

impl Place {
    fn new(updated_at: Option<Timestamp>, id: &str) -> Self {
        Self { updated_at: updated_at.unwrap_or_else(clock::now), id: id.to_owned() }
    }

    fn cursor(&self) -> String {
        format!("{}_{}", self.updated_at.as_nanosecond(), self.id)
    }

    fn parse(cursor: &str) -> Option<Self> {
        let (nanoseconds, id) = cursor.split_once('_')?;
        let updated_at = Timestamp::from_nanosecond(nanoseconds.parse().ok()?).ok()?;
        Some(Self { updated_at, id: id.to_owned() })
    }
}

/// The part of all entries that was asked for.
#[derive(Debug)]
struct Page {
    after: Option<Place>,
    updated_after: Option<Timestamp>,
    limit: usize,
}

impl Page {
    fn of(query: &Pairs) -> Result<Self, Refusal> {
        let refused = |name: &str, text: &str| {
            Refusal::bad_request(format!("invalid_argument: `{name}` cannot be read: `{text}`"))
        };
        let given = |name| value(query, name).filter(|text| !text.is_empty());
        let after = given("cursor")
            .map(|text| Place::parse(text).ok_or_else(|| refused("cursor", text)))
            .transpose()?;
        let updated_after = given("updated_after")
            .map(|text| text.parse().map_err(|_invalid| refused("updated_after", text)))
            .transpose()?;
        let limit = given("limit")
            .map(|text| text.parse().map_err(|_invalid| refused("limit", text)))
            .transpose()?;
        let limit = limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        // A cursor says all: it goes before a time.
        let updated_after = updated_after.filter(|_| after.is_none());
        Ok(Self { after, updated_after, limit })
    }

    /// The page, and the cursor of the next one if there is more.
    fn cut<T>(&self, mut all: Vec<T>, place: impl Fn(&T) -> Place) -> (Vec<T>, String) {
        all.retain(|entry| {
            let place = place(entry);
            self.after.as_ref().is_none_or(|after| place > *after)
                && self.updated_after.is_none_or(|after| place.updated_at > after)
        });
        all.sort_by_cached_key(|entry| place(entry));
        let is_more = all.len() > self.limit;
        all.truncate(self.limit);
        let next = all.last().filter(|_| is_more).map(|last| place(last).cursor());
        (all, next.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let at = |second, id: &str| Place {
            updated_at: Timestamp::from_second(second).expect("a time"),
            id: id.to_owned(),
        };
        let all = vec![at(2, "b"), at(1, "z"), at(2, "a"), at(3, "c"), at(2, "c")];
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let query = vec![("limit".to_owned(), "2".to_owned()), ("cursor".to_owned(), cursor)];
            let (page, next) = Page::of(&query).expect("a page").cut(all.clone(), Clone::clone);
            seen.extend(page.into_iter().map(|place| place.id));
            if next.is_empty() {
                break;
            }
            cursor = next;
        }
        assert_eq!(seen, ["z", "a", "b", "c", "c"]);
    }

    #[test]
    fn a_page_that_cannot_be_is_refused() {
        for (name, text) in [("cursor", "x"), ("limit", "-1"), ("updated_after", "yesterday")] {
            assert!(Page::of(&vec![(name.to_owned(), text.to_owned())]).is_err(), "{name}");
        }
    }
}
