//! What pre-flight has to know of a project: which documents, drills and differences its team
//! cares about, and which checks somebody waived. Every setting is optional; a check that needs
//! one is not made without it.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::dependency::{CiPolicy, Database, ModelApi, Reachable};
use super::people::{Person, Role};
use super::reader::{Table, Value};
use super::schedule::read_instant;
use super::service::Service;
use super::similar::did_you_mean;
use crate::preflight::{CheckKind, Objection, Waiver};

/// How many entries any list of these may have.
const ENTRIES_LIMIT: usize = 64;

/// The longest that a review or a drill may lie back: ten years are as good as no rule.
const DAYS_LIMIT: u64 = 3650;

/// What pre-flight has to know of a project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PreflightPolicy {
    /// Who knows whether a commit's tests passed; nobody is asked without it.
    pub ci: Option<CiPolicy>,
    /// Databases that must take a connection.
    pub databases: Vec<Database>,
    /// Model APIs that must take our key and leave room.
    pub model_apis: Vec<ModelApi>,
    /// Whatever else must be in reach.
    pub reachable: Vec<Reachable>,
    /// Documents that somebody must have reviewed of late (the runbook, "Infrastructure
    /// Readiness").
    pub runbooks: Vec<Runbook>,
    /// Rolling back must have been tried in staging within so many days; not asked without it.
    pub rollback_drilled_within_days: Option<u32>,
    /// Differences and habits that are meant, each with its reason.
    pub allowed: Vec<Allowance>,
    /// Checks that need not hold for a time.
    pub waivers: Vec<Waiver>,
}

/// A document that must be reviewed from time to time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runbook {
    /// Where it is, relative to the project's file.
    pub path: String,
    /// How many days a review may lie back.
    pub reviewed_within_days: u32,
}

/// A difference between staging and production, or a departure from the runbook's rules, that is
/// meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// The service; every one where none is named.
    pub service: Option<String>,
    /// What is allowed.
    pub what: Allowed,
    /// Why.
    pub reason: String,
}

/// What an allowance is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allowed {
    /// A field of the app configs, with everything below it, as `http_service.auto_stop_machines`.
    Field(String),
    /// A secret that staging and production share.
    Secret(String),
}

impl PreflightPolicy {
    /// The reason for which a field of a service is allowed to be as it is.
    pub fn allows_field(&self, service: &str, field: &str) -> Option<&str> {
        self.allows(service, |what| match what {
            Allowed::Field(allowed) => field
                .strip_prefix(allowed.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])),
            Allowed::Secret(_) => false,
        })
    }

    /// The reason for which both environments of a service may have one secret.
    pub fn allows_shared_secret(&self, service: &str, secret: &str) -> Option<&str> {
        self.allows(service, |what| match what {
            Allowed::Secret(allowed) => allowed == secret,
            Allowed::Field(_) => false,
        })
    }

    fn allows(&self, service: &str, is_meant: impl Fn(&Allowed) -> bool) -> Option<&str> {
        let allowance = self.allowed.iter().find(|allowance| {
            allowance.service.as_deref().is_none_or(|name| name == service)
                && is_meant(&allowance.what)
        });
        allowance.map(|allowance| allowance.reason.as_str())
    }

    pub(super) fn read(
        root: &mut Table<'_>,
        zone: &TimeZone,
        people: &[Person],
        services: &[Service],
    ) -> Self {
        let mut policy = Self::default();
        root.table("preflight", |table| {
            policy.ci = table.table("ci", CiPolicy::read).flatten();
            policy.databases = Database::read_all(table);
            policy.model_apis = ModelApi::read_all(table);
            policy.reachable = Reachable::read_all(table);
            policy.runbooks =
                table.tables("runbooks", ENTRIES_LIMIT, Runbook::read).unwrap_or_default();
            policy.rollback_drilled_within_days = days(table, "rollback_drilled_within_days");
            let allowed =
                table.tables("allowed", ENTRIES_LIMIT, |table| Allowance::read(table, services));
            policy.allowed = allowed.into_iter().flatten().flatten().collect();
            let waivers =
                table.tables("waivers", ENTRIES_LIMIT, |table| read_waiver(table, zone, people));
            policy.waivers = waivers.into_iter().flatten().flatten().collect();
        });
        policy
    }
}

fn days(table: &mut Table<'_>, key: &'static str) -> Option<u32> {
    let value = table.take(key)?;
    u32::try_from(value.number(&(1..=DAYS_LIMIT))?).ok()
}

impl Runbook {
    /// A quarter: what the runbook takes for secrets, and no longer for what people must know.
    const REVIEWED_WITHIN_DAYS: u32 = 90;

    fn read(table: &mut Table<'_>) -> Self {
        let (path, _) = table.required_line("path", "\"docs/runbooks/monitoring.md\"");
        let reviewed_within_days =
            days(table, "reviewed_within_days").unwrap_or(Self::REVIEWED_WITHIN_DAYS);
        Self { path, reviewed_within_days }
    }
}

impl Allowance {
    fn read(table: &mut Table<'_>, services: &[Service]) -> Option<Self> {
        let service = table.take("service");
        if let Some(value) = &service {
            refuse_unknown_service(value, services);
        }
        let service = service.and_then(|value| value.line());
        let field = table.take("field");
        let secret = table.take("secret");
        let (reason, _) = table.required_line("reason", "\"staging has no customers\"");
        let what = match (field, secret) {
            (Some(field), None) => Allowed::Field(field.line()?),
            (None, Some(secret)) => Allowed::Secret(secret.line()?),
            (Some(field), Some(_)) => {
                field.refuse("stands beside `secret`", "write an entry for each of the two");
                return None;
            }
            (None, None) => {
                table.report.absent(
                    &table.span,
                    "this entry allows nothing",
                    "add for example `field = \"vm.memory\"` or `secret = \"SENTRY_DSN\"`",
                );
                return None;
            }
        };
        Some(Self { service, what, reason })
    }
}

fn refuse_unknown_service(value: &Value<'_>, services: &[Service]) {
    let Some(name) = value.line() else { return };
    let names = || services.iter().map(|service| service.name.as_str());
    if names().any(|known| known == name) || services.is_empty() {
        return;
    }
    let hint = match did_you_mean(&name, names()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => "name a service of `[[services]]`, or leave it out for all".to_owned(),
    };
    value.refuse(format!("is `{name}`, which is no service of this project"), hint);
}

/// Whether it has ended is told when it is used: a file does not become wrong by itself.
fn read_waiver(table: &mut Table<'_>, zone: &TimeZone, people: &[Person]) -> Option<Waiver> {
    let check = table.require("check", "\"drill\"");
    let person = table.require("person", "\"grace\"");
    let role = table.require("role", "\"manager\"");
    let (reason, _) = table.required_line("reason", "\"the build server is being moved\"");
    let until = table.require("until", "2026-12-07T09:00:00-06:00");
    let until = until.and_then(|value| read_instant(&value, zone));
    let named_role = role.as_ref().and_then(|value| value.word("role", &Role::ALL, Role::as_str));
    let (Some(check), Some(person), Some(role)) = (check, person, role) else { return None };
    let waiver = Waiver {
        check: check.line()?,
        person: person.line()?,
        role: named_role?,
        reason,
        until: until?,
    };
    // people that were refused in part may have what is missing
    let Some(objection) = waiver.objection_among(people).filter(|_| !people.is_empty()) else {
        return Some(waiver);
    };
    let place = match &objection {
        Objection::UnknownCheck { .. } | Objection::Never { .. } => &check,
        Objection::UnknownPerson { .. } | Objection::OwnRelease { .. } => &person,
        Objection::NotInRole { .. } | Objection::RoleMayNot { .. } | Objection::Over { .. } => {
            &role
        }
    };
    let kinds = CheckKind::ALL.iter().map(|kind| kind.as_str());
    let hint = match did_you_mean(&waiver.check, kinds) {
        Some(kind) if matches!(objection, Objection::UnknownCheck { .. }) => {
            format!("did you mean `{kind}`?")
        }
        Some(_) | None => objection.hint(),
    };
    place.refuse(format!("does not count: {objection}"), hint);
    None
}
