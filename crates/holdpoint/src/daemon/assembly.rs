//! Puts a conductor together: adapters for one platform and one project, around a session.

use std::path::PathBuf;

use holdpoint_core::project::Project;
use thiserror::Error;
use tokio::sync::mpsc;

use super::{Calendars, Conductor, Handle, Invariants, Session, Telemetry};
use crate::adapter::build::BuildPlace;
use crate::adapter::company_calendar::CalendarReader;
use crate::adapter::platform::{AppFileError, PlatformAddress, health_paths};
use crate::adapter::telemetry::{Telemetry as Scraper, TelemetryError};
use crate::executor::{self, Executor, ExecutorError};
use crate::render::progress::Progress;
use crate::render::time::LocalTime;
use crate::variables::Variables;

/// Messages to the terminal that wait for the loop.
const NOTICES_MAX: usize = 64;

/// Everything around a session that a conductor needs.
#[derive(Clone, Debug)]
pub struct Assembly {
    /// The project that rules the release.
    pub project: Project,
    /// The folder that its paths are relative to.
    pub project_root: PathBuf,
    /// Where images and logs are kept.
    pub state_dir: PathBuf,
    /// The platform.
    pub address: PlatformAddress,
}

/// Why no conductor can be put together.
#[derive(Debug, Error)]
pub enum AssemblyError {
    /// The clients by which effects are performed.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// The client for metrics.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// An app's config.
    #[error(transparent)]
    AppFile(#[from] AppFileError),
}

impl Assembly {
    /// Where this project's images are made.
    pub fn build_place(&self) -> BuildPlace {
        BuildPlace { project_root: self.project_root.clone(), state_dir: self.state_dir.clone() }
    }

    /// A conductor of the session, and the way to talk to it.
    ///
    /// # Errors
    /// When an adapter can't be made or an app's config can't be read.
    pub fn conductor(&self, session: Session) -> Result<(Conductor, Handle), AssemblyError> {
        let Self { project, project_root, state_dir, address } = self;
        let (notices, heard) = mpsc::channel(NOTICES_MAX);
        let variables = Variables::of_process();
        let executor = Executor::new(executor::Settings {
            project_root: project_root.clone(),
            platform: address.clone(),
            notices,
            variables: variables.clone(),
            rehearsal_root: state_dir.clone(),
        })?;
        let health_paths = health_paths(project, project_root)?;
        let prober = executor.prober().clone();
        let scraper = Scraper::of(&project.telemetry, address, &variables, prober)?;
        let clock = session.clock.clone();
        let telemetry = Telemetry::start(scraper, health_paths, &project.gates, clock.clone());
        let invariants = Invariants::start(project_root.clone(), clock.clone());
        let progress = Progress::new(LocalTime::of(project), clock.speed());
        let reader = CalendarReader::new(project, project_root);
        let calendars = Calendars::start(project, &reader, &clock);
        Ok(Conductor::new(session, executor, telemetry, calendars, invariants, heard, progress))
    }
}
