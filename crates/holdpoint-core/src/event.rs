//! What has happened. Events are the only thing that changes state, and their fold is the state.
//! They carry what was decided, so that replaying them decides nothing again.

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::calendar::CompanyEvent;
use crate::command::Rehearsal;
use crate::document::Document;
use crate::effect::{Fact, Notice, Outcome};
use crate::flag::Flag;
use crate::gate::Finding;
use crate::id::{EffectId, Environment, ImageDigest, IncidentId, ReleaseId};
use crate::observation::Observation;
use crate::plan::Plan;
use crate::planner::Report;
use crate::preflight::Waiver;
use crate::project::{Project, Role};
use crate::severity::Severity;

/// One thing that happened, at the time of its record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A release began, with its plan.
    ReleaseStarted(Box<ReleaseStarted>),
    /// A step of the current plan began.
    StepStarted {
        /// Its number.
        step: usize,
    },
    /// The machines of a wave began to change.
    WaveStarted {
        /// The step's number.
        step: usize,
        /// The wave's number.
        wave: usize,
    },
    /// An effect ended.
    EffectEnded {
        /// Which.
        effect: EffectId,
        /// How.
        outcome: Outcome,
    },
    /// Signals arrived.
    Observed(Observation),
    /// A calendar of the company was read.
    CalendarRead {
        /// Its name.
        calendar: String,
        /// The events that count; `None` when they are those of the reading before.
        events: Option<Vec<CompanyEvent>>,
    },
    /// A calendar of the company could not be read.
    CalendarFailed {
        /// Its name.
        calendar: String,
        /// Why.
        problem: String,
    },
    /// A soak's count began.
    SoakStarted {
        /// The step's number.
        step: usize,
    },
    /// A soak's count was lost and begins anew.
    SoakInterrupted {
        /// The step's number.
        step: usize,
        /// Which gate, with its numbers; or that there was no data.
        reason: String,
    },
    /// Somebody consented to the plan.
    Approved {
        /// Who.
        actor: String,
        /// In which role.
        role: Role,
    },
    /// An approval's time ran out before it was used.
    ApprovalExpired {
        /// Whose.
        actor: String,
        /// In which role.
        role: Role,
    },
    /// A check that failed stands in nobody's way.
    CheckWaived {
        /// Who said so, why and until when.
        waiver: Waiver,
    },
    /// The start in production was announced.
    StartAnnounced {
        /// When production steps will start, if nothing comes between.
        start_at: Timestamp,
    },
    /// The announced start fell through: the window closed or a freeze or incident came.
    StartWithdrawn {
        /// Why.
        reason: String,
    },
    /// A step of the current plan is complete.
    StepPassed {
        /// Its number.
        step: usize,
    },
    /// A step of the current plan could not be completed.
    StepFailed {
        /// Its number.
        step: usize,
        /// Why.
        reason: String,
    },
    /// The release stopped at a safe point.
    Halted {
        /// Who halted it; `None` when the engine did.
        by: Option<String>,
        /// Why.
        reason: String,
    },
    /// The release goes on.
    Resumed {
        /// Who said so.
        by: String,
    },
    /// A gate was breached.
    Breached {
        /// The gate's finding.
        finding: Finding,
    },
    /// Somebody told of what no signal shows.
    FlagRaised {
        /// What was seen.
        flag: Flag,
        /// By whom.
        by: String,
        /// In a sentence.
        reason: String,
        /// The incident that is opened for it.
        incident: IncidentId,
    },
    /// The way back began.
    RollbackStarted {
        /// Why.
        reason: String,
        /// Who asked for it; `None` when the engine decided.
        by: Option<String>,
        /// The way back.
        plan: Box<Plan>,
        /// The images to blame: none of them is tried again without a person's word.
        #[serde(default)]
        suspects: Vec<ImageDigest>,
    },
    /// Somebody let new releases start again after a rollback.
    RollbackAcknowledged {
        /// Who.
        by: String,
        /// The release that was rolled back.
        release: ReleaseId,
    },
    /// An incident was opened.
    IncidentOpened {
        /// Its id.
        incident: IncidentId,
        /// What is wrong.
        title: String,
        /// How bad it is.
        #[serde(default)]
        severity: Severity,
        /// Where.
        #[serde(default = "production")]
        environment: Environment,
        /// The numbers of the moment.
        #[serde(default)]
        facts: Vec<Fact>,
        /// Who opened it; `None` when the engine did.
        #[serde(default)]
        by: Option<String>,
        /// The project, where no release is under way that has one.
        #[serde(default)]
        project: Option<Box<Project>>,
    },
    /// Somebody took an incident on.
    IncidentAcknowledged {
        /// Its id.
        incident: IncidentId,
        /// Who.
        by: String,
    },
    /// Somebody said something about an incident.
    IncidentUpdated {
        /// Its id.
        incident: IncidentId,
        /// Who.
        by: String,
        /// What.
        text: String,
    },
    /// An incident called a role.
    IncidentEscalated {
        /// Its id.
        incident: IncidentId,
        /// Whom.
        role: Role,
    },
    /// An incident was closed.
    IncidentClosed {
        /// Its id.
        incident: IncidentId,
        /// By whom.
        by: String,
        /// What was found and done.
        resolution: String,
    },
    /// A message to people was written.
    NoticeQueued {
        /// Its number.
        number: u64,
        /// What it says.
        notice: Notice,
        /// The channels that want it.
        #[serde(default)]
        channels: Vec<String>,
    },
    /// A message will not be delivered to a channel or document.
    DeliveryGivenUp {
        /// Which message to which of them.
        effect: EffectId,
        /// The name of the channel or document.
        to: String,
        /// Why.
        reason: String,
    },
    /// Lines for the reliability log were written.
    LinesQueued {
        /// Their number.
        number: u64,
        /// The lines.
        lines: Vec<String>,
    },
    /// Something is to be written that is no line of the reliability log.
    DocumentQueued {
        /// Its number.
        number: u64,
        /// What.
        document: Box<Document>,
    },
    /// A release ended.
    ReleaseEnded {
        /// How.
        ending: Ending,
    },
}

/// The beginning of a release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReleaseStarted {
    /// Its id.
    pub release: ReleaseId,
    /// Its version.
    pub version: Version,
    /// Who started it.
    pub author: String,
    /// The project that rules it.
    pub project: Project,
    /// Set when it is a rehearsal.
    pub rehearsal: Option<Rehearsal>,
    /// The way forward.
    pub plan: Plan,
    /// What the planner left out, and why.
    pub report: Report,
    /// Why it brings an image that was rolled back before, in the author's words.
    #[serde(default)]
    pub again: Option<String>,
}

/// How a release ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The version is in production.
    Released,
    /// The previous version is back.
    RolledBack,
    /// It ended before anything was touched.
    Refused {
        /// Why.
        reason: String,
    },
}

/// Where incidents were before they said so.
fn production() -> Environment {
    Environment::Production
}
