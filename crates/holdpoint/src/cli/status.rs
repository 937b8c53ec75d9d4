//! `holdpoint status`: from the running conductor, or from the journal where none runs.

use holdpoint_core::view::{self, Status};

use crate::adapter::lock;
use crate::cli::arguments::Reading;
use crate::daemon::read_stored;
use crate::exit_code::ExitCode;
use crate::http::client::{self, AskError};
use crate::message::{self, Problem};
use crate::project_file;
use crate::render;
use crate::render::time::LocalTime;
use crate::settings::Settings;

pub(super) async fn status(settings: &Settings, reading: Reading) -> Result<ExitCode, Problem> {
    let (status, driven) = match client::read::<Status>(&settings.socket(), "/status").await {
        Ok(status) => (Some(status), true),
        Err(AskError::Unreachable { .. }) => {
            let stored = read_stored(&settings.state_dir).await?;
            (stored.map(|stored| view::status(&stored.state, stored.now)), false)
        }
        Err(error) => return Err(super::act::problem("cannot tell the status", error)),
    };
    if reading.json {
        message::print(&format!("{}\n", serde_json::to_string_pretty(&status)?));
        return Ok(ExitCode::Done);
    }
    let Some(status) = status else {
        message::print("nothing was released yet\n");
        return Ok(ExitCode::Done);
    };
    let project = project_file::load(&settings.project_file)?;
    message::print(&render::status::status(&status, &LocalTime::of(&project)));
    let active = status.release.is_some_and(|release| release.ended.is_none());
    if driven {
        if let Some(holder) = lock::holder(&settings.state_dir) {
            message::print(&format!(
                "driven by {} with `{}`, process {}\n",
                holder.who, holder.command, holder.process_id
            ));
        }
    } else if active {
        message::print("nobody drives it: go on with `holdpoint resume`\n");
    }
    Ok(ExitCode::Done)
}
