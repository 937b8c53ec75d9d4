//! What is wrong with a `holdpoint.toml`, and where. It holds the finding and
//! renders one line of text; it neither reads the file nor draws the excerpt.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Whether a finding stops the project from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file is refused until this is mended.
    Error,
    /// The file is used as it stands, though this is probably not what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One finding about a project file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Whether it stops the project from being used.
    pub severity: Severity,
    /// Line of the first character, counted from 1.
    pub line: usize,
    /// Column of the first character, counted in characters from 1.
    pub column: usize,
    /// The bytes of the text that the finding is about.
    pub span: Range<usize>,
    /// What was refused and why; lower case, no full stop.
    pub message: String,
    /// The edit that mends it.
    pub hint: Option<String>,
}

/// `line:column: severity: message`, and the hint on a second line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, line, column, message, .. } = self;
        write!(formatter, "{line}:{column}: {severity}: {message}")?;
        if let Some(hint) = &self.hint {
            write!(formatter, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}
