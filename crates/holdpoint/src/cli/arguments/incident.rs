//! `holdpoint incident …`.

use clap::{Args, Subcommand};
use holdpoint_core::severity::Severity;

use super::{Platform, Reading};

/// `holdpoint incident`.
#[derive(Clone, Debug, Args)]
pub struct Incidents {
    #[command(subcommand)]
    #[expect(missing_docs, reason = "the type says it")]
    pub verb: Incident,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub platform: Platform,
}

/// What can be asked about incidents.
#[derive(Clone, Debug, Subcommand)]
pub enum Incident {
    /// Open an incident: people are called, and what the machines do and write is kept
    Open {
        /// How bad it is: SEV-1 (an outage), SEV-2 or SEV-3
        #[arg(long)]
        severity: Severity,
        /// What is wrong, in a sentence
        #[arg(long)]
        title: String,
    },
    /// List all incidents, the newest first
    List(Reading),
    /// Take an incident on, so that nobody else is called
    Ack {
        /// Its number, as in `INC-4` or `4` [default: the only one that is open]
        #[arg(value_parser = number)]
        incident: Option<u64>,
    },
    /// Say how it goes; everybody who hears of incidents is told
    Update {
        /// What, in a sentence
        text: String,
        /// The incident's number [default: the only one that is open]
        #[arg(long, value_parser = number)]
        incident: Option<u64>,
    },
    /// Close an incident, so that hold points no longer wait for it, and write its report
    Close {
        /// Its number, as in `INC-4` or `4`
        #[arg(value_parser = number)]
        incident: u64,
        /// What was found and done
        #[arg(long)]
        resolution: String,
    },
    /// Write an incident's report as it stands; what people wrote into it is kept
    Report {
        /// Its number, as in `INC-4` or `4`
        #[arg(value_parser = number)]
        incident: u64,
    },
}

fn number(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("INC-").unwrap_or(text);
    let number = digits.parse();
    number.map_err(|_unreadable| format!("`{text}` is not an incident, such as `INC-4`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_is_named_with_or_without_its_letters() {
        assert_eq!(number("INC-4"), Ok(4));
        assert_eq!(number("4"), Ok(4));
        assert!(number("four").is_err());
    }
}
