//! `holdpoint release VERSION`: builds the images, pushes them, looks at the platform, starts the
//! release and drives it to its end.

use std::path::Path;

use holdpoint_core::command::{Actor, Command, StartRelease};
use holdpoint_core::engine::Input;
use holdpoint_core::event::Ending;
use holdpoint_core::state::State;
use semver::Version;

use crate::adapter::clock::Clock;
use crate::adapter::platform::Platform;
use crate::cli::arguments::Release;
use crate::daemon::{Assembly, Session, StopSignals};
use crate::exit_code::ExitCode;
use crate::images;
use crate::message::{self, Problem};
use crate::project_file;
use crate::settings::Settings;

pub(super) async fn release(settings: &Settings, release: &Release) -> Result<ExitCode, Problem> {
    let version = &release.version;
    let mut stop = StopSignals::listen()?;
    let now = Clock::real().now();
    let project = project_file::load_for_release(&settings.project_file, now)?;
    let address = settings.platform(&release.platform)?;
    let lock = super::drive::lock(settings, format!("holdpoint release {version}"))?;
    let session = Session::open(&settings.state_dir).await?;
    refuse_early(session.engine.state(), version)?;
    let now = session.clock.now();
    let readings = super::calendars::read_all(&project, &settings.project_dir(), now).await?;
    let assembly = Assembly {
        project,
        project_root: settings.project_dir(),
        state_dir: absolute(&settings.state_dir)?,
        address,
    };
    let start = tokio::select! {
        start = prepare(&assembly, release) => start?,
        // nothing was begun, so nothing is left to be resumed
        _ = stop.next() => return Ok(ExitCode::Interrupted),
    };
    let (mut conductor, handle) = assembly.conductor(session)?;
    for (calendar, reading) in readings {
        // what was read is never refused
        drop(conductor.input(Input::CalendarRead(calendar, reading)).await?);
    }
    let command = Command::StartRelease(Box::new(start));
    let input = Input::Command(Actor::new(&settings.actor), command);
    conductor.input(input).await?.map_err(|rejection| {
        message::refused(format!("cannot start the release of {version}"), &rejection)
    })?;
    let exit = super::drive::drive(settings, conductor, handle, &mut stop).await;
    drop(lock);
    exit
}

/// Builds and pushes the images, and looks at what runs.
async fn prepare(assembly: &Assembly, release: &Release) -> Result<StartRelease, Problem> {
    let (place, project) = (assembly.build_place(), &assembly.project);
    images::compile(&place, project).await?;
    let images = images::pack(&place, project, &release.version).await?;
    images::push(&place, project, &images, &assembly.address).await?;
    let platform = Platform::new(&assembly.address)?;
    let facts = platform.observe(project, &assembly.project_root, &images).await;
    let facts = facts.map_err(|error| Problem::from(error).exit(ExitCode::Refused))?;
    let (version, again) = (&release.version, release.again.clone());
    Ok(StartRelease {
        version: version.clone(),
        project: project.clone(),
        facts,
        rehearsal: None,
        again,
    })
}

/// What the engine would refuse anyway is refused before minutes are spent on a build.
fn refuse_early(state: &State, version: &Version) -> Result<(), Problem> {
    let sentence = format!("cannot start the release of {version}");
    if let Some(release) = state.active() {
        return Err(Problem::new(ExitCode::Refused, sentence)
            .cause(format!("{} of {} is still under way", release.id, release.version))
            .hint("go on with it: `holdpoint resume`"));
    }
    if let Some(held_by) = state.held_by {
        return Err(Problem::new(ExitCode::Refused, sentence)
            .cause(format!("new releases are held since {held_by} was rolled back"))
            .hint("see what went wrong with `holdpoint timeline`, then `holdpoint continue`"));
    }
    let released = state.releases.values().find(|release| {
        release.version == *version && matches!(release.ended, Some((_, Ending::Released)))
    });
    match released {
        Some(release) => Err(Problem::new(ExitCode::Refused, sentence)
            .cause(format!("{version} was already released by {}", release.id))
            .hint("tag and release a higher version")),
        None => Ok(()),
    }
}

/// Build commands run in folders of their own, so a relative path would lead them elsewhere.
fn absolute(path: &Path) -> Result<std::path::PathBuf, Problem> {
    Ok(std::path::absolute(path)?)
}
