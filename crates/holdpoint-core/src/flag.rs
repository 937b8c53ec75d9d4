//! Flags: what a person or another program knows and no signal shows. The runbook rolls back at
//! once for each ("When to Rollback"). What follows from one is decided elsewhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flag {
    /// "Critical security issue identified".
    Security,
    /// "Any data corruption detected".
    Corruption,
}

impl Flag {
    /// All flags.
    pub const ALL: [Self; 2] = [Self::Security, Self::Corruption];

    /// The word for it in commands and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Corruption => "corruption",
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word is none of the flags.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{word}` is no flag; they are `security` and `corruption`")]
pub struct UnknownFlag {
    /// The word.
    pub word: String,
}

impl FromStr for Flag {
    type Err = UnknownFlag;

    fn from_str(word: &str) -> Result<Self, UnknownFlag> {
        let found = Self::ALL.into_iter().find(|flag| flag.as_str() == word);
        found.ok_or_else(|| UnknownFlag { word: word.to_owned() })
    }
}
