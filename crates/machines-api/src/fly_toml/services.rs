//! `[http_service]` and `[[services]]`: the ports of an app and how they are served.

use super::PerGroup;
use super::checks::{HeaderForm, service_check};
use super::diagnostic::Problems;
use super::field::{BareNumber, Field, Form, Section};
use crate::types::{Autostop, CheckType, Concurrency, ConcurrencyType, Port, Service};

/// Fly's documented default of `internal_port`.
const DEFAULT_INTERNAL_PORT: u16 = 8080;

/// A port number.
const PORTS: std::ops::RangeInclusive<i64> = 1..=65_535;

/// Limits and counts of machines; far above what any app uses.
const COUNTS: std::ops::RangeInclusive<i64> = 0..=1_000_000;

/// `[http_service]`, expanded to a service on the ports 80 and 443.
pub(super) fn http_service(
    root: &Section<'_>,
    problems: &mut Problems,
) -> Option<PerGroup<Service>> {
    let section = root.section("http_service", problems)?;
    let mut service = common(&section, problems);
    "tcp".clone_into(&mut service.protocol);
    service.internal_port = match section.get("internal_port") {
        Some(field) => field.integer(PORTS, problems).unwrap_or(DEFAULT_INTERNAL_PORT),
        None => DEFAULT_INTERNAL_PORT,
    };
    service.ports = http_ports(&section, problems);
    for check in section.sections("checks", Form::List, problems) {
        service.checks.push(service_check(
            &check,
            CheckType::Http,
            BareNumber::Nanoseconds,
            HeaderForm::Map,
            problems,
        ));
    }
    if let Some(concurrency) = section.section("concurrency", problems) {
        service.concurrency = Some(concurrency_table(&concurrency, problems));
    }
    Some(PerGroup { value: service, processes: section.strings("processes", problems) })
}

/// `[[services]]`, also as a single table.
pub(super) fn services(root: &Section<'_>, problems: &mut Problems) -> Vec<PerGroup<Service>> {
    let sections = root.sections("services", Form::ListOrTable, problems);
    sections.iter().map(|section| service(section, problems)).collect()
}

fn service(section: &Section<'_>, problems: &mut Problems) -> PerGroup<Service> {
    let mut service = common(section, problems);
    service.protocol = section.string("protocol", problems).unwrap_or_else(|| "tcp".to_owned());
    service.internal_port = match section.get("internal_port") {
        Some(field) => field.integer_or_text(PORTS, problems).unwrap_or(DEFAULT_INTERNAL_PORT),
        None => DEFAULT_INTERNAL_PORT,
    };
    for port in section.sections("ports", Form::ListOrTable, problems) {
        service.ports.push(service_port(&port, problems));
    }
    for (key, check_type) in [("tcp_checks", CheckType::Tcp), ("http_checks", CheckType::Http)] {
        for check in section.sections(key, Form::ListOrTable, problems) {
            service.checks.push(service_check(
                &check,
                check_type.clone(),
                BareNumber::Milliseconds,
                HeaderForm::MapOrList,
                problems,
            ));
        }
    }
    if let Some(field) = section.get("concurrency") {
        service.concurrency = concurrency(&field, problems);
    }
    PerGroup { value: service, processes: section.strings("processes", problems) }
}

/// What both kinds of service have in common.
fn common(section: &Section<'_>, problems: &mut Problems) -> Service {
    // Only the form is looked at: these checks run in machines of their own.
    section.sections("machine_checks", Form::List, problems);
    Service {
        autostart: section.boolean("auto_start_machines", problems),
        autostop: section.get("auto_stop_machines").and_then(|field| autostop(&field, problems)),
        min_machines_running: section.integer("min_machines_running", COUNTS, problems),
        ..Service::default()
    }
}

fn autostop(field: &Field<'_>, problems: &mut Problems) -> Option<Autostop> {
    match (field.flag(), field.text()) {
        (Some(false), _) | (_, Some("off")) => return Some(Autostop::Off),
        (Some(true), _) | (_, Some("stop")) => return Some(Autostop::Stop),
        (_, Some("suspend")) => return Some(Autostop::Suspend),
        (None, Some(_) | None) => {}
    }
    let hint = match field.text() {
        Some("true" | "false") => "remove the quotes, or write `\"stop\"` or `\"off\"`",
        Some(_) | None => "write `auto_stop_machines = \"stop\"`",
    };
    field.wrong(problems, "`\"off\"`, `\"stop\"`, `\"suspend\"`, true or false", hint);
    None
}

fn http_ports(section: &Section<'_>, problems: &mut Problems) -> Vec<Port> {
    let mut plain = Port {
        port: Some(80),
        handlers: vec!["http".to_owned()],
        force_https: section.boolean("force_https", problems),
        ..Port::default()
    };
    let mut secure = Port {
        port: Some(443),
        handlers: vec!["http".to_owned(), "tls".to_owned()],
        ..Port::default()
    };
    if let Some(options) =
        section.section("http_options", problems).and(section.get("http_options"))
    {
        plain.rest.insert("http_options".to_owned(), options.json());
        secure.rest.insert("http_options".to_owned(), options.json());
    }
    if let Some(options) = section.section("tls_options", problems).and(section.get("tls_options"))
    {
        secure.rest.insert("tls_options".to_owned(), options.json());
    }
    vec![plain, secure]
}

fn service_port(section: &Section<'_>, problems: &mut Problems) -> Port {
    let mut number =
        |key| section.get(key).and_then(|field| field.integer_or_text(PORTS, problems));
    let mut port = Port {
        port: number("port"),
        start_port: number("start_port"),
        end_port: number("end_port"),
        handlers: section.strings("handlers", problems),
        force_https: section.boolean("force_https", problems),
        ..Port::default()
    };
    for key in ["tls_options", "http_options", "proxy_proto_options"] {
        if let Some(options) = section.section(key, problems).and(section.get(key)) {
            port.rest.insert(key.to_owned(), options.json());
        }
    }
    port
}

/// A table, or the old form `"20,25"` of a soft and a hard limit.
fn concurrency(field: &Field<'_>, problems: &mut Problems) -> Option<Concurrency> {
    if field.is_table() {
        return field.section(problems).map(|section| concurrency_table(&section, problems));
    }
    let limits = field.text().and_then(|text| text.split_once(','));
    let parsed = limits
        .and_then(|(soft, hard)| Some((soft.trim().parse().ok()?, hard.trim().parse().ok()?)));
    let Some((soft_limit, hard_limit)) = parsed else {
        let hint =
            "write `concurrency = { type = \"requests\", soft_limit = 20, hard_limit = 25 }`";
        field.wrong(problems, "a table", hint);
        return None;
    };
    Some(Concurrency {
        concurrency_type: Some(ConcurrencyType::Requests),
        soft_limit: Some(soft_limit),
        hard_limit: Some(hard_limit),
        ..Concurrency::default()
    })
}

fn concurrency_table(section: &Section<'_>, problems: &mut Problems) -> Concurrency {
    let concurrency_type = match section.get("type") {
        Some(field) => match field.text() {
            Some("connections" | "") => Some(ConcurrencyType::Connections),
            Some("requests") => Some(ConcurrencyType::Requests),
            Some(_) | None => {
                let hint = "write `type = \"requests\"`";
                field.wrong(problems, "`\"connections\"` or `\"requests\"`", hint);
                None
            }
        },
        None => None,
    };
    Concurrency {
        concurrency_type,
        soft_limit: section.integer("soft_limit", COUNTS, problems),
        hard_limit: section.integer("hard_limit", COUNTS, problems),
        ..Concurrency::default()
    }
}
