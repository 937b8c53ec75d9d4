//! The project: a `holdpoint.toml`, read and checked as a whole. It reports
//! every problem of the text at once, each with its place and its mend; it
//! opens no file, so whether a named file exists is a pre-flight check's affair.

mod channel;
mod company_calendar;
mod comparison;
mod dependency;
mod diagnostic;
mod documents;
mod duration;
mod escalation;
mod gates;
mod invariant;
mod notify;
mod openings;
mod order;
mod people;
mod policy;
mod preflight;
mod reader;
mod report;
mod schedule;
mod service;
mod similar;
pub mod smoke;
mod synthetic;
mod telemetry;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use crate::calendar;
use reader::{Table, Value};
use report::Report;
use similar::did_you_mean;

pub use channel::{Channel, EventFormat, MailSecurity, MailServer, Medium, WebhookAddress};
pub use company_calendar::{CalendarSource, CompanyCalendar, WhenUnreadable};
pub use comparison::ComparisonPolicy;
pub use dependency::{
    CiPolicy, CiSource, Database, DatabaseAddress, ModelApi, ModelApiStyle, Reachable,
};
pub use diagnostic::{Diagnostic, Severity};
pub use documents::Documents;
pub use escalation::{Escalation, names_of};
pub use gates::GatePolicy;
pub use invariant::{Invariant, Limits, Must};
pub use notify::Notify;
pub use openings::windows_that_stay_closed;
pub use people::{Person, Role, UnknownRole};
pub use policy::{Communication, ProductionPolicy, StagingPolicy};
pub use preflight::{Allowance, Allowed, PreflightPolicy, Runbook};
pub use schedule::{CalendarPolicy, Day, Freeze, Holidays, MINUTES_PER_DAY, Window};
pub use service::{Build, BuildFile, Placement, Service};
pub use smoke::{SmokeCheck, parse_smoke};
pub use synthetic::SyntheticPolicy;
pub use telemetry::TelemetrySource;

/// The longest text that is read, in bytes: no person writes more by hand.
const TEXT_LIMIT: usize = 1024 * 1024;

/// Reads a `holdpoint.toml`. The project is there exactly if no finding is an
/// error; the findings come in the order of their places.
pub fn parse(text: &str) -> (Option<Project>, Vec<Diagnostic>) {
    read_text(text, Project::read)
}

/// Reads a text as a whole. The result is there exactly if no finding is an error.
fn read_text<T>(
    text: &str,
    read: impl FnOnce(&mut Table<'_>) -> T,
) -> (Option<T>, Vec<Diagnostic>) {
    if text.len() > TEXT_LIMIT {
        let report = Report::new(text, []);
        report.error(
            &(0..0),
            format!("the file has {} bytes, and at most {TEXT_LIMIT} are read", text.len()),
            "name the file of a project",
        );
        return (None, report.into_diagnostics());
    }
    let (document, syntax_errors) = DeTable::parse_recoverable(text);
    let report = Report::new(
        text,
        syntax_errors.iter().map(|error| {
            let span = error.span().unwrap_or(text.len()..text.len());
            (span, error.message().to_owned(), syntax_hint(error.message()).to_owned())
        }),
    );
    let result = Table::read_root(&report, document.get_ref(), read);
    let is_sound = report.errors() == 0;
    (is_sound.then_some(result), report.into_diagnostics())
}

/// A checked `holdpoint.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// The name by which commands, records and images know it.
    pub name: String,
    /// The name as announcements and the reliability log spell it.
    pub title: String,
    /// IANA name of the time zone of windows and local dates.
    pub time_zone: String,
    /// The log to which starts, completions and rollbacks are appended, relative to the file.
    pub reliability_log: Option<String>,
    /// The release notes' path, relative to the file, with `{version}` in the version's place.
    pub release_notes: Option<String>,
    /// At least one.
    pub people: Vec<Person>,
    /// At least one, in the file's order.
    pub services: Vec<Service>,
    /// What staging must show.
    pub staging: StagingPolicy,
    /// How production is changed.
    pub production: ProductionPolicy,
    /// The gates' thresholds.
    pub gates: GatePolicy,
    /// Where signals come from.
    #[serde(default)]
    pub telemetry: TelemetrySource,
    /// When production steps may start; at least one.
    pub windows: Vec<Window>,
    /// Days on which no window opens.
    pub calendar: CalendarPolicy,
    /// Named prohibitions.
    pub freezes: Vec<Freeze>,
    /// What pre-flight has to know.
    #[serde(default)]
    pub preflight: PreflightPolicy,
    /// Where messages go.
    pub notify: Notify,
    /// How often people hear of a release.
    pub communication: Communication,
    /// When an incident calls whom.
    #[serde(default)]
    pub escalation: Escalation,
    /// What a release and an incident are written down in.
    #[serde(default)]
    pub documents: Documents,
}

impl Project {
    /// The services' names, each after all that it names in `after`; otherwise
    /// in the file's order.
    pub fn service_order(&self) -> Vec<&str> {
        order::in_order(&self.services)
    }

    /// The person of this name.
    pub fn person(&self, name: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.name == name)
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
    fn read(root: &mut Table<'_>) -> Self {
        let about = root.table("project", About::read);
        if about.is_none() {
            root.report.absent(
                &(0..0),
                "the table `[project]` is missing",
                "add `[project]` with `name` and `time_zone`",
            );
        }
        let about = about.unwrap_or_default();
        let zone = calendar::zone(&about.time_zone).unwrap_or(TimeZone::UTC);
        let errors = root.report.errors();
        let people = Person::read_all(root);
        // Who has been refused in part may have the very role that nobody else has.
        let approvers = if root.report.errors() == errors { people.as_slice() } else { &[] };
        let services = Service::read_all(root);
        let staging = StagingPolicy::read(root);
        let production = ProductionPolicy::read(root, approvers);
        let gates = GatePolicy::read(root, &services);
        let telemetry = TelemetrySource::read(root);
        let windows = Window::read_all(root);
        let calendar = CalendarPolicy::read(root);
        let freezes = Freeze::read_all(root, &zone, &people);
        let preflight = PreflightPolicy::read(root, &zone, approvers, &services);
        let notify = Notify::read(root);
        let communication = Communication::read(root);
        let escalation = Escalation::read(root);
        let documents = Documents::read(root);
        let About { name, title, time_zone, reliability_log, release_notes } = about;
        Self {
            name,
            title,
            time_zone,
            reliability_log,
            release_notes,
            people,
            services,
            staging,
            production,
            gates,
            telemetry,
            windows,
            calendar,
            freezes,
            preflight,
            notify,
            communication,
            escalation,
            documents,
        }
    }
}

/// The table `[project]`.
#[derive(Default)]
struct About {
    name: String,
    title: String,
    time_zone: String,
    reliability_log: Option<String>,
    release_notes: Option<String>,
}

impl About {
    fn read(table: &mut Table<'_>) -> Self {
        let (name, place) = table.required_line("name", "\"shop\"");
        service::refuse_unfit_name(table.report, "project", &name, &place);
        let title = table.line("title").unwrap_or_else(|| name.clone());
        let time_zone = table.require("time_zone", "\"America/Chicago\"");
        let time_zone = time_zone.and_then(|value| read_time_zone(&value)).unwrap_or_default();
        let reliability_log = table.line("reliability_log");
        let release_notes = table.take("release_notes").and_then(|value| read_notes_path(&value));
        Self { name, title, time_zone, reliability_log, release_notes }
    }
}

/// The zone's name as the database spells it.
fn read_time_zone(value: &Value<'_>) -> Option<String> {
    let written = value.line()?;
    let zone = calendar::zone(&written);
    if let Some(name) = zone.as_ref().and_then(TimeZone::iana_name) {
        return Some(name.to_owned());
    }
    let known = TimeZoneDatabase::bundled();
    let names: Vec<String> = known.available().map(|name| name.to_string()).collect();
    let hint = match did_you_mean(&written, names.iter().map(String::as_str)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "use a name of the IANA database, such as `America/Chicago` or `UTC`".to_owned(),
    };
    value.refuse(format!("is `{written}`, which is no known time zone"), hint);
    None
}

fn read_notes_path(value: &Value<'_>) -> Option<String> {
    let path = value.line()?;
    let rest = path.replace("{version}", "");
    if rest.contains(['{', '}']) {
        value.refuse(
            format!("is `{path}`, which has an unknown placeholder"),
            "the only placeholder is `{version}`, as in `notes/{version}.md`",
        );
        return None;
    }
    Some(path)
}

/// The mend of a syntax error, as far as the parser's words tell it.
fn syntax_hint(message: &str) -> &'static str {
    if message.contains("duplicate key") {
        "remove or rename one of the two"
    } else {
        "the file is TOML: `key = \"text\"`, `[table]`, and `[[table]]` for each entry of a list"
    }
}

#[cfg(test)]
mod tests;
