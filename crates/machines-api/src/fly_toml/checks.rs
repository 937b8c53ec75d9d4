//! The checks of a `fly.toml`: those of services and those of the whole machine.

use std::collections::BTreeMap;
use std::time::Duration;

use super::diagnostic::{Problem, Problems};
use super::field::{BareNumber, Field};
use super::group::PerGroup;
use super::literal;
use super::section::{Form, Section};
use crate::types::{Check, CheckHeader, CheckType, Service, WireDuration};

/// Fly's client moves the times of a service's check into these bounds.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

/// Fly's bounds for the checks of a machine, which it refuses to move.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(2);
const LONGEST_TIMEOUT: Duration = Duration::from_mins(1);

/// How lists of headers may be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderForm {
    /// Only `NAME = "value"`.
    Map,
    /// That, or a list of tables with `name` and `value`.
    MapOrList,
}

/// A check of a service.
pub(super) fn service_check(
    section: &Section<'_>,
    check_type: CheckType,
    bare: BareNumber,
    headers: HeaderForm,
    problems: &mut Problems,
) -> Check {
    let mut check = common(section, bare, problems);
    for (key, time) in [
        ("interval", &mut check.interval),
        ("timeout", &mut check.timeout),
        ("grace_period", &mut check.grace_period),
    ] {
        let Some(time) = time else { continue };
        // No grace at all is fine.
        let is_zero_fine = key == "grace_period" && time.0.is_zero();
        let moved = time.0.clamp(SHORTEST, LONGEST);
        if is_zero_fine || moved == time.0 {
            continue;
        }
        let moved = WireDuration(moved);
        if let Some(field) = section.get(key).filter(|field| field.text().is_some()) {
            let message = format!(
                "`{}` is {time}, and Fly moves the times of a service's check into 1 s to 1 m",
                field.path
            );
            let hint = format!("write what it will be: `{key} = \"{moved}\"`");
            problems.push(Problem::warning(&field.span, message, hint));
        }
        *time = moved;
    }
    if check_type == CheckType::Http {
        http_part(section, &mut check, headers, problems);
    }
    check.check_type = Some(check_type);
    check
}

/// `[checks.NAME]`, or `[[checks]]` with a `name`.
pub(super) fn machine_checks(
    root: &Section<'_>,
    http_service: Option<&PerGroup<Service>>,
    default_group: &str,
    problems: &mut Problems,
) -> BTreeMap<String, PerGroup<Check>> {
    let Some(field) = root.get("checks") else { return BTreeMap::new() };
    let mut named: Vec<(String, Section<'_>)> = Vec::new();
    if field.is_list() {
        for section in field.sections(Form::List, problems) {
            match section.string("name", problems) {
                Some(name) => named.push((name, section)),
                None => problems.add(
                    &section.span,
                    "`checks` has an entry without a name",
                    "write `[checks.NAME]`",
                ),
            }
        }
    } else if let Some(section) = field.section(problems) {
        for (name, field) in section.fields() {
            if field.is_table() {
                named.extend(field.section(problems).map(|section| (name, section)));
            } else {
                let hint = "give the check a name: `[checks.NAME]`";
                field.wrong(problems, "the table of one check", hint);
                break;
            }
        }
    }
    let mut checks = BTreeMap::new();
    for (name, section) in named {
        let processes = section.strings("processes", problems);
        let check = PerGroup { value: (), processes }.or_default(default_group);
        // Each group takes the port from its own service.
        let http_port = http_service
            .filter(|service| check.processes.iter().all(|group| service.is_for(group)))
            .map(|service| service.value.internal_port);
        let value = machine_check(&section, http_port, problems);
        checks.insert(name, PerGroup { value, processes: check.processes });
    }
    checks
}

fn machine_check(section: &Section<'_>, http_port: Option<u16>, problems: &mut Problems) -> Check {
    let mut check = common(section, BareNumber::Milliseconds, problems);
    let path = &section.path;
    check.check_type = check_type(section, problems);
    let port = section.integer("port", 1..=65_535, problems);
    check.port = port.or(http_port);
    if check.port.is_none() && section.get("port").is_none() {
        let message = format!(
            "`{path}` has no port, and its process group has no `[http_service]` to take it from"
        );
        problems.add(
            &section.span,
            message,
            "write `port = 8080` with the port that the app listens on",
        );
    }
    if check.interval.is_some_and(|interval| interval.0 < SHORTEST_INTERVAL) {
        let message = format!("`{path}.interval` is below 2 s");
        problems.add(&section.span, message, "write `interval = \"15s\"`");
    }
    if check.timeout.is_some_and(|timeout| timeout.0 > LONGEST_TIMEOUT) {
        let message = format!("`{path}.timeout` is above 60 s");
        problems.add(&section.span, message, "write `timeout = \"10s\"`");
    }
    http_part(section, &mut check, HeaderForm::MapOrList, problems);
    check.method = check.method.map(|method| method.to_ascii_uppercase());
    check
}

fn check_type(section: &Section<'_>, problems: &mut Problems) -> Option<CheckType> {
    let hint = "write `type = \"http\"` or `type = \"tcp\"`";
    let Some(field) = section.get("type") else {
        problems.add(&section.span, format!("`{}` needs a type", section.path), hint);
        return None;
    };
    match field.text() {
        Some("http") => return Some(CheckType::Http),
        Some("tcp") => return Some(CheckType::Tcp),
        Some(_) | None => {}
    }
    let meant = field.text().map(str::to_ascii_lowercase);
    let meant = meant.filter(|word| matches!(word.as_str(), "http" | "tcp"));
    let repair = meant.map(|word| field.becomes(literal::quoted(&word)));
    problems.push(field.mistake("`\"http\"` or `\"tcp\"`", hint).mended_by(repair));
    None
}

fn common(section: &Section<'_>, bare: BareNumber, problems: &mut Problems) -> Check {
    Check {
        interval: section.duration("interval", bare, problems),
        timeout: section.duration("timeout", bare, problems),
        grace_period: section.duration("grace_period", bare, problems),
        ..Check::default()
    }
}

fn http_part(section: &Section<'_>, check: &mut Check, form: HeaderForm, problems: &mut Problems) {
    check.method = section.string("method", problems);
    check.path = section.string("path", problems);
    check.protocol = section.string("protocol", problems);
    check.tls_skip_verify = section.boolean("tls_skip_verify", problems);
    check.tls_server_name = section.string("tls_server_name", problems);
    if let Some(field) = section.get("headers") {
        check.headers = headers(&field, form, problems);
    }
}

fn headers(field: &Field<'_>, form: HeaderForm, problems: &mut Problems) -> Vec<CheckHeader> {
    let single = |name: String, value: String| CheckHeader { name, values: vec![value] };
    let is_lenient = form == HeaderForm::MapOrList && field.is_mended;
    if field.is_list() {
        let mut told = Problems::default();
        let entries = field.sections(Form::List, &mut told);
        let pairs: Vec<(String, String)> = entries
            .iter()
            .filter_map(|entry| {
                let value = entry.get("value").and_then(|value| value.as_text());
                Some((entry.get("name")?.as_text()?, value.unwrap_or_default()))
            })
            .collect();
        if is_lenient && pairs.len() == entries.len() {
            return pairs.into_iter().map(|(name, value)| single(name, value)).collect();
        }
        let hint = format!("write a section `[{}]` of lines `NAME = \"value\"`", field.path);
        let map = literal::table(&pairs).filter(|_| pairs.len() == entries.len());
        let repair = map.map(|map| field.becomes(map));
        problems.push(field.mistake("a table of names and values", &hint).mended_by(repair));
        return Vec::new();
    }
    let Some(section) = field.section(problems) else { return Vec::new() };
    let mut read = Vec::new();
    for (name, value) in section.fields() {
        let text = if is_lenient { value.as_text() } else { value.string(problems) };
        read.extend(text.map(|text| single(name, text)));
    }
    read
}

/// The path of the first HTTP check.
pub(super) fn http_path(checks: &[Check]) -> Option<&str> {
    checks
        .iter()
        .filter(|check| check.check_type == Some(CheckType::Http))
        .find_map(|check| check.path.as_deref())
}
