//! What pre-flight looks at, by kind, and who may waive a check that does not hold. Looking is
//! done elsewhere; whether a waiver counts is decided here, for the file's and for those that
//! people give while a release waits.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::effect::CheckResult;
use crate::project::{Person, Project, Role};

/// Who may waive what the team's own rules ask of the code: the decision to go to production
/// without it is the manager's (the runbook, "Code Readiness").
const CODE: &[Role] = &[Role::Manager];

/// Who may waive what the running system needs: whoever answers for it, or for the decision (the
/// runbook, "Infrastructure Readiness").
const SYSTEM: &[Role] = &[Role::Reliability, Role::Manager];

/// Without these a release cannot be carried out, whoever wishes it.
const NOBODY: &[Role] = &[];

/// A kind of pre-flight check. A check's name is its kind, followed by a colon and its subject
/// where there may be several: `secrets:web/staging`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CheckKind {
    /// The version is a semantic one.
    Version,
    /// The release notes are there.
    Notes,
    /// What is checked out is the version's tag, and nothing else.
    Tag,
    /// The tag is on the main branch.
    Merged,
    /// The commit's tests passed.
    Ci,
    /// Somebody reviewed the commit.
    Reviewed,
    /// The platform takes our token.
    Token,
    /// The platform has the app.
    App,
    /// The registry has the image.
    Image,
    /// What the app runs now can be put back.
    RollbackTarget,
    /// Required secrets are set.
    Secrets,
    /// Staging and production have secrets of their own.
    SharedSecrets,
    /// The app configs follow the runbook's rules.
    Config,
    /// Staging and production are configured alike.
    Parity,
    /// A database takes a connection.
    Database,
    /// A model API takes our key and leaves room.
    ModelApi,
    /// Something else is in reach.
    Reachable,
    /// A runbook was reviewed of late.
    Runbook,
    /// Rolling back was tried in staging of late.
    Drill,
    /// There is enough traffic to compare the new version with the one before it.
    Traffic,
    /// The question of an invariant is answered.
    Invariant,
}

impl CheckKind {
    /// Every kind, in the order in which people read them.
    pub const ALL: &[Self] = &[
        Self::Version,
        Self::Notes,
        Self::Tag,
        Self::Merged,
        Self::Ci,
        Self::Reviewed,
        Self::Token,
        Self::App,
        Self::Image,
        Self::RollbackTarget,
        Self::Secrets,
        Self::SharedSecrets,
        Self::Config,
        Self::Parity,
        Self::Database,
        Self::ModelApi,
        Self::Reachable,
        Self::Runbook,
        Self::Drill,
        Self::Traffic,
        Self::Invariant,
    ];

    /// The word used in files, commands and texts.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The roles of which one is enough to waive it; none where nobody can.
    pub fn waivable_by(self) -> &'static [Role] {
        self.row().1
    }

    /// The kind of a check, from its name.
    pub fn of(check: &str) -> Option<Self> {
        let word = check.split_once(':').map_or(check, |(kind, _)| kind);
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }

    fn row(self) -> (&'static str, &'static [Role]) {
        match self {
            Self::Version => ("version", NOBODY),
            Self::Notes => ("notes", CODE),
            Self::Tag => ("tag", CODE),
            Self::Merged => ("merged", CODE),
            Self::Ci => ("ci", CODE),
            Self::Reviewed => ("reviewed", CODE),
            Self::Token => ("token", NOBODY),
            Self::App => ("app", NOBODY),
            Self::Image => ("image", NOBODY),
            Self::RollbackTarget => ("rollback-target", SYSTEM),
            Self::Secrets => ("secrets", SYSTEM),
            Self::SharedSecrets => ("shared-secrets", SYSTEM),
            Self::Config => ("config", SYSTEM),
            Self::Parity => ("parity", SYSTEM),
            Self::Database => ("database", SYSTEM),
            Self::ModelApi => ("model-api", SYSTEM),
            Self::Reachable => ("reachable", SYSTEM),
            Self::Runbook => ("runbook", SYSTEM),
            Self::Drill => ("drill", SYSTEM),
            Self::Traffic => ("traffic", SYSTEM),
            // without a value of before it, no rollout begins anyway
            Self::Invariant => ("invariant", NOBODY),
        }
    }
}

impl fmt::Display for CheckKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// A person's word that a check need not hold for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiver {
    /// The check's name, or its kind for every check of that kind.
    pub check: String,
    /// Who gives it.
    pub person: String,
    /// In which role.
    pub role: Role,
    /// Why, in a person's words.
    pub reason: String,
    /// The first instant at which it no longer counts.
    pub until: Timestamp,
}

/// Why a waiver does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// There is no such check.
    #[error("pre-flight has no check `{check}`")]
    UnknownCheck {
        /// The name given.
        check: String,
    },
    /// Nobody may waive it.
    #[error("nobody can waive `{check}`: without it the release cannot be carried out")]
    Never {
        /// The check.
        check: String,
    },
    /// The person is not among the project's people.
    #[error("`{person}` is not among the project's people")]
    UnknownPerson {
        /// The name given.
        person: String,
    },
    /// The person doesn't have the role.
    #[error("`{person}` does not have the role `{role}`")]
    NotInRole {
        /// Who.
        person: String,
        /// The role.
        role: Role,
    },
    /// The role may not waive this check.
    #[error("the role `{role}` may not waive `{check}`")]
    RoleMayNot {
        /// The role.
        role: Role,
        /// The check.
        check: String,
        /// The roles that may.
        roles: &'static [Role],
    },
    /// Nobody waives the checks of their own release.
    #[error("`{person}` started this release, and nobody waives its checks for themselves")]
    OwnRelease {
        /// The author.
        person: String,
    },
    /// Its time is over.
    #[error("the waiver of `{check}` by {person} ended at {until}")]
    Over {
        /// The check.
        check: String,
        /// Who gave it.
        person: String,
        /// Since when it counts for nothing.
        until: Timestamp,
    },
}

impl Objection {
    /// What would count.
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownCheck { .. } => {
                let known: Vec<&str> = CheckKind::ALL.iter().map(|kind| kind.as_str()).collect();
                format!("name one that failed, or a kind: {}", known.join(", "))
            }
            Self::Never { .. } => {
                "mend it, then `holdpoint continue`; or give the release up with `holdpoint \
                 rollback --reason …`"
                    .to_owned()
            }
            Self::UnknownPerson { .. } => {
                "add a `[[people]]` entry to `holdpoint.toml`, or act as `--as NAME`".to_owned()
            }
            Self::NotInRole { role, .. } => {
                format!("ask somebody whose `roles` in `holdpoint.toml` hold `{role}`")
            }
            Self::RoleMayNot { roles, .. } => {
                let roles: Vec<String> = roles.iter().map(|role| format!("`{role}`")).collect();
                format!("ask somebody with the role {}", roles.join(" or "))
            }
            Self::OwnRelease { .. } => "ask another person of that role".to_owned(),
            Self::Over { .. } => "give it a later end, or mend what it waived".to_owned(),
        }
    }
}

impl Waiver {
    /// Whether it is about a check of this name.
    pub fn is_about(&self, check: &str) -> bool {
        check == self.check || check.split_once(':').is_some_and(|(kind, _)| kind == self.check)
    }

    /// Why it does not count, whatever the time and the release; `None` when it does.
    pub fn objection(&self, project: &Project) -> Option<Objection> {
        self.objection_among(&project.people)
    }

    pub(crate) fn objection_among(&self, people: &[Person]) -> Option<Objection> {
        let check = self.check.clone();
        let Some(kind) = CheckKind::of(&check) else {
            return Some(Objection::UnknownCheck { check });
        };
        let roles = kind.waivable_by();
        if roles.is_empty() {
            return Some(Objection::Never { check });
        }
        let Some(person) = people.iter().find(|person| person.name == self.person) else {
            return Some(Objection::UnknownPerson { person: self.person.clone() });
        };
        let role = self.role;
        if !person.has_role(role) {
            return Some(Objection::NotInRole { person: person.name.clone(), role });
        }
        let may = roles.contains(&role);
        (!may).then_some(Objection::RoleMayNot { role, check, roles })
    }

    /// Why it does not count for a release by `author` at `now`; `None` when it does.
    pub fn objection_at(
        &self,
        project: &Project,
        author: Option<&str>,
        now: Timestamp,
    ) -> Option<Objection> {
        if author == Some(self.person.as_str()) {
            return Some(Objection::OwnRelease { person: self.person.clone() });
        }
        if now >= self.until {
            let (check, person) = (self.check.clone(), self.person.clone());
            return Some(Objection::Over { check, person, until: self.until });
        }
        self.objection(project)
    }
}

/// The checks that failed and that no waiver covers at `now`. The waivers were accepted before:
/// only their end is looked at.
pub fn unwaived<'a>(
    checks: &'a [CheckResult],
    waivers: &[Waiver],
    now: Timestamp,
) -> Vec<&'a CheckResult> {
    let is_waived = |check: &CheckResult| {
        waivers.iter().any(|waiver| waiver.is_about(&check.name) && now < waiver.until)
    };
    checks.iter().filter(|check| !check.passed && !is_waived(check)).collect()
}

/// Checks and what is wrong, in one sentence. A detail that draws something does so in further
/// lines, which are left out.
pub fn in_one_sentence(checks: &[&CheckResult]) -> String {
    let told = checks.iter().map(|check| {
        let detail = check.detail.lines().next().unwrap_or_default();
        format!("{}: {detail}", check.name)
    });
    told.collect::<Vec<_>>().join("; ")
}

/// How a check stands, all waivers heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds.
    Passed,
    /// It does not hold, and a waiver says that it need not.
    Waived(Waiver),
    /// It does not hold. With the waivers that would have covered it, and why they don't.
    Failed(Vec<Objection>),
}

impl Standing {
    /// How a check stands at `now` in a release by `author`; `None` before anybody started one.
    pub fn of<'a>(
        check: &CheckResult,
        waivers: impl IntoIterator<Item = &'a Waiver>,
        project: &Project,
        author: Option<&str>,
        now: Timestamp,
    ) -> Self {
        if check.passed {
            return Self::Passed;
        }
        let mut objections = Vec::new();
        for waiver in waivers.into_iter().filter(|waiver| waiver.is_about(&check.name)) {
            match waiver.objection_at(project, author, now) {
                None => return Self::Waived(waiver.clone()),
                Some(objection) => objections.push(objection),
            }
        }
        Self::Failed(objections)
    }

    /// Whether the check stands in nobody's way.
    pub fn holds(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROJECT: &str = r#"
[project]
name = "shop"
time_zone = "UTC"
[[people]]
name = "grace"
roles = ["manager"]
[[people]]
name = "rita"
roles = ["reliability", "engineer"]
[[services]]
name = "web"
build = { command = ["true"], binary = "web" }
staging = { config = "staging.toml" }
production = { config = "production.toml" }
"#;

    fn project() -> Project {
        crate::project::parse(PROJECT).0.expect("a project")
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn waiver(check: &str, person: &str, role: Role) -> Waiver {
        let (check, person) = (check.to_owned(), person.to_owned());
        Waiver { check, person, role, reason: "it is known".to_owned(), until: time(100) }
    }

    fn failed(name: &str) -> CheckResult {
        let (name, detail) = (name.to_owned(), "it is not so".to_owned());
        CheckResult { name, passed: false, detail, hint: None, took_ms: 0 }
    }

    #[test]
    fn a_waiver_counts_by_a_role_that_may_and_until_its_end() {
        let (project, given) = (project(), waiver("drill", "rita", Role::Reliability));
        let standing = |waiver: &Waiver, author: &str, now| {
            Standing::of(&failed("drill"), [waiver], &project, Some(author), time(now))
        };
        assert_eq!(standing(&given, "ada", 99), Standing::Waived(given.clone()));
        for (waiver, author, now, expected) in [
            (given.clone(), "ada", 100, "ended at"),
            (given.clone(), "rita", 0, "nobody waives its checks for themselves"),
            (waiver("drill", "rita", Role::Engineer), "ada", 0, "may not waive `drill`"),
            (waiver("drill", "grace", Role::Reliability), "ada", 0, "does not have the role"),
            (waiver("drill", "mallory", Role::Manager), "ada", 0, "not among the project's people"),
        ] {
            let Standing::Failed(objections) = standing(&waiver, author, now) else {
                panic!("{waiver:?} counts");
            };
            let told = objections.iter().map(ToString::to_string).collect::<String>();
            assert!(told.contains(expected), "{told}");
            assert!(objections.iter().all(|objection| !objection.hint().is_empty()));
        }
    }

    #[test]
    fn what_a_release_cannot_do_without_nobody_waives() {
        let objection = waiver("app:shop", "grace", Role::Manager).objection(&project());
        assert!(matches!(objection, Some(Objection::Never { .. })), "{objection:?}");
        let objection = waiver("apps", "grace", Role::Manager).objection(&project());
        assert!(objection.is_some_and(|it| it.hint().contains("shared-secrets")));
    }

    #[test]
    fn a_kind_covers_every_check_of_that_kind_and_a_name_only_its_own() {
        let kind = waiver("secrets", "grace", Role::Manager);
        assert!(kind.is_about("secrets:web/staging") && !kind.is_about("shared-secrets:web"));
        let one = waiver("secrets:web/staging", "grace", Role::Manager);
        assert!(one.is_about("secrets:web/staging") && !one.is_about("secrets:web/production"));
    }

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        for kind in CheckKind::ALL {
            assert_eq!(CheckKind::of(kind.as_str()), Some(*kind));
            assert_eq!(CheckKind::of(&format!("{kind}:web")), Some(*kind));
        }
    }
}
