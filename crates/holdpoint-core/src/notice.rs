//! A message to people: what it says, what it is about, and the numbers that go with it. When
//! one is written is decided elsewhere, and delivering it is not the core's business.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{Environment, IncidentId, ReleaseId};
use crate::project::Channel;

/// A message to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// When it was decided.
    pub at: Timestamp,
    /// What kind of message it is.
    pub kind: NoticeKind,
    /// What it says, in one line and in the runbook's words where it has some.
    pub text: String,
    /// Numbers and names that go with it.
    #[serde(default)]
    pub facts: Vec<Fact>,
    /// What it is about.
    #[serde(default)]
    pub about: About,
}

/// A message and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The channel, as it was when the message was written.
    pub channel: Channel,
    /// The message.
    pub notice: Notice,
}

/// A number or name that goes with a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is, as in `P95 latency`.
    pub name: String,
    /// Its value with its unit.
    pub value: String,
}

/// What a message is about, for programs that receive it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The project's name.
    pub project: String,
    /// The project's title.
    pub title: String,
    /// The release.
    pub release: Option<ReleaseId>,
    /// Its version.
    pub version: Option<String>,
    /// Where.
    pub environment: Option<Environment>,
    /// The incident.
    pub incident: Option<IncidentId>,
    /// Whether it is a rehearsal.
    pub rehearsal: bool,
    /// What was reached, where the message tells the reaching of something.
    pub milestone: Option<Milestone>,
}

/// Something that is reached once, for which other systems have a word of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Milestone {
    /// The version is in production.
    Deployed,
    /// The version before is back.
    RolledBack,
    /// An incident was opened.
    IncidentDetected,
    /// An incident was closed.
    IncidentResolved,
}

/// What kind of message to people it is (the runbook, "Communication Protocol").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// A deployment starts soon.
    Announcement,
    /// A regular word on how it goes.
    Update,
    /// Someone must approve.
    ApprovalWanted,
    /// The release waits or stopped.
    Hold,
    /// The release is complete.
    Complete,
    /// A rollback began, goes on or ended.
    Rollback,
    /// An incident was opened, changed or closed.
    Incident,
    /// Somebody is called.
    Escalation,
    /// Something about the telling itself: a channel is down.
    Delivery,
}

impl NoticeKind {
    /// All kinds, in the order in which messages list them.
    pub const ALL: [Self; 9] = [
        Self::Announcement,
        Self::Update,
        Self::ApprovalWanted,
        Self::Hold,
        Self::Complete,
        Self::Rollback,
        Self::Incident,
        Self::Escalation,
        Self::Delivery,
    ];

    /// The word used in files and in what programs receive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Announcement => "announcement",
            Self::Update => "update",
            Self::ApprovalWanted => "approval-wanted",
            Self::Hold => "hold",
            Self::Complete => "complete",
            Self::Rollback => "rollback",
            Self::Incident => "incident",
            Self::Escalation => "escalation",
            Self::Delivery => "delivery",
        }
    }

    /// Whether it counts as a word on how the release goes, after which the next regular one may
    /// wait its full time.
    pub(crate) fn is_of_the_release(self) -> bool {
        match self {
            Self::Announcement
            | Self::Update
            | Self::ApprovalWanted
            | Self::Hold
            | Self::Complete
            | Self::Rollback => true,
            Self::Incident | Self::Escalation | Self::Delivery => false,
        }
    }
}

impl Fact {
    /// A fact.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.value)
    }
}

impl fmt::Display for Notice {
    /// The text with its facts, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        let facts: Vec<String> = self.facts.iter().map(ToString::to_string).collect();
        if facts.is_empty() { Ok(()) } else { write!(f, " ({})", facts.join(", ")) }
    }
}
