//! `holdpoint timeline`: what happened, from the journal.

use holdpoint_core::view;

use crate::cli::arguments::Reading;
use crate::daemon::read_stored;
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};
use crate::project_file;
use crate::render::time::LocalTime;
use crate::settings::Settings;

pub(super) async fn timeline(settings: &Settings, reading: Reading) -> Result<ExitCode, Problem> {
    // the journal can be read beside the conductor that writes it
    let stored = read_stored(&settings.state_dir).await?;
    let records = stored.map(|stored| stored.records).unwrap_or_default();
    let entries = view::timeline(&records)?;
    if reading.json {
        message::print(&format!("{}\n", serde_json::to_string_pretty(&entries)?));
        return Ok(ExitCode::Done);
    }
    let project = project_file::load(&settings.project_file)?;
    let time = LocalTime::of(&project);
    let mut day = String::new();
    for entry in &entries {
        let date = time.date(entry.at);
        if date != day {
            message::print(&format!("{date}\n"));
            day = date;
        }
        message::print(&format!("  {}  {}\n", time.clock(entry.at), entry.text));
    }
    Ok(ExitCode::Done)
}
