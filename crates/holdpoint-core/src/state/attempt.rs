//! How far one effect has got: which attempt, and whether and how it ended.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The trying of one effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 at first; one more after each failure. It is part of the effect's id.
    pub number: u32,
    /// How often the outcome of this attempt was unknown.
    pub unknowns: u32,
    /// Not to be asked for before this time.
    pub not_before: Option<Timestamp>,
    /// How it ended, once it has.
    pub end: Option<End>,
}

/// How the trying of an effect ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// It was done.
    Done,
    /// It can't be done, and the release can't go on this way.
    Failed(String),
    /// Something else holds it up; nothing is wrong with the version.
    Blocked(String),
}

impl Default for Attempt {
    fn default() -> Self {
        Self { number: 1, unknowns: 0, not_before: None, end: None }
    }
}

impl Attempt {
    /// The next attempt, not before a time.
    #[must_use]
    pub fn next(&self, not_before: Option<Timestamp>) -> Self {
        Self { number: self.number.saturating_add(1), unknowns: 0, not_before, end: None }
    }

    /// Whether its effect is to be asked for at `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.end.is_none() && self.not_before.is_none_or(|time| now >= time)
    }
}
