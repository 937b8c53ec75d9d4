//! A wave in production starts forward only inside a window, and never during a freeze or an
//! open incident. The calendar is read again from scratch, by plain arithmetic on the wall clock.

use holdpoint_core::event::Event;
use holdpoint_core::id::{Course, Environment};
use holdpoint_core::project::{Day, Project};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::ledger::Under;
use super::{Checker, Fact, Ledger};

#[derive(Debug)]
pub(super) struct WindowRespected;

#[derive(Debug)]
pub(super) struct FreezeRespected;

impl Checker for WindowRespected {
    fn name(&self) -> &'static str {
        "window-respected"
    }

    fn see(&mut self, ledger: &Ledger, now: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        let Some(under) = production_wave(ledger, fact) else { return Ok(()) };
        let is_open = is_in_window(&under.project, now);
        is_open.then_some(()).ok_or_else(|| format!("a production wave starts at {now}"))
    }
}

impl Checker for FreezeRespected {
    fn name(&self) -> &'static str {
        "freeze-respected"
    }

    fn see(&mut self, ledger: &Ledger, now: Timestamp, fact: Fact<'_>) -> Result<(), String> {
        let Some(under) = production_wave(ledger, fact) else { return Ok(()) };
        if !ledger.incidents.is_empty() {
            return Err(format!("a production wave starts while {:?} are open", ledger.incidents));
        }
        let mut freezes = under.project.freezes.iter();
        match freezes.find(|freeze| freeze.from <= now && now < freeze.to) {
            Some(freeze) => Err(format!("a production wave starts at {now} in {}", freeze.name)),
            None => Ok(()),
        }
    }
}

/// The release, if the fact is that a wave in production starts on its way forward.
fn production_wave<'a>(ledger: &'a Ledger, fact: Fact<'_>) -> Option<&'a Under> {
    let Fact::Event(Event::WaveStarted { step, .. }) = fact else { return None };
    let under = ledger.release.as_ref()?;
    let rollout = under.rollout(Course::Forward, *step)?;
    let counts =
        under.course() == Course::Forward && rollout.environment == Environment::Production;
    counts.then_some(under)
}

fn is_in_window(project: &Project, now: Timestamp) -> bool {
    let zone = TimeZone::get(&project.time_zone).expect("the simulated zones are known");
    let local = now.to_zoned_datetime(zone);
    let days = local.date().weekday().to_monday_zero_offset();
    let day = Day::ALL.into_iter().nth(usize::try_from(days).unwrap_or_default());
    let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute()));
    let mut windows = project.windows.iter();
    let in_window = windows.any(|window| {
        day.is_some_and(|day| window.days.contains(&day))
            && minute.is_ok_and(|at| window.from_minute <= at && at < window.to_minute)
    });
    in_window && !is_closed_day(project, local.date())
}

/// Whether the date is one of the last of its month or quarter that the project avoids.
fn is_closed_day(project: &Project, date: Date) -> bool {
    let month_after = |days: i64| date.saturating_add(days.days()).month();
    let ends_month = month_after(1) != date.month();
    let closed_days = i64::from(project.calendar.freeze_quarter_end_days);
    let ends_quarter = date.month() % 3 == 0
        && closed_days > 0
        && (1..=closed_days).any(|days| month_after(days) != date.month());
    (project.calendar.avoid_month_end && ends_month) || ends_quarter
}

#[cfg(test)]
mod tests {
    use holdpoint_core::id::IncidentId;
    use holdpoint_core::severity::Severity;

    use super::*;
    use crate::invariants::trace::Trace;

    #[test]
    fn a_wave_outside_every_window_is_caught() {
        let mut trace = Trace::of(WindowRespected);
        trace.release(1).unwrap();
        let wave = Event::WaveStarted { step: trace.production_rollout(), wave: 0 };
        // a Tuesday, within the runbook's window and after it
        trace.event_at("2026-03-03T12:00:00Z", &wave).unwrap();
        trace.event_at("2026-03-03T14:00:00Z", &wave).unwrap_err();
        // the last day of a month, and the last week of a quarter
        trace.event_at("2026-06-30T12:00:00Z", &wave).unwrap_err();
        trace.event_at("2026-06-24T12:00:00Z", &wave).unwrap_err();
        trace.event_at("2026-06-23T12:00:00Z", &wave).unwrap();
    }

    #[test]
    fn a_wave_during_an_open_incident_is_caught() {
        let mut trace = Trace::of(FreezeRespected);
        trace.release(1).unwrap();
        let wave = Event::WaveStarted { step: trace.production_rollout(), wave: 0 };
        trace.event(&wave).unwrap();
        let opened = Event::IncidentOpened {
            incident: IncidentId(1),
            title: "broken".to_owned(),
            severity: Severity::Sev2,
            environment: Environment::Production,
            facts: Vec::new(),
            by: None,
            project: None,
        };
        trace.event(&opened).unwrap();
        trace.event(&wave).unwrap_err();
    }

    #[test]
    fn a_wave_during_a_freeze_is_caught() {
        let mut trace = Trace::of(FreezeRespected);
        trace.release(1).unwrap();
        let wave = Event::WaveStarted { step: trace.production_rollout(), wave: 0 };
        trace.event_at("2026-04-01T12:00:00Z", &wave).unwrap_err();
    }
}
