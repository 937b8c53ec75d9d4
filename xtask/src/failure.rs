//! How a task fails: what was refused, why, and the command or edit that mends it.

use std::fmt;

/// A task that could not be done, for a person to read.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    cause: Option<String>,
    hint: String,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None, hint: hint.into() }
    }

    pub(crate) fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "error: {}", self.what)?;
        if let Some(cause) = &self.cause {
            write!(formatter, "\n  cause: {cause}")?;
        }
        write!(formatter, "\n\nhint: {}", self.hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_what_why_and_how_to_mend_it() {
        let failure = Failure::new("cannot do `x`", "do `y`").because("`z` is missing");
        assert_eq!(
            failure.to_string(),
            "error: cannot do `x`\n  cause: `z` is missing\n\nhint: do `y`"
        );
    }
}
