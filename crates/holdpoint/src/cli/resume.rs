//! `holdpoint resume`: recovers the release that was under way from the journal, and drives it on.

use holdpoint_core::view;

use crate::cli::arguments::Resume;
use crate::daemon::{Assembly, Session, StopSignals};
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};
use crate::settings::Settings;

pub(super) async fn resume(settings: &Settings, resume: &Resume) -> Result<ExitCode, Problem> {
    let mut stop = StopSignals::listen()?;
    let lock = super::drive::lock(settings, "holdpoint resume".to_owned())?;
    let session = Session::open(&settings.state_dir).await?;
    let state = session.engine.state();
    let is_over = state.active().is_none() && state.outbox.is_empty() && !view::has_calls(state);
    let Some(project) = state.project().filter(|_| !is_over) else {
        return Err(Problem::new(ExitCode::Refused, "there is nothing to resume")
            .cause("no release is under way")
            .hint("start one with `holdpoint release VERSION`"));
    };
    let what = match state.releases.values().next_back().filter(|_| !view::has_calls(state)) {
        Some(release) => format!("{} of {}", release.id, release.version),
        None => "the calls of an incident".to_owned(),
    };
    message::print(&format!("resume {what} from record {}\n", session.engine.head_of_journal().0));
    let assembly = Assembly {
        // the project as it was when the release started: it rules it to its end
        project: project.clone(),
        project_root: settings.project_dir(),
        state_dir: settings.state_dir.clone(),
        address: settings.platform(&resume.platform)?,
    };
    let (conductor, handle) = assembly.conductor(session)?;
    let exit = super::drive::drive(settings, conductor, handle, &mut stop).await;
    drop(lock);
    exit
}
