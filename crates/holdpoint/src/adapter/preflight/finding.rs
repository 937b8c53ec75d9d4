//! What a check is made of, and what looking finds.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use holdpoint_core::preflight::CheckKind;

/// What was found; or what is wrong, and how to mend it.
pub(super) type Finding = Result<String, Lack>;

/// What is wrong, and how to mend it. The first line of the detail says it all; the others may
/// draw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    pub(super) detail: String,
    pub(super) hint: String,
}

impl Lack {
    pub(super) fn new(detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { detail: detail.into(), hint: hint.into() }
    }

    /// The lack that an error of ours means, whose mend may stand in a line `hint: …`.
    pub(super) fn told(error: &impl fmt::Display, hint: &str) -> Self {
        let text = error.to_string();
        let (detail, found) = text.split_once("\nhint: ").unwrap_or((&text, hint));
        Self::new(detail, found.lines().next().unwrap_or_default())
    }
}

/// How far a check has to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The files and programs of this computer.
    Here,
    /// The platform, or another service.
    Network,
}

/// One thing to look at.
pub struct Check<'a> {
    /// Its kind, and its subject where there may be several of a kind.
    pub name: String,
    /// How far it has to reach.
    pub reach: Reach,
    pub(super) look: Pin<Box<dyn Future<Output = Finding> + Send + 'a>>,
}

impl<'a> Check<'a> {
    pub(super) fn here(
        kind: CheckKind,
        subject: &str,
        look: impl Future<Output = Finding> + Send + 'a,
    ) -> Self {
        Self::new(kind, subject, Reach::Here, look)
    }

    pub(super) fn network(
        kind: CheckKind,
        subject: &str,
        look: impl Future<Output = Finding> + Send + 'a,
    ) -> Self {
        Self::new(kind, subject, Reach::Network, look)
    }

    fn new(
        kind: CheckKind,
        subject: &str,
        reach: Reach,
        look: impl Future<Output = Finding> + Send + 'a,
    ) -> Self {
        let name = if subject.is_empty() { kind.to_string() } else { format!("{kind}:{subject}") };
        Self { name, reach, look: Box::pin(look) }
    }
}

impl fmt::Debug for Check<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = formatter.debug_struct("Check");
        text.field("name", &self.name).field("reach", &self.reach).finish_non_exhaustive()
    }
}
