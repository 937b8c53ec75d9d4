//! The project: a `holdpoint.toml`, read and checked as a whole. It reports
//! every problem of the text at once, each with its place and its mend; it
//! opens no file, so whether a named file exists is a pre-flight check's affair.

mod diagnostic;
mod gates;
mod people;
mod policy;
mod schedule;
mod service;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use diagnostic::{Diagnostic, Severity};
pub use gates::GatePolicy;
pub use people::{Person, Role, UnknownRole};
pub use policy::{Communication, Notify, ProductionPolicy, StagingPolicy};
pub use schedule::{CalendarPolicy, Day, Freeze, Holidays, MINUTES_PER_DAY, Window};
pub use service::{Build, BuildFile, Placement, Service, SmokeCheck};

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
    /// When production steps may start; at least one.
    pub windows: Vec<Window>,
    /// Days on which no window opens.
    pub calendar: CalendarPolicy,
    /// Named prohibitions.
    pub freezes: Vec<Freeze>,
    /// Where messages go.
    pub notify: Notify,
    /// How often people hear of a release.
    pub communication: Communication,
}

impl Project {
    /// The services' names, each after all that it names in `after`; otherwise
    /// in the file's order. A parsed project has no cycle; should one be put
    /// together by hand, its members come last.
    pub fn service_order(&self) -> Vec<&str> {
        let known: BTreeSet<&str> =
            self.services.iter().map(|service| service.name.as_str()).collect();
        let mut waiting: Vec<&Service> = self.services.iter().collect();
        let mut order: Vec<&str> = Vec::with_capacity(waiting.len());
        while !waiting.is_empty() {
            let ready = waiting.iter().position(|service| {
                service
                    .after
                    .iter()
                    .all(|name| !known.contains(name.as_str()) || order.contains(&name.as_str()))
            });
            order.push(waiting.remove(ready.unwrap_or(0)).name.as_str());
        }
        order
    }

    /// The person of this name.
    pub fn person(&self, name: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.name == name)
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
}
