//! A check that is a program of the project's own: its exit status says whether it passed. It
//! starts nothing itself.

use serde::{Deserialize, Serialize};

use super::scope::Scope;
use super::step::LIMIT_MS;
use crate::project::reader::Table;

/// How long a program may take unless the file says otherwise.
const WITHIN_MS: u64 = 60 * 1000;

/// How many words a command may have.
const WORDS_LIMIT: usize = 64;

/// A program that is run, without a shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandCheck {
    /// Program and arguments; never empty.
    pub command: Vec<String>,
    /// Where it runs, relative to `holdpoint.toml`; `.` by default.
    pub directory: String,
    /// It is killed after this time, in milliseconds; 1 min by default.
    pub within_ms: u64,
}

impl CommandCheck {
    pub(super) fn read(table: &mut Table<'_>, scope: &Scope) -> Self {
        let value = table.require("command", "[\"scripts/smoke.sh\", \"{environment}\"]");
        let words = value.as_ref().map(|value| value.lines(WORDS_LIMIT)).unwrap_or_default();
        if let Some(value) = &value
            && value.raw().as_array().is_some_and(|array| array.is_empty())
        {
            value.refuse("is empty", "name the program and its arguments");
        }
        for (word, place) in &words {
            scope.check(table.report, place, word);
        }
        let within = table.take("within").and_then(|value| value.millis(&(1..=LIMIT_MS)));
        Self {
            command: words.into_iter().map(|(word, _)| word).collect(),
            directory: table.line("directory").unwrap_or_else(|| ".".to_owned()),
            within_ms: within.unwrap_or(WITHIN_MS),
        }
    }
}
