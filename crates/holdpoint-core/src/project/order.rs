//! The services among each other: what comes after what, and that no two share
//! an app. It reads and changes no single service.

use std::collections::BTreeSet;
use std::ops::Range;

use super::report::Report;
use super::service::{Draft, Placement, Service};
use super::similar::did_you_mean;

/// The services' names, each after all that it names in `after`; otherwise in
/// the given order. Members of a circle come last.
pub(super) fn in_order(services: &[Service]) -> Vec<&str> {
    let known: BTreeSet<&str> = services.iter().map(|service| service.name.as_str()).collect();
    let mut waiting: Vec<&Service> = services.iter().collect();
    let mut order: Vec<&str> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_ready = |service: &&Service| {
            service
                .after
                .iter()
                .all(|name| !known.contains(name.as_str()) || order.contains(&name.as_str()))
        };
        let ready = waiting.iter().position(is_ready).unwrap_or(0);
        order.push(waiting.remove(ready).name.as_str());
    }
    order
}

/// Notes everything that is wrong between services.
pub(super) fn refuse_misfits(report: &Report<'_>, drafts: &[Draft]) {
    report.distinct("services", drafts.iter().map(|draft| (draft.name(), &draft.name_place)));
    refuse_shared_configs(report, drafts);
    refuse_unknown_targets(report, drafts);
    refuse_cycles(report, drafts);
}

/// Two places with one `fly.toml` would be one app, changed twice.
fn refuse_shared_configs(report: &Report<'_>, drafts: &[Draft]) {
    let configs = drafts.iter().flat_map(|draft| -> [(&Placement, &Range<usize>); 2] {
        let [staging, production] = &draft.config_places;
        [(&draft.service.staging, staging), (&draft.service.production, production)]
    });
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (placement, place) in configs {
        let config = placement.config.as_str();
        if !config.is_empty() && !seen.insert(config) {
            report.error(
                place,
                format!("`{config}` is already another app's config, and one app cannot serve two purposes"),
                "give each service a file of its own for staging and for production",
            );
        }
    }
}

fn refuse_unknown_targets(report: &Report<'_>, drafts: &[Draft]) {
    for draft in drafts {
        for (target, place) in draft.service.after.iter().zip(&draft.after_places) {
            if drafts.iter().any(|other| other.name() == target) {
                continue;
            }
            let others: Vec<&str> =
                drafts.iter().map(Draft::name).filter(|name| *name != draft.name()).collect();
            let hint = match did_you_mean(target, others.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "name a service of this file, or remove it".to_owned(),
            };
            report.absent(
                place,
                format!(
                    "`{}` comes after `{target}`, which is no service of this project",
                    draft.name()
                ),
                hint,
            );
        }
    }
}

/// One error for each circle of `after`, at its first service in the file.
fn refuse_cycles(report: &Report<'_>, drafts: &[Draft]) {
    let mut remaining: Vec<&Draft> = drafts.iter().collect();
    loop {
        remove_those_with_a_beginning(&mut remaining);
        let Some(cycle) = find_cycle(&remaining) else { return };
        let names: Vec<&str> = cycle.iter().map(|draft| draft.name()).collect();
        if let Some(first) = cycle.first() {
            let next = names.get(1).or(names.first()).copied().unwrap_or_default();
            let place = first
                .service
                .after
                .iter()
                .position(|target| target == next)
                .and_then(|index| first.after_places.get(index))
                .unwrap_or(&first.name_place);
            let circle: Vec<String> =
                names.iter().skip(1).chain(names.first()).map(|name| format!("`{name}`")).collect();
            report.error(
                place,
                format!(
                    "the order has no beginning: `{}` comes after {}",
                    first.name(),
                    circle.join(", which comes after ")
                ),
                "remove one of these from `after`",
            );
        }
        remaining.retain(|draft| !names.contains(&draft.name()));
    }
}

/// Takes away every service that can be put in order.
fn remove_those_with_a_beginning(remaining: &mut Vec<&Draft>) {
    loop {
        let names: BTreeSet<&str> = remaining.iter().map(|draft| draft.name()).collect();
        let before = remaining.len();
        remaining
            .retain(|draft| draft.service.after.iter().any(|name| names.contains(name.as_str())));
        if remaining.len() == before {
            return;
        }
    }
}

/// A circle among services that all come after another of them, from its first in the file on.
fn find_cycle<'d>(remaining: &[&'d Draft]) -> Option<Vec<&'d Draft>> {
    let mut path: Vec<&Draft> = Vec::new();
    let mut at = remaining.first().copied()?;
    loop {
        if let Some(start) = path.iter().position(|draft| draft.name() == at.name()) {
            let mut cycle = path.split_off(start);
            let first = cycle
                .iter()
                .enumerate()
                .min_by_key(|(_, draft)| draft.name_place.start)
                .map_or(0, |(index, _)| index);
            cycle.rotate_left(first);
            return Some(cycle);
        }
        path.push(at);
        at = remaining
            .iter()
            .copied()
            .find(|draft| at.service.after.contains(&draft.service.name))?;
    }
}
