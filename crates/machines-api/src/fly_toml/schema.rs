//! Every key that a `fly.toml` may have, old spellings included, and what is told of the others:
//! Fly's client ignores them, so a setting with a slip of the pen simply does nothing.

use std::ops::Range;

use super::diagnostic::{Problem, Problems, Severity};
use super::field::Field;
use super::section::{Form, Section};

/// Keys that are less alike than this are no suggestion.
const LIKENESS_MIN: f64 = 0.8;

/// What may stand under a key.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// A value, or a table whose keys are free.
    Free,
    /// A table, or a list of tables, with these keys.
    Keys(&'static [(&'static str, Self)]),
    /// A table of named tables with these keys; as a list, each entry has a `name`.
    Named(&'static [(&'static str, Self)]),
    /// Free names with values; as a list, entries with these keys.
    FreeOrListed(&'static [(&'static str, Self)]),
}

use Shape::{Free, FreeOrListed, Keys, Named};

const TOP: &[(&str, Shape)] = &[
    ("app", Free),
    ("primary_region", Free),
    ("kill_signal", Free),
    ("kill_timeout", Free),
    ("swap_size_mb", Free),
    ("console_command", Free),
    ("host_dedication_id", Free),
    ("machine_config", Free),
    ("container", Free),
    ("experimental", Keys(EXPERIMENTAL)),
    ("build", Keys(BUILD)),
    ("deploy", Keys(DEPLOY)),
    ("env", Free),
    ("processes", FreeOrListed(PROCESS)),
    ("mounts", Keys(MOUNT)),
    ("mount", Keys(MOUNT)),
    ("http_service", Keys(HTTP_SERVICE)),
    ("services", Keys(SERVICE)),
    ("checks", Named(MACHINE_CHECK)),
    ("files", Keys(FILE)),
    ("machine_checks", Keys(TEST_MACHINE)),
    ("restart", Keys(RESTART)),
    ("vm", Keys(VM)),
    ("compute", Keys(VM)),
    ("computes", Keys(VM)),
    ("statics", Keys(STATIC)),
    ("metrics", Keys(METRICS)),
    ("metric", Keys(METRICS)),
];

const EXPERIMENTAL: &[(&str, Shape)] = &[
    ("cmd", Free),
    ("entrypoint", Free),
    ("exec", Free),
    ("auto_rollback", Free),
    ("enable_consul", Free),
    ("enable_etcd", Free),
    ("lazy_load_images", Free),
    ("attached", Free),
    ("machine_config", Free),
    ("kill_timeout", Free),
    ("metrics_port", Free),
    ("metrics_path", Free),
];

const BUILD: &[(&str, Shape)] = &[
    ("builder", Free),
    ("args", Free),
    ("buildpacks", Free),
    ("image", Free),
    ("settings", Free),
    ("builtin", Free),
    ("dockerfile", Free),
    ("ignorefile", Free),
    ("build-target", Free),
    ("build_target", Free),
    ("compose", Keys(&[("file", Free)])),
    ("compression", Free),
    ("compression_level", Free),
];

const DEPLOY: &[(&str, Shape)] = &[
    ("strategy", Free),
    ("max_unavailable", Free),
    ("wait_timeout", Free),
    ("release_command", Free),
    ("release_command_timeout", Free),
    ("release_command_vm", Keys(VM)),
    ("seed_command", Free),
];

const PROCESS: &[(&str, Shape)] = &[("name", Free), ("command", Free)];

const MOUNT: &[(&str, Shape)] = &[
    ("source", Free),
    ("destination", Free),
    ("initial_size", Free),
    ("snapshot_retention", Free),
    ("scheduled_snapshots", Free),
    ("auto_extend_size_threshold", Free),
    ("auto_extend_size_increment", Free),
    ("auto_extend_size_limit", Free),
    ("processes", Free),
];

const HTTP_SERVICE: &[(&str, Shape)] = &[
    ("internal_port", Free),
    ("force_https", Free),
    ("auto_stop_machines", Free),
    ("auto_start_machines", Free),
    ("min_machines_running", Free),
    ("processes", Free),
    ("concurrency", Keys(CONCURRENCY)),
    ("tls_options", Keys(TLS_OPTIONS)),
    ("http_options", Keys(HTTP_OPTIONS)),
    ("checks", Keys(HTTP_CHECK)),
    ("machine_checks", Keys(TEST_MACHINE)),
];

const SERVICE: &[(&str, Shape)] = &[
    ("protocol", Free),
    ("internal_port", Free),
    ("auto_stop_machines", Free),
    ("auto_start_machines", Free),
    ("min_machines_running", Free),
    ("ports", Keys(PORT)),
    ("concurrency", Keys(CONCURRENCY)),
    ("tcp_checks", Keys(TCP_CHECK)),
    ("http_checks", Keys(HTTP_CHECK)),
    ("machine_checks", Keys(TEST_MACHINE)),
    ("processes", Free),
];

const PORT: &[(&str, Shape)] = &[
    ("port", Free),
    ("start_port", Free),
    ("end_port", Free),
    ("handlers", Free),
    ("force_https", Free),
    ("tls_options", Keys(TLS_OPTIONS)),
    ("http_options", Keys(HTTP_OPTIONS)),
    ("proxy_proto_options", Keys(&[("version", Free)])),
];

const CONCURRENCY: &[(&str, Shape)] = &[("type", Free), ("soft_limit", Free), ("hard_limit", Free)];

const TLS_OPTIONS: &[(&str, Shape)] =
    &[("alpn", Free), ("versions", Free), ("default_self_signed", Free)];

const HTTP_OPTIONS: &[(&str, Shape)] = &[
    ("compress", Free),
    ("response", Keys(&[("headers", Free), ("pristine", Free)])),
    ("h2_backend", Free),
    ("idle_timeout", Free),
    ("headers_read_timeout", Free),
    ("replay_cache", Keys(REPLAY_CACHE)),
];

const REPLAY_CACHE: &[(&str, Shape)] = &[
    ("path_prefix", Free),
    ("ttl_seconds", Free),
    ("type", Free),
    ("name", Free),
    ("allow_bypass", Free),
];

const TCP_CHECK: &[(&str, Shape)] =
    &[("interval", Free), ("timeout", Free), ("grace_period", Free)];

const HTTP_CHECK: &[(&str, Shape)] = &[
    ("interval", Free),
    ("timeout", Free),
    ("grace_period", Free),
    ("method", Free),
    ("path", Free),
    ("protocol", Free),
    ("tls_skip_verify", Free),
    ("tls_server_name", Free),
    ("headers", Free),
];

const MACHINE_CHECK: &[(&str, Shape)] = &[
    ("name", Free),
    ("port", Free),
    ("type", Free),
    ("interval", Free),
    ("timeout", Free),
    ("grace_period", Free),
    ("method", Free),
    ("path", Free),
    ("protocol", Free),
    ("tls_skip_verify", Free),
    ("tls_server_name", Free),
    ("headers", Free),
    ("processes", Free),
];

const TEST_MACHINE: &[(&str, Shape)] = &[
    ("image", Free),
    ("entrypoint", Free),
    ("command", Free),
    ("kill_signal", Free),
    ("kill_timeout", Free),
];

const FILE: &[(&str, Shape)] = &[
    ("guest_path", Free),
    ("local_path", Free),
    ("secret_name", Free),
    ("raw_value", Free),
    ("processes", Free),
];

const RESTART: &[(&str, Shape)] = &[("policy", Free), ("retries", Free), ("processes", Free)];

const VM: &[(&str, Shape)] = &[
    ("size", Free),
    ("memory", Free),
    ("cpu_kind", Free),
    ("cpus", Free),
    ("memory_mb", Free),
    ("max_memory_mb", Free),
    ("gpus", Free),
    ("gpu_kind", Free),
    ("kernel_args", Free),
    ("host_dedication_id", Free),
    ("persist_rootfs", Free),
    ("processes", Free),
];

const STATIC: &[(&str, Shape)] = &[
    ("guest_path", Free),
    ("url_prefix", Free),
    ("tigris_bucket", Free),
    ("index_document", Free),
];

const METRICS: &[(&str, Shape)] =
    &[("port", Free), ("path", Free), ("https", Free), ("processes", Free)];

/// Tells every key that the schema lacks, as a problem of this severity.
pub(super) fn check(root: &Section<'_>, severity: Severity, problems: &mut Problems) {
    keys(root, TOP, severity, problems);
}

fn keys(
    section: &Section<'_>,
    known: &[(&'static str, Shape)],
    severity: Severity,
    problems: &mut Problems,
) {
    for (name, span, field) in section.entries() {
        match known.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)) {
            Some((_, shape)) => inside(&field, *shape, severity, problems),
            // What was meant is looked for only if it is told.
            None if problems.has_room(severity) => {
                problems.push(unknown(&field, name, &span, known, severity));
            }
            None => {}
        }
    }
}

fn inside(field: &Field<'_>, shape: Shape, severity: Severity, problems: &mut Problems) {
    // Wrong forms are told by those who read the section.
    let mut told = Problems::default();
    match shape {
        Free => {}
        Keys(known) => {
            for section in field.sections(Form::ListOrTable, &mut told) {
                keys(&section, known, severity, problems);
            }
        }
        FreeOrListed(known) | Named(known) if field.is_list() => {
            for section in field.sections(Form::List, &mut told) {
                keys(&section, known, severity, problems);
            }
        }
        FreeOrListed(_) => {}
        Named(known) => {
            let named = field.section(&mut told);
            for (_, field) in named.iter().flat_map(Section::fields) {
                inside(&field, Keys(known), severity, problems);
            }
        }
    }
}

fn unknown(
    field: &Field<'_>,
    name: &str,
    span: &Range<usize>,
    known: &[(&'static str, Shape)],
    severity: Severity,
) -> Problem {
    let path = &field.path;
    let message = format!("`{path}` is no setting that Fly knows, and its client ignores it");
    let hint = match nearest(name, known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => match elsewhere(name) {
            Some(place) => format!("`{name}` belongs to `[{place}]`; else remove it"),
            None => "remove it, or correct its name".to_owned(),
        },
    };
    Problem { severity, ..Problem::error(span, message, hint) }
}

fn nearest(name: &str, known: &[(&'static str, Shape)]) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    known
        .iter()
        .map(|(key, _)| (strsim::jaro_winkler(&name, key), *key))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, key)| key)
}

/// The section that has such a key, if only one has.
fn elsewhere(name: &str) -> Option<&'static str> {
    let mut sections = TOP.iter().filter(|(section, shape)| match shape {
        // Old spellings say the same as the new ones.
        Keys(_) if matches!(*section, "mount" | "compute" | "computes" | "metric") => false,
        Keys(known) => known.iter().any(|(key, _)| key.eq_ignore_ascii_case(name)),
        Free | Named(_) | FreeOrListed(_) => false,
    });
    let (only, _) = sections.next()?;
    sections.next().is_none().then_some(*only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_told_with_the_key_that_was_meant() {
        for (name, expected) in [
            ("intrenal_port", Some("internal_port")),
            ("auto-stop-machines", Some("auto_stop_machines")),
            ("autostop", Some("auto_stop_machines")),
            ("min_machines", Some("min_machines_running")),
            ("colour", None),
        ] {
            assert_eq!(nearest(name, HTTP_SERVICE), expected, "{name}");
        }
    }

    #[test]
    fn a_key_of_another_section_is_told_with_that_section() {
        assert_eq!(elsewhere("release_command"), Some("deploy"));
        assert_eq!(elsewhere("internal_port"), None, "two sections have it");
        assert_eq!(elsewhere("dockerfile"), Some("build"));
    }
}
