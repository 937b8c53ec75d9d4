//! `holdpoint window`: whether production may be changed, why not, and when next.

use holdpoint_core::project::Project;
use holdpoint_core::state::State;
use holdpoint_core::view;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::adapter::clock::Clock;
use crate::cli::arguments::Window;
use crate::daemon::read_stored;
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};
use crate::project_file;
use crate::settings::Settings;

/// How many openings are told: a team that plans a release looks a week or two ahead.
const OPENINGS: usize = 5;

pub(super) async fn window(settings: &Settings, flags: &Window) -> Result<ExitCode, Problem> {
    let project = project_file::load(&settings.project_file)?;
    // the journal can be read beside the conductor that writes it
    let stored = read_stored(&settings.state_dir).await?;
    let (mut state, now) = match stored {
        Some(stored) => (stored.state, stored.now),
        None => (State::default(), Clock::real().now()),
    };
    let known = &mut state.company_calendars;
    super::calendars::refresh(known, &project, &settings.project_dir(), now).await;
    let at = match &flags.at {
        Some(text) => read_time(text, &project)?,
        None => now,
    };
    let count = if flags.next { 1 } else { OPENINGS };
    let view = view::window(&project, &state, now, at, count);
    message::print(&if flags.reading.json {
        format!("{}\n", serde_json::to_string_pretty(&view)?)
    } else if flags.next {
        view.next_text(&project)
    } else {
        view.text(&project)
    });
    Ok(ExitCode::Done)
}

/// An instant with an offset, or a date with or without a time on the project's wall clock.
fn read_time(text: &str, project: &Project) -> Result<Timestamp, Problem> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    let zone = TimeZoneDatabase::bundled().get(&project.time_zone).unwrap_or(TimeZone::UTC);
    // a date with a time is also read as a date, with its time left out
    let local = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(DateTime::from));
    let instant = local.ok().and_then(|local| zone.to_timestamp(local).ok());
    instant.ok_or_else(|| {
        Problem::new(ExitCode::Usage, format!("`{text}` is no time"))
            .hint("write for example `--at 2026-12-01T10:00` or `--at 2026-12-01T16:00:00Z`")
    })
}
