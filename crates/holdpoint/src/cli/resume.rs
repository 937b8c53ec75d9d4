//! `holdpoint resume`: recovers the release that was under way from the journal, and drives it on.

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
    let newest = state.releases.values().next_back();
    let open = newest.filter(|release| release.ended.is_none() || !state.outbox.is_empty());
    let Some(release) = open else {
        return Err(Problem::new(ExitCode::Refused, "there is nothing to resume")
            .cause("no release is under way")
            .hint("start one with `holdpoint release VERSION`"));
    };
    message::print(&format!(
        "resume {} of {} from record {}\n",
        release.id,
        release.version,
        session.engine.head_of_journal().0
    ));
    let assembly = Assembly {
        // the project as it was when the release started: it rules it to its end
        project: release.project.clone(),
        project_root: settings.project_dir(),
        state_dir: settings.state_dir.clone(),
        address: settings.platform(&resume.platform)?,
    };
    let (conductor, handle) = assembly.conductor(session)?;
    let exit = super::drive::drive(settings, conductor, handle, &mut stop).await;
    drop(lock);
    exit
}
