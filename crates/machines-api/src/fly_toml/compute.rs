//! `[[vm]]`: the size of a machine. Preset first, then `memory`, then the single
//! fields, as in Fly's client. Whether the platform offers that size is its own affair.

use super::diagnostic::{Problem, Problems};
use super::field::Field;
use super::group::PerGroup;
use super::literal;
use super::repair::Edit;
use super::section::{Form, Section};
use crate::types::Guest;

/// The memory of a preset, per CPU, in MB.
const SHARED_MEMORY_MB: u64 = 256;
const PERFORMANCE_MEMORY_MB: u64 = 2048;

/// Far above the largest machine that Fly documents.
const PRESET_CPUS: std::ops::RangeInclusive<u32> = 1..=1024;
const CPUS: std::ops::RangeInclusive<i64> = 0..=1024;
const MEMORY_MB: std::ops::RangeInclusive<i64> = 0..=16 * 1024 * 1024;

/// The names under which the section is known, in the order in which Fly's client reads them.
pub(super) const SPELLINGS: [&str; 3] = ["compute", "computes", "vm"];

/// The size with a GPU, when no other is named.
const GPU_SIZE: &str = "performance-8x";

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
    let host = root.string("host_dedication_id", problems);
    let mut guests = Vec::new();
    for key in SPELLINGS {
        for section in sections_in_lower_case(root, key, problems) {
            let processes = section.strings("processes", problems);
            let mut value = guest(&section, problems);
            if let Some(host) = &host {
                let key = "host_dedication_id".to_owned();
                value.rest.entry(key).or_insert_with(|| host.as_str().into());
            }
            guests.push(PerGroup { value, processes });
        }
    }
    guests
}

/// The tables of a section that Fly's client collects under its own name: under a name with
/// capitals it finds nothing, and then writes an empty list over what is there.
pub(super) fn sections_in_lower_case<'d>(
    root: &Section<'d>,
    key: &str,
    problems: &mut Problems,
) -> Vec<Section<'d>> {
    let Some(field) = root.get(key) else { return Vec::new() };
    if field.is_mended {
        return field.sections(Form::ListOrTable, problems);
    }
    let message = format!("`{key}` is written with capitals, and Fly's client drops it silently");
    let hint = format!("write `{key}` in lower case");
    let repair = field.repaired(Edit::Rename(key.to_owned()));
    problems.push(Problem::warning(&field.span, message, hint).mended_by(repair));
    Vec::new()
}

/// `[vm]`, or `[deploy.release_command_vm]`.
pub(super) fn guest(section: &Section<'_>, problems: &mut Problems) -> Guest {
    let has_gpu = section.get("gpu_kind").is_some_and(|field| field.text().is_some());
    let default = || if has_gpu { sized(GPU_SIZE) } else { None }.unwrap_or_else(default_guest);
    let mut guest = match section.get("size") {
        Some(field) => preset(&field, problems).unwrap_or_else(default),
        None => default(),
    };
    if let Some(field) = section.get("memory") {
        guest.memory_mb = memory(&field, problems).unwrap_or(guest.memory_mb);
    }
    // Fly's client takes zero and an empty text for absent in these.
    if let Some(kind) = section.string("cpu_kind", problems).filter(|kind| !kind.is_empty()) {
        guest.cpu_kind = kind;
    }
    if let Some(cpus) = section.integer("cpus", CPUS, problems).filter(|cpus| *cpus > 0) {
        guest.cpus = cpus;
    }
    let memory_mb = section.integer("memory_mb", MEMORY_MB, problems);
    if let Some(memory_mb) = memory_mb.filter(|memory_mb| *memory_mb > 0) {
        guest.memory_mb = memory_mb;
    }
    if let Some(field) = section.get("kernel_args") {
        let arguments = kernel_arguments(&field, problems);
        guest.rest.insert("kernel_args".to_owned(), arguments.into());
    }
    for key in ["max_memory_mb", "gpus"] {
        let number: Option<u64> = section.integer(key, MEMORY_MB, problems);
        guest.rest.extend(number.map(|number| (key.to_owned(), number.into())));
    }
    for key in ["gpu_kind", "host_dedication_id", "persist_rootfs"] {
        let text = section.string(key, problems);
        guest.rest.extend(text.map(|text| (key.to_owned(), text.into())));
    }
    guest
}

/// Fly's own pages show one text here, which its client refuses.
fn kernel_arguments(field: &Field<'_>, problems: &mut Problems) -> Vec<String> {
    let Some(text) = field.text() else { return field.strings(problems) };
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let listed = literal::list(&words);
    let hint = format!("write `kernel_args = {listed}`");
    problems.push(field.mistake("a list of texts", &hint).mended_by(field.becomes(listed)));
    words
}

/// `shared-cpu-2x`, `performance-4x`.
fn preset(field: &Field<'_>, problems: &mut Problems) -> Option<Guest> {
    let name = field.text().unwrap_or_default();
    if let Some(guest) = sized(name) {
        return Some(guest);
    }
    let meant = name.trim().to_ascii_lowercase();
    let repair = sized(&meant).map(|_| field.becomes(literal::quoted(&meant)));
    let problem = field.mistake(
        "a size such as `shared-cpu-1x` or `performance-2x`",
        "write `size = \"shared-cpu-1x\"`, or `cpu_kind`, `cpus` and `memory`",
    );
    problems.push(problem.mended_by(repair));
    None
}

fn sized(name: &str) -> Option<Guest> {
    let kinds = [
        ("shared-cpu-", "shared", SHARED_MEMORY_MB),
        ("performance-", "performance", PERFORMANCE_MEMORY_MB),
    ];
    kinds.into_iter().find_map(|(prefix, cpu_kind, memory_mb)| {
        let count = name.strip_prefix(prefix)?.strip_suffix('x')?;
        let cpus: u32 = count.parse().ok().filter(|cpus| PRESET_CPUS.contains(cpus))?;
        Some(Guest {
            cpu_kind: cpu_kind.to_owned(),
            cpus,
            memory_mb: memory_mb * u64::from(cpus),
            ..Guest::default()
        })
    })
}

/// `"512mb"`, `"1gb"`, `"512"` or, in `[vm]`, 512; a bare number is MB.
fn memory(field: &Field<'_>, problems: &mut Problems) -> Option<u64> {
    let megabytes = match (field.number(), field.text()) {
        (Some(number), _) if field.is_mended => u64::try_from(number).ok(),
        (Some(_), _) => return field.string(problems).and(None),
        // An empty text is absent.
        (None, Some("")) => return None,
        (None, Some(text)) => size(text, BINARY).map(|bytes| bytes.in_units(MEGABYTE)),
        (None, None) => None,
    };
    let fitting = megabytes.filter(|megabytes| {
        i64::try_from(*megabytes).is_ok_and(|megabytes| MEMORY_MB.contains(&megabytes))
    });
    if fitting.is_none_or(|megabytes| megabytes == 0) {
        field.wrong(problems, "an amount of memory above zero", "write `memory = \"512mb\"`");
        return None;
    }
    fitting
}

/// What `k` is worth: memory counts in powers of 1024, volumes in powers of 1000.
pub(super) const BINARY: f64 = 1024.0;
pub(super) const DECIMAL: f64 = 1000.0;

const MEGABYTE: f64 = BINARY * BINARY;

/// A size as Fly's client reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Size {
    /// A number without a unit, in whatever unit the setting has.
    Bare(u64),
    Bytes(f64),
}

impl Size {
    /// Whole units of so many bytes; what is left over is cut off.
    pub(super) fn in_units(self, unit_bytes: f64) -> u64 {
        match self {
            Self::Bare(number) => number,
            // A size too large to be told exactly is too large for any limit, too.
            Self::Bytes(bytes) => {
                format!("{:.0}", (bytes / unit_bytes).floor()).parse().unwrap_or(u64::MAX)
            }
        }
    }
}

/// `512`, `512mb`, `1.5 GiB`; the letter is what counts.
pub(super) fn size(text: &str, kilo: f64) -> Option<Size> {
    if let Ok(number) = text.parse() {
        return Some(Size::Bare(number));
    }
    let number_end = text.rfind(|c: char| c.is_ascii_digit() || c == '.')? + 1;
    let (number, unit) = text.split_at(number_end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let letters = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
    let power = match letters {
        "" if unit != "ib" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    (number.is_finite() && number >= 0.0).then(|| Size::Bytes(number * kilo.powi(power)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_every_spelling_of_fly() {
        for (text, expected) in [
            ("512mb", Some(512)),
            ("512MiB", Some(512)),
            ("1gb", Some(1024)),
            ("1.5gb", Some(1536)),
            ("512", Some(512)),
            ("2 GB", Some(2048)),
            ("1kb", Some(0)),
            ("", None),
            ("2  GB", None),
            ("-1gb", None),
            ("1ib", None),
            ("99999999999999999999gb", Some(u64::MAX)),
        ] {
            let read = size(text, BINARY).map(|bytes| bytes.in_units(MEGABYTE));
            assert_eq!(read, expected, "{text}");
        }
    }
}
