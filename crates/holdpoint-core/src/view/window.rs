//! Whether production may be changed at a time, why not, and when next: the calendar and the open
//! incidents together, as data and as the text that people read.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::{Calendar, CalendarStatus, Opening};
use crate::project::Project;
use crate::state::State;

/// Whether production may be changed, and when next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowView {
    /// When this is true.
    pub at: Timestamp,
    /// Whether a production step may start.
    pub is_open: bool,
    /// The window that is open.
    pub window: Option<String>,
    /// When it closes; `None` when it is closed or stays open for more than a year.
    pub closes_at: Option<Timestamp>,
    /// When the next one opens, without one that is open; `None` when none does within a year, or
    /// when an open incident has to be closed or a calendar be read first.
    pub opens_at: Option<Timestamp>,
    /// Why production may not be changed, the strongest first; empty when it may.
    pub closed_by: Vec<ClosedBy>,
    /// The next openings by the calendar.
    pub openings: Vec<Opening>,
    /// Set when a release under way goes by other rules, those of the file at its start.
    pub ruled_otherwise: Option<String>,
}

/// One thing that stands against a production step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedBy {
    /// What, in words.
    pub reason: String,
    /// When it no longer does; `None` when that is not known.
    pub until: Option<Timestamp>,
}

/// What the project's rules, the company's calendars as they are known at `now`, and the open
/// incidents say of the time `at`.
pub fn window(
    project: &Project,
    state: &State,
    now: Timestamp,
    at: Timestamp,
    count: usize,
) -> WindowView {
    let calendar = Calendar::with_company(project, &state.company_calendars, now);
    let mut closed_by: Vec<ClosedBy> = state
        .incidents
        .iter()
        .filter(|(_, incident)| incident.closed.is_none())
        .map(|(id, incident)| ClosedBy {
            reason: format!("{id} is open: {}", incident.title),
            until: None,
        })
        .collect();
    let has_incident = !closed_by.is_empty();
    let mut is_known = true;
    let (window, closes_at) = match calendar.status(at) {
        CalendarStatus::Open { closes_at, window } => (Some(window), closes_at),
        CalendarStatus::Closed { reasons, opens_at } => {
            is_known = opens_at.is_some();
            closed_by.extend(reasons.iter().map(|reason| ClosedBy {
                reason: calendar.describe_reason(reason),
                until: reason.until(),
            }));
            (None, None)
        }
    };
    let openings = calendar.openings(at, count);
    let is_open = closed_by.is_empty();
    let first = openings.first().map(|opening| opening.opens_at);
    WindowView {
        at,
        is_open,
        window: window.filter(|_| is_open),
        closes_at: closes_at.filter(|_| is_open),
        opens_at: first.filter(|_| is_known && !has_incident),
        closed_by,
        openings,
        ruled_otherwise: ruled_otherwise(project, state),
    }
}

/// A release keeps the rules that it started with.
fn ruled_otherwise(project: &Project, state: &State) -> Option<String> {
    let release = state.active()?;
    let rules = |project: &Project| {
        let Project { time_zone, windows, calendar, freezes, .. } = project.clone();
        (time_zone, windows, calendar, freezes)
    };
    (rules(&release.project) != rules(project)).then(|| {
        format!(
            "the release of {} that is under way goes by the windows and freezes that the file had when it started; see `holdpoint status`",
            release.version
        )
    })
}

impl WindowView {
    /// Whether it is open, why not, and the next openings; each on a line.
    pub fn text(&self, project: &Project) -> String {
        let calendar = Calendar::new(project);
        let mut lines = vec![self.headline(&calendar)];
        lines.extend(self.closed_by.iter().map(|closed| format!("  {}", closed.reason)));
        if self.openings.is_empty() {
            lines.push("by the calendar no window opens within a year".to_owned());
        } else {
            lines.push("next:".to_owned());
            let openings = self.openings.iter();
            lines.extend(openings.map(|opening| format!("  {}", opening_text(opening, &calendar))));
        }
        lines.extend(self.ruled_otherwise.clone());
        lines.join("\n") + "\n"
    }

    /// When the next one opens, and why not now.
    pub fn next_text(&self, project: &Project) -> String {
        let calendar = Calendar::new(project);
        let mut lines = vec![match self.openings.first() {
            Some(opening) => format!("next: {}", opening_text(opening, &calendar)),
            None => "next: no window opens within a year".to_owned(),
        }];
        if self.is_open {
            lines.push(self.headline(&calendar));
        }
        lines.extend(self.closed_by.iter().map(|closed| format!("not now: {}", closed.reason)));
        lines.extend(self.ruled_otherwise.clone());
        lines.join("\n") + "\n"
    }

    fn headline(&self, calendar: &Calendar) -> String {
        let now = calendar.local_time(self.at);
        match (&self.window, self.closes_at, self.opens_at) {
            (Some(window), Some(closes_at), _) => {
                let closes_at = calendar.local_time(closes_at);
                format!("open at {now}: window `{window}` until {closes_at}")
            }
            (Some(window), None, _) => {
                format!("open at {now}: window `{window}`, for a year and longer")
            }
            (None, _, Some(opens_at)) => {
                format!("closed at {now}, until {}:", calendar.local_time(opens_at))
            }
            (None, _, None) => format!("closed at {now}:"),
        }
    }
}

fn opening_text(opening: &Opening, calendar: &Calendar) -> String {
    let Opening { window, opens_at, closes_at } = opening;
    let opens_at = calendar.local_time(*opens_at);
    match closes_at {
        Some(closes_at) => {
            format!("{opens_at} to {}, window `{window}`", calendar.local_time(*closes_at))
        }
        None => format!("{opens_at}, window `{window}`, for a year and longer"),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::calendar::{CalendarReading, CompanyEvent, KnownCalendar};
    use crate::id::IncidentId;
    use crate::project::{Freeze, Window, parse};
    use crate::state::Incident;

    /// A shop in Chicago with the runbook's windows.
    const SHOP: &str = r#"
[project]
name = "shop"
time_zone = "America/Chicago"
[[people]]
name = "ada"
roles = ["engineer", "manager"]
[[services]]
name = "api"
build = { command = ["make"], binary = "api" }
staging = { config = "staging.toml" }
production = { config = "production.toml" }
"#;

    fn shop() -> Project {
        parse(SHOP).0.expect("a sound project")
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn told(project: &Project, now: &str) -> String {
        window(project, &State::default(), at(now), at(now), 3).text(project)
    }

    #[test]
    fn an_open_window_is_told_with_its_end_and_those_that_follow() {
        assert_snapshot!(told(&shop(), "2026-12-02T17:00:00Z"));
    }

    #[test]
    fn the_openings_keep_to_the_wall_clock_when_the_clocks_change() {
        // daylight saving ends on 1 November 2026 and begins on 14 March 2027
        assert_snapshot!("clocks_go_back", told(&shop(), "2026-10-28T20:00:00Z"));
        assert_snapshot!("clocks_go_forward", told(&shop(), "2027-03-11T20:30:00Z"));
    }

    #[test]
    fn a_holiday_and_the_ends_of_month_and_quarter_are_passed_over() {
        assert_snapshot!("thanksgiving", told(&shop(), "2026-11-26T17:00:00Z"));
        assert_snapshot!("end_of_the_year", told(&shop(), "2026-12-30T17:00:00Z"));
    }

    #[test]
    fn a_freeze_cuts_openings_short_and_names_who_can_lift_it() {
        let mut project = shop();
        project.freezes = vec![Freeze {
            name: "summit".to_owned(),
            owner: "ada".to_owned(),
            reason: "everybody is away".to_owned(),
            from: at("2026-12-02T18:00:00Z"),
            to: at("2026-12-08T18:00:00Z"),
        }];
        assert_snapshot!("before_the_freeze", told(&project, "2026-12-02T15:00:00Z"));
        assert_snapshot!("in_the_freeze", told(&project, "2026-12-03T17:00:00Z"));
    }

    #[test]
    fn an_open_incident_closes_an_open_window_and_nobody_knows_until_when() {
        let mut state = State::default();
        let incident = Incident::new("health critical".to_owned(), at("2026-12-02T16:00:00Z"));
        state.incidents.insert(IncidentId(4), incident);
        let project = shop();
        let view =
            window(&project, &state, at("2026-12-02T17:00:00Z"), at("2026-12-02T17:00:00Z"), 1);
        assert!(!view.is_open && view.opens_at.is_none() && view.window.is_none());
        assert_snapshot!(view.text(&project));
        assert_snapshot!("incident_next", view.next_text(&project));
    }

    #[test]
    fn next_says_when_and_why_not_now() {
        let project = shop();
        let view = window(
            &project,
            &State::default(),
            at("2026-11-26T04:00:00Z"),
            at("2026-11-26T04:00:00Z"),
            1,
        );
        assert_snapshot!(view.next_text(&project));
        let view = window(
            &project,
            &State::default(),
            at("2026-12-02T17:00:00Z"),
            at("2026-12-02T17:00:00Z"),
            1,
        );
        assert_snapshot!("next_while_open", view.next_text(&project));
    }

    #[test]
    fn a_company_event_closes_a_window_and_a_calendar_that_is_not_known_closes_all() {
        let rest = "[[calendar.events]]\nname = \"company\"\nsource = \"company.ics\"\n";
        let project = parse(&format!("{SHOP}{rest}")).0.expect("a sound project");
        let (now, mut state) = (at("2026-12-02T17:00:00Z"), State::default());
        let told = |state: &State| window(&project, state, now, now, 1).text(&project);
        assert_snapshot!("calendar_never_read", told(&state));
        let event = CompanyEvent {
            from: at("2026-12-02T16:30:00Z"),
            to: at("2026-12-03T18:00:00Z"),
            summary: "All hands".to_owned(),
        };
        let mut known = KnownCalendar::default();
        known.learn(now, &CalendarReading::Read(vec![event]));
        state.company_calendars.insert("company".to_owned(), known);
        assert_snapshot!("company_event", told(&state));
    }

    #[test]
    fn a_project_whose_windows_never_open_says_so() {
        let mut project = shop();
        project.windows = vec![Window { days: Vec::new(), ..Window::midweek() }];
        assert_snapshot!(told(&project, "2026-12-02T17:00:00Z"));
    }
}
