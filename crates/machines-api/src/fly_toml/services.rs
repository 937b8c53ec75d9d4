//! `[http_service]` and `[[services]]`: the ports of an app and how they are served.

use super::checks::{HeaderForm, service_check};
use super::deploy;
use super::diagnostic::{Problem, Problems};
use super::field::{BareNumber, Field};
use super::group::PerGroup;
use super::repair::{Edit, Repair};
use super::section::{Form, Section};
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
    // Fly's client leaves empty entries out.
    let sections = sections.iter().filter(|section| section.fields().next().is_some());
    sections.map(|section| service(section, root, problems)).collect()
}

fn service(
    section: &Section<'_>,
    root: &Section<'_>,
    problems: &mut Problems,
) -> PerGroup<Service> {
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
    if service.ports.is_empty() {
        problems.push(without_ports(section, &service, root));
    }
    PerGroup { value: service, processes: section.strings("processes", problems) }
}

/// A service without ports is reached by nobody. If it has nothing but checks, they were meant for
/// `[http_service]`, above which people write them.
fn without_ports(section: &Section<'_>, service: &Service, root: &Section<'_>) -> Problem {
    let only_checks = section.fields().all(|(name, _)| {
        name.eq_ignore_ascii_case("tcp_checks") || name.eq_ignore_ascii_case("http_checks")
    });
    let http_service = root.get("http_service").filter(Field::is_table);
    if service.checks.is_empty() || !only_checks || http_service.is_none() {
        let message = "this service has no ports, so the proxy hands it no requests".to_owned();
        let hint = "add `[[services.ports]]`, or remove the service";
        return Problem::warning(&section.span, message, hint);
    }
    let kind = |key| section.get(key).map(|_| key);
    let (http, tcp) = (kind("http_checks"), kind("tcp_checks"));
    let written = [http, tcp].into_iter().flatten().collect::<Vec<_>>().join("` and `services.");
    let message = format!(
        "`services.{written}` makes a second service without ports; it does not check \
         `[http_service]`"
    );
    let hint = match (http, tcp) {
        (Some(_), None) => "write `[[http_service.checks]]`",
        (None, _) => "write `[checks.tcp]` with `type = \"tcp\"`",
        (Some(_), Some(_)) => {
            "write `[[http_service.checks]]`, and `[checks.tcp]` with `type = \"tcp\"`"
        }
    };
    let repair = Repair { place: section.place.clone(), edit: Edit::MoveChecks };
    Problem::warning(&section.span, message, hint).mended_by(repair)
}

/// What both kinds of service have in common.
fn common(section: &Section<'_>, problems: &mut Problems) -> Service {
    for machine in section.sections("machine_checks", Form::List, problems) {
        deploy::test_machine(&machine, problems);
    }
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
    let word = field.text().unwrap_or_default().trim().to_ascii_lowercase();
    let meant = match word.as_str() {
        "true" => Some("true"),
        "false" => Some("false"),
        "off" => Some("\"off\""),
        "stop" | "stopped" => Some("\"stop\""),
        "suspend" | "suspended" => Some("\"suspend\""),
        _ => None,
    };
    let hint = match meant {
        Some("true" | "false") => "remove the quotes, or write `\"stop\"` or `\"off\"`".to_owned(),
        Some(meant) => format!("write `auto_stop_machines = {meant}`"),
        None => "write `auto_stop_machines = \"stop\"`".to_owned(),
    };
    let expected = "`\"off\"`, `\"stop\"`, `\"suspend\"`, true or false";
    let repair = meant.map(|meant| field.becomes(meant));
    problems.push(field.mistake(expected, &hint).mended_by(repair));
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
    let number = section.get("port").and_then(|field| field.integer_or_text(PORTS, problems));
    let mut port = Port {
        port: number,
        start_port: section.integer("start_port", PORTS, problems),
        end_port: section.integer("end_port", PORTS, problems),
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
    let parse = |text: &str| text.parse::<u32>().ok();
    let parsed = limits.and_then(|(soft, hard)| Some((parse(soft)?, parse(hard)?)));
    let Some((soft_limit, hard_limit)) = parsed.filter(|_| field.is_mended) else {
        let meant =
            limits.and_then(|(soft, hard)| Some((parse(soft.trim())?, parse(hard.trim())?)));
        let (soft, hard) = meant.unwrap_or((20, 25));
        let table = format!("{{ type = \"requests\", soft_limit = {soft}, hard_limit = {hard} }}");
        let hint = format!("write `concurrency = {table}`");
        let repair = meant.map(|_| field.becomes(table));
        problems.push(field.mistake("a table", &hint).mended_by(repair));
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
                let meant = field.text().unwrap_or_default().to_ascii_lowercase();
                let meant = meant.strip_suffix('s').unwrap_or(&meant);
                let meant = match meant {
                    "connection" => Some("\"connections\""),
                    "request" => Some("\"requests\""),
                    _ => None,
                };
                let hint = format!("write `type = {}`", meant.unwrap_or("\"requests\""));
                let problem = field.mistake("`\"connections\"` or `\"requests\"`", &hint);
                let repair = meant.map(|meant| field.becomes(meant));
                problems.push(problem.mended_by(repair));
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
