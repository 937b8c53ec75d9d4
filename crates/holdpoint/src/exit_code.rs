//! The exit statuses of the command: one published table, and nothing else ends the process with
//! another number.

use std::fmt;
use std::process;

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// What was asked for was done.
    Done,
    /// A check of `smoke` or `probe` failed, or something happened that nobody planned for: a
    /// damaged journal, a full disk.
    Unexpected,
    /// The command line or a project file is wrong.
    Usage,
    /// It was understood and refused; nothing was changed.
    Refused,
    /// A gate failed, or the release was rolled back.
    RolledBack,
    /// It stopped before its end and can be resumed.
    Resumable,
    /// A verb needs a running conductor, and there is none.
    Unreachable,
    /// Ctrl-C where nothing is left to be resumed, or a second one: it left at once. 128 + SIGINT,
    /// as shells have it.
    Interrupted,
}

impl ExitCode {
    /// Every status, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::Unexpected,
        Self::Usage,
        Self::Refused,
        Self::RolledBack,
        Self::Resumable,
        Self::Unreachable,
        Self::Interrupted,
    ];

    /// The number that the process ends with.
    pub fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::RolledBack => 4,
            Self::Resumable => 5,
            Self::Unreachable => 6,
            Self::Interrupted => 130,
        }
    }

    /// What the table says of it.
    fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unexpected => "a check failed, or something unexpected happened",
            Self::Usage => "the command line or a project file is wrong",
            Self::Refused => "refused; nothing was changed",
            Self::RolledBack => "a gate failed, or the release was rolled back",
            Self::Resumable => "stopped before the end; `holdpoint resume` goes on",
            Self::Unreachable => "no conductor is running",
            Self::Interrupted => "interrupted: by a second Ctrl-C, or before anything was begun",
        }
    }

    /// The table, as the help text shows it.
    pub fn table() -> String {
        let lines = Self::ALL.map(|code| format!("  {:>3}  {code}", code.number()));
        format!("Exit status:\n{}", lines.join("\n"))
    }
}

impl fmt::Display for ExitCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.meaning())
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_status_has_a_number_of_its_own() {
        let numbers: BTreeSet<u8> = ExitCode::ALL.into_iter().map(ExitCode::number).collect();
        assert_eq!(numbers.len(), ExitCode::ALL.len());
    }

    #[test]
    fn the_published_table_says_the_same() {
        let published = include_str!("../../../docs/exit-statuses.md");
        for code in ExitCode::ALL {
            let row = format!("| {} | {code} |", code.number());
            assert!(published.contains(&row), "the table lacks `{row}`");
        }
    }
}
