//! `[[vm]]`: the size of a machine. Preset first, then `memory`, then the single
//! fields, as in Fly's client. Whether the platform offers that size is its own affair.

use super::PerGroup;
use super::diagnostic::Problems;
use super::field::{Field, Form, Section};
use crate::types::Guest;

/// The memory of a preset, per CPU, in MB.
const SHARED_MEMORY_MB: u64 = 256;
const PERFORMANCE_MEMORY_MB: u64 = 2048;

/// Far above the largest machine that Fly documents.
const CPUS: std::ops::RangeInclusive<i64> = 1..=1024;
const MEMORY_MB: std::ops::RangeInclusive<i64> = 1..=16 * 1024 * 1024;

/// The names under which the section is known.
const SPELLINGS: [&str; 4] = ["vm", "vms", "compute", "computes"];

/// Fly's default size, `shared-cpu-1x`.
pub(super) fn default_guest() -> Guest {
    Guest {
        cpu_kind: "shared".to_owned(),
        cpus: 1,
        memory_mb: SHARED_MEMORY_MB,
        ..Guest::default()
    }
}

pub(super) fn guests(root: &Section<'_>, problems: &mut Problems) -> Vec<PerGroup<Guest>> {
    let mut guests = Vec::new();
    for key in SPELLINGS {
        for section in root.sections(key, Form::ListOrTable, problems) {
            let processes = section.strings("processes", problems);
            guests.push(PerGroup { value: guest(&section, problems), processes });
        }
    }
    guests
}

fn guest(section: &Section<'_>, problems: &mut Problems) -> Guest {
    let mut guest = match section.get("size") {
        Some(field) => preset(&field, problems).unwrap_or_else(default_guest),
        None => default_guest(),
    };
    if let Some(kind) = section.string("cpu_kind", problems) {
        guest.cpu_kind = kind;
    }
    if let Some(cpus) = section.integer("cpus", CPUS, problems) {
        guest.cpus = cpus;
    }
    if let Some(field) = section.get("memory") {
        guest.memory_mb = memory(&field, problems).unwrap_or(guest.memory_mb);
    }
    if let Some(memory_mb) = section.integer("memory_mb", MEMORY_MB, problems) {
        guest.memory_mb = memory_mb;
    }
    if let Some(field) = section.get("kernel_args") {
        let arguments = field.strings(problems);
        guest.rest.insert("kernel_args".to_owned(), arguments.into());
    }
    for key in ["max_memory_mb", "gpus", "gpu_kind", "host_dedication_id", "persist_rootfs"] {
        if let Some(field) = section.get(key) {
            guest.rest.insert(key.to_owned(), field.json());
        }
    }
    guest
}

/// `shared-cpu-2x`, `performance-4x`.
fn preset(field: &Field<'_>, problems: &mut Problems) -> Option<Guest> {
    let name = field.text().unwrap_or_default();
    let sized = [
        ("shared-cpu-", "shared", SHARED_MEMORY_MB),
        ("performance-", "performance", PERFORMANCE_MEMORY_MB),
    ];
    for (prefix, cpu_kind, memory_mb) in sized {
        let count = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('x'));
        let cpus = count.and_then(|count| count.parse::<u32>().ok());
        if let Some(cpus) = cpus.filter(|cpus| CPUS.contains(&i64::from(*cpus))) {
            return Some(Guest {
                cpu_kind: cpu_kind.to_owned(),
                cpus,
                memory_mb: memory_mb * u64::from(cpus),
                ..Guest::default()
            });
        }
    }
    field.wrong(
        problems,
        "a size such as `shared-cpu-1x` or `performance-2x`",
        "write `size = \"shared-cpu-1x\"`, or `cpu_kind`, `cpus` and `memory`",
    );
    None
}

/// `"512mb"`, `"1gb"`, `"512"` or 512; a bare number is MB.
fn memory(field: &Field<'_>, problems: &mut Problems) -> Option<u64> {
    let megabytes = match (field.number(), field.text()) {
        (Some(number), _) => u64::try_from(number).ok(),
        (None, Some(text)) => parse_megabytes(text),
        (None, None) => None,
    };
    let fitting = megabytes.filter(|megabytes| {
        i64::try_from(*megabytes).is_ok_and(|megabytes| MEMORY_MB.contains(&megabytes))
    });
    if fitting.is_none() {
        field.wrong(problems, "an amount of memory above zero", "write `memory = \"512mb\"`");
    }
    fitting
}

pub(super) fn parse_megabytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let number_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let scale = match unit.trim() {
        "" | "m" | "mb" | "mib" => 1,
        "g" | "gb" | "gib" => 1024,
        "t" | "tb" | "tib" => 1024 * 1024,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_every_spelling_of_fly() {
        for (text, expected) in [
            ("512mb", Some(512)),
            ("1gb", Some(1024)),
            ("512", Some(512)),
            ("2 GB", Some(2048)),
            ("1kb", None),
            ("", None),
            ("99999999999999999999gb", None),
        ] {
            assert_eq!(parse_megabytes(text), expected, "{text}");
        }
    }
}
