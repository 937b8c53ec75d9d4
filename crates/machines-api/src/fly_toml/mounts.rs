//! `[[mounts]]`: the volumes of a machine.

use serde_json::Value;

use super::compute::{DECIMAL, sections_in_lower_case, size};
use super::diagnostic::Problems;
use super::field::Field;
use super::group::PerGroup;
use super::section::Section;
use crate::types::Mount;

/// Fly's bounds of automatic growth, in percent and GB.
const THRESHOLD_PERCENT: std::ops::RangeInclusive<i64> = 50..=99;
const INCREMENT_GB: std::ops::RangeInclusive<u64> = 1..=100;
const LIMIT_GB: std::ops::RangeInclusive<u64> = 1..=500;

const GIGABYTE: f64 = DECIMAL * DECIMAL * DECIMAL;

/// How long Fly keeps snapshots of a volume.
const RETENTION_DAYS: std::ops::RangeInclusive<i64> = 1..=60;

pub(super) fn mounts(root: &Section<'_>, problems: &mut Problems) -> Vec<PerGroup<Mount>> {
    let mut mounts = Vec::new();
    for key in ["mount", "mounts"] {
        for section in sections_in_lower_case(root, key, problems) {
            let processes = section.strings("processes", problems);
            mounts.push(PerGroup { value: mount(&section, problems), processes });
        }
    }
    mounts
}

fn mount(section: &Section<'_>, problems: &mut Problems) -> Mount {
    let path = section.string("destination", problems).unwrap_or_default();
    if !path.starts_with('/') {
        let message = format!("`{}` needs a destination that starts with `/`", section.path);
        problems.add(&section.span, message, "write `destination = \"/data\"`");
    }
    let mut mount = Mount {
        path,
        name: section.string("source", problems),
        size_gb: section.get("initial_size").and_then(|field| initial_size(&field, problems)),
        ..Mount::default()
    };
    section.integer::<u64>("snapshot_retention", RETENTION_DAYS, problems);
    section.boolean("scheduled_snapshots", problems);
    let threshold: Option<u64> =
        section.integer("auto_extend_size_threshold", THRESHOLD_PERCENT, problems);
    let mut size = |key: &str, range, hint| {
        section.get(key).and_then(|field| gigabytes(&field, range, hint, problems))
    };
    let hint = "auto_extend_size_increment = \"1gb\"";
    let increment = size("auto_extend_size_increment", INCREMENT_GB, hint);
    let limit = size("auto_extend_size_limit", LIMIT_GB, "auto_extend_size_limit = \"10gb\"");
    let keys = ["threshold", "increment", "limit"].map(|part| format!("auto_extend_size_{part}"));
    let given = keys.iter().filter(|key| section.get(key).is_some()).count();
    if given != 0 && given != keys.len() {
        let message = format!("`{}` gives only {given} of 3 settings to grow by", section.path);
        problems.add(&section.span, message, format!("write all of `{}`", keys.join("`, `")));
    }
    for (key, value) in [
        ("extend_threshold_percent", threshold),
        ("add_size_gb", increment),
        ("size_gb_limit", limit),
    ] {
        mount.rest.extend(value.map(|value| (key.to_owned(), Value::from(value))));
    }
    mount
}

/// `10` or `"10"` (GB), `"10gb"`; empty is absent.
fn initial_size(field: &Field<'_>, problems: &mut Problems) -> Option<u64> {
    match field.number() {
        Some(number) if number >= 1 => u64::try_from(number).ok(),
        Some(_) => gigabytes(field, 1..=u64::MAX, "initial_size = \"1gb\"", problems),
        None if field.text() == Some("") => None,
        None => gigabytes(field, 1..=u64::MAX, "initial_size = \"1gb\"", problems),
    }
}

/// `"10"` (GB) or `"10gb"`.
fn gigabytes(
    field: &Field<'_>,
    range: std::ops::RangeInclusive<u64>,
    example: &str,
    problems: &mut Problems,
) -> Option<u64> {
    let read = field.text().and_then(|text| size(text, DECIMAL));
    let read = read.map(|size| size.in_units(GIGABYTE)).filter(|size| range.contains(size));
    if read.is_none() {
        let expected = if *range.end() == u64::MAX {
            "a size of at least 1 GB".to_owned()
        } else {
            format!("a size from {} to {} GB, as text", range.start(), range.end())
        };
        let number = field.number().and_then(|number| u64::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        let repair = number.map(|number| field.becomes(format!("\"{number}gb\"")));
        let problem = field.mistake(&expected, &format!("write `{example}`"));
        problems.push(problem.mended_by(repair));
    }
    read
}
