//! A release that goes forward when a flag is raised does not go forward one step later; and each
//! flag opens an incident.

use holdpoint_core::event::Event;
use holdpoint_core::id::{Course, IncidentId};
use jiff::Timestamp;

use super::{Checker, Fact, Ledger};

#[derive(Debug, Default)]
pub(super) struct FlagTurnsBack {
    /// The incident of a flag, until the step in which it was raised is over.
    raised: Option<IncidentId>,
    is_opened: bool,
}

impl Checker for FlagTurnsBack {
    fn name(&self) -> &'static str {
        "flag-turns-back"
    }

    fn see(&mut self, ledger: &Ledger, _: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        if let Fact::Event(Event::FlagRaised { incident, .. }) = fact {
            (self.raised, self.is_opened) = (Some(*incident), false);
        }
        if let Fact::Event(Event::IncidentOpened { incident, .. }) = fact {
            self.is_opened |= self.raised == Some(*incident);
        }
        let Fact::Rest(_) = fact else { return Ok(()) };
        let Some(incident) = self.raised.take() else { return Ok(()) };
        if !self.is_opened {
            return Err(format!("a flag was raised, and {incident} was not opened"));
        }
        match &ledger.release {
            Some(under) if under.course() == Course::Forward => {
                Err(format!("{} goes forward although a flag was raised", under.id))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::event::Ending;
    use holdpoint_core::flag::Flag;

    use super::*;
    use crate::invariants::trace::Trace;

    fn raised() -> Trace<FlagTurnsBack> {
        let mut trace = Trace::of(FlagTurnsBack::default());
        trace.release(1).unwrap();
        let (flag, incident) = (Flag::Security, IncidentId(1));
        let (by, reason) = ("scanner".to_owned(), "a key leaked".to_owned());
        trace.event(&Event::FlagRaised { flag, by, reason, incident }).unwrap();
        trace
    }

    #[test]
    fn a_release_that_goes_on_and_a_flag_without_an_incident_are_caught() {
        let opened = Event::IncidentOpened {
            incident: IncidentId(1),
            title: "a key leaked".to_owned(),
            severity: holdpoint_core::severity::Severity::Sev1,
            environment: holdpoint_core::id::Environment::Production,
            facts: Vec::new(),
            by: None,
            project: None,
        };
        let refused = Ending::Refused { reason: "a key leaked".to_owned() };
        let mut alone = raised();
        alone.rest().unwrap_err();
        let mut goes_on = raised();
        goes_on.event(&opened).unwrap();
        goes_on.rest().unwrap_err();
        let mut ends = raised();
        ends.event(&opened).unwrap();
        ends.event(&Event::ReleaseEnded { ending: refused }).unwrap();
        ends.rest().unwrap();
    }
}
