//! What people (and the assistants that act for them) may ask of the engine. A command carries
//! every fact that deciding about it needs; it does not say whether it is allowed.

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::flag::Flag;
use crate::id::{IncidentId, PlanDigest};
use crate::observation::ServiceFacts;
use crate::preflight::Objection;
use crate::project::{Project, Role};
use crate::severity::Severity;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The person's name as in `holdpoint.toml`.
    pub name: String,
}

impl Actor {
    /// An actor of that name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

/// A request to the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Start to release a version. The actor becomes the release's author.
    StartRelease(Box<StartRelease>),
    /// Consent to one plan, in one role.
    Approve {
        /// The plan that was read.
        plan: PlanDigest,
        /// The role in which the actor consents.
        role: Role,
    },
    /// Stop at the next safe point: the wave under way is finished, no other begins.
    Halt {
        /// Why.
        reason: String,
    },
    /// Go on after a halt, or try again where the release is stuck. With no release under way: let
    /// new ones start again after a rollback.
    Resume,
    /// Put the previous version back now.
    Rollback {
        /// Why.
        reason: String,
    },
    /// Let a pre-flight check that failed stand in nobody's way for a time.
    WaiveCheck(WaiveCheck),
    /// Tell of what no signal shows: a release that goes forward goes back at once.
    RaiseFlag {
        /// What was seen.
        flag: Flag,
        /// In a sentence.
        reason: String,
    },
    /// Open an incident by hand.
    OpenIncident {
        /// How bad it is.
        severity: Severity,
        /// What is wrong.
        title: String,
        /// The project as its file says: it tells whom to call, where no release is under way.
        project: Box<Project>,
    },
    /// Take an incident on, so that nobody else is called.
    AcknowledgeIncident {
        /// Which; `None` when only one is open.
        incident: Option<IncidentId>,
    },
    /// Say something about an incident.
    UpdateIncident {
        /// Which; `None` when only one is open.
        incident: Option<IncidentId>,
        /// What.
        text: String,
    },
    /// Write the report of an incident.
    ReportIncident {
        /// Which.
        incident: IncidentId,
    },
    /// Close an incident, so that hold points no longer wait for it.
    CloseIncident {
        /// Which.
        incident: IncidentId,
        /// What was found and done.
        resolution: String,
    },
}

/// A person's wish that a check need not hold. The actor gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaiveCheck {
    /// The check's name, or its kind for every check of that kind.
    pub check: String,
    /// In which role; the first of the actor's that may, where none is given.
    pub role: Option<Role>,
    /// Why.
    pub reason: String,
    /// When it ends.
    pub until: Timestamp,
}

/// The facts from which a release starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartRelease {
    /// The version: semantic, and new.
    pub version: Version,
    /// The project as its file says at this moment; it rules this release to its end.
    pub project: Project,
    /// The facts per service and environment.
    pub facts: Vec<ServiceFacts>,
    /// Set when this is a rehearsal.
    pub rehearsal: Option<Rehearsal>,
    /// Why an image that was rolled back is tried again; without it, it is refused.
    pub again: Option<String>,
}

/// A release on a scaled clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// How many seconds of the release's clock pass in one real second, at least 1.
    pub speed: u32,
}

/// Why a command was refused. Nothing was written. `Display` is one sentence; [`Rejection::hint`]
/// says what would be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// Another release is under way.
    #[error("version {version} is still being released ({release})")]
    ReleaseUnderWay {
        /// Its version.
        version: String,
        /// Its id.
        release: String,
    },
    /// The version was released before.
    #[error("version {version} was already released by {release}")]
    AlreadyReleased {
        /// The version.
        version: String,
        /// The release that did.
        release: String,
    },
    /// Nobody has said yet that releases go on after a rollback.
    #[error("new releases are held since {release} of {version} was rolled back")]
    HeldAfterRollback {
        /// The version that was rolled back.
        version: String,
        /// Its release.
        release: String,
    },
    /// Images were rolled back before, and nobody says why they should do better now.
    #[error("{images}")]
    TriedBefore {
        /// Which images, and by which releases.
        images: String,
    },
    /// No plan can be made.
    #[error("no plan can be made: {reasons}")]
    NoPlan {
        /// The planner's reasons, joined.
        reasons: String,
    },
    /// No release is under way.
    #[error("no release is under way")]
    NoRelease,
    /// The approval names another plan.
    #[error("the plan {given} is not the one that waits; that is {expected}")]
    OtherPlan {
        /// The digest that was given, short.
        given: String,
        /// The digest that waits, short.
        expected: String,
    },
    /// The actor is not among the project's people.
    #[error("`{actor}` is not among the project's people")]
    UnknownPerson {
        /// The name given.
        actor: String,
    },
    /// The actor doesn't have that role.
    #[error("`{actor}` does not have the role `{role}`")]
    NotInRole {
        /// The name given.
        actor: String,
        /// The role asked for.
        role: Role,
    },
    /// The release needs no approval in that role.
    #[error("this release needs no approval by the role `{role}`")]
    RoleNotNeeded {
        /// The role.
        role: Role,
    },
    /// Authors don't approve their own releases.
    #[error("`{actor}` started this release, and nobody approves their own")]
    OwnRelease {
        /// The author.
        actor: String,
    },
    /// The same person or role has approved already.
    #[error("`{actor}` has already approved this plan as `{role}`")]
    AlreadyApproved {
        /// Who approved.
        actor: String,
        /// In which role.
        role: Role,
    },
    /// The release is rolling back already.
    #[error("{release} is already rolling back")]
    RollingBack {
        /// Its id.
        release: String,
    },
    /// Nothing is halted or stuck.
    #[error("nothing is halted")]
    NotHalted,
    /// Pre-flight has passed, or the release goes back.
    #[error("pre-flight is over, so nothing is left to be waived")]
    PreflightOver,
    /// The check did not fail.
    #[error("`{check}` did not fail")]
    NotFailed {
        /// The name given.
        check: String,
        /// Those that did.
        failed: Vec<String>,
    },
    /// The waiver would not count.
    #[error("{0}")]
    NoWaiver(Objection),
    /// No incident is named, and not exactly one is open.
    #[error("{open} incidents are open, so one must be named")]
    WhichIncident {
        /// How many.
        open: usize,
    },
    /// Somebody has taken it on already.
    #[error("{incident} is already acknowledged by `{by}`")]
    AlreadyAcknowledged {
        /// Which.
        incident: IncidentId,
        /// By whom.
        by: String,
    },
    /// There is no such open incident.
    #[error("there is no open incident {incident}")]
    NoIncident {
        /// The id given.
        incident: IncidentId,
    },
    /// The flag was raised before, and no release goes forward that it could turn back.
    #[error("the {flag} flag is raised already: {incident} is open")]
    AlreadyRaised {
        /// The flag.
        flag: Flag,
        /// The incident that it opened.
        incident: IncidentId,
    },
}

impl Rejection {
    /// The command or edit that would be accepted.
    pub fn hint(&self) -> String {
        match self {
            Self::ReleaseUnderWay { .. } => {
                "see `holdpoint status`; end it with `holdpoint rollback --reason …`".to_owned()
            }
            Self::AlreadyReleased { .. } => "tag and release a higher version".to_owned(),
            Self::HeldAfterRollback { .. } => {
                "see what went wrong with `holdpoint timeline`, then `holdpoint continue`"
                    .to_owned()
            }
            Self::TriedBefore { .. } => "mend them and release a higher version, or say why they \
                 will do now: `holdpoint release VERSION --again REASON`"
                .to_owned(),
            Self::NoPlan { .. } => "mend what is named, then start the release again".to_owned(),
            Self::NoRelease => "start one with `holdpoint release VERSION`".to_owned(),
            Self::OtherPlan { expected, .. } => {
                format!("read the plan, then `holdpoint approve --plan {expected}`")
            }
            Self::UnknownPerson { .. } => {
                "add a `[[people]]` entry to `holdpoint.toml`, or act as `--as NAME`".to_owned()
            }
            Self::NotInRole { role, .. } => {
                format!("ask somebody whose `roles` in `holdpoint.toml` hold `{role}`")
            }
            Self::RoleNotNeeded { .. } => {
                "see `[production] approvals` in `holdpoint.toml`".to_owned()
            }
            Self::OwnRelease { .. } => "ask another person of that role".to_owned(),
            Self::AlreadyApproved { .. } => "each role is given by a different person".to_owned(),
            Self::RollingBack { .. } => "follow it with `holdpoint status`".to_owned(),
            Self::NotHalted => "see what the release waits for with `holdpoint status`".to_owned(),
            Self::PreflightOver => {
                "see what the release waits for with `holdpoint status`".to_owned()
            }
            Self::NotFailed { failed, .. } if failed.is_empty() => {
                "waive what failed once pre-flight has looked; see `holdpoint status`".to_owned()
            }
            Self::NotFailed { failed, .. } => format!("these did: {}", failed.join(", ")),
            Self::NoWaiver(objection) => objection.hint(),
            Self::AlreadyRaised { incident, .. } => format!(
                "production is held by it until `holdpoint incident close {incident} --resolution …`"
            ),
            Self::AlreadyAcknowledged { incident, .. } => {
                format!("say how it goes with `holdpoint incident update --incident {incident} …`")
            }
            Self::WhichIncident { open: 0 } => {
                "open one with `holdpoint incident open --severity SEV-2 --title …`".to_owned()
            }
            Self::WhichIncident { .. } => {
                "list them with `holdpoint incident list`, and name one".to_owned()
            }
            Self::NoIncident { .. } => "list them with `holdpoint incident list`".to_owned(),
        }
    }
}
