//! `[[mounts]]`: the volumes of a machine.

use serde_json::Value;

use super::PerGroup;
use super::compute::parse_megabytes;
use super::diagnostic::Problems;
use super::field::{Field, Form, Section};
use crate::types::Mount;

/// Fly's bounds of automatic growth, in percent and GB.
const THRESHOLD_PERCENT: std::ops::RangeInclusive<i64> = 50..=99;
const INCREMENT_GB: std::ops::RangeInclusive<u64> = 1..=100;
const LIMIT_GB: std::ops::RangeInclusive<u64> = 1..=500;

const MEGABYTES_PER_GB: u64 = 1024;

pub(super) fn mounts(root: &Section<'_>, problems: &mut Problems) -> Vec<PerGroup<Mount>> {
    let mut mounts = Vec::new();
    for key in ["mounts", "mount"] {
        for section in root.sections(key, Form::ListOrTable, problems) {
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
        size_gb: section
            .get("initial_size")
            .and_then(|field| gigabytes(&field, 1..=u64::MAX, "initial_size = \"1gb\"", problems)),
        ..Mount::default()
    };
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

/// `10` or `"10"` (GB), `"10gb"`.
fn gigabytes(
    field: &Field<'_>,
    range: std::ops::RangeInclusive<u64>,
    example: &str,
    problems: &mut Problems,
) -> Option<u64> {
    let number = field.number().and_then(|number| u64::try_from(number).ok());
    let bare = field.text().and_then(|text| text.trim().parse::<u64>().ok());
    let with_unit = || field.text().and_then(parse_megabytes).map(|size| size / MEGABYTES_PER_GB);
    let size = number.or(bare).or_else(with_unit).filter(|size| range.contains(size));
    if size.is_none() {
        let expected = if *range.end() == u64::MAX {
            "a size of at least 1 GB".to_owned()
        } else {
            format!("a size from {} to {} GB", range.start(), range.end())
        };
        field.wrong(problems, &expected, &format!("write `{example}`"));
    }
    size
}
