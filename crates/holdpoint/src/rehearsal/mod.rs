//! A whole release of a project on this computer, twice: a version that is good, and the next
//! one with a fault that must be caught and rolled back. The clock is scaled; nothing else is
//! different from a real release, and no gate, window or approval is skipped.

pub mod people;
pub mod report;
pub mod stage;
pub mod traffic;

use holdpoint_core::calendar::{Calendar, CalendarStatus};
use holdpoint_core::command::{Actor, Command, Rehearsal, StartRelease};
use holdpoint_core::engine::Input;
use holdpoint_core::event::Ending;
use holdpoint_core::id::{AppName, Environment};
use holdpoint_core::project::Project;
use jiff::{SignedDuration, Timestamp};
use semver::Version;

use crate::adapter::clock::{Clock, Stopwatch};
use crate::adapter::journal_sql::Journal;
use crate::adapter::lock::{DriverLock, Holder};
use crate::adapter::platform::Platform;
use crate::cli::arguments::{Machines, Rehearse};
use crate::daemon::{Assembly, Drive, Session, StopSignals, speed_max};
use crate::exit_code::ExitCode;
use crate::http::Server;
use crate::images::{self, Images};
use crate::message::{self, Problem};
use crate::project_file;
use crate::render;
use crate::render::time::{LocalTime, human};
use crate::settings::Settings;

use report::Findings;
use stage::Stage;
use traffic::{Party, Target, Traffic};

/// The version that is good.
const GOOD: Version = Version::new(1, 0, 0);

/// The version with the fault.
const BAD: Version = Version::new(1, 1, 0);

/// How long before a window the first release begins: about what staging takes by the runbook,
/// so that the wait for the window is seen and short.
const BEFORE_WINDOW: SignedDuration = SignedDuration::from_mins(40);

/// How a rehearsal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both versions fared as they should.
    AsItShould,
    /// One of them did not.
    OtherThanItShould,
    /// Somebody stopped it.
    Stopped,
}

/// Rehearses.
///
/// # Errors
/// When a build, the platform or the journal fails.
pub async fn run(settings: &Settings, rehearse: &Rehearse) -> Result<Outcome, Problem> {
    let mut stop = StopSignals::listen()?;
    let mut project = project_file::load(&settings.project_file)?;
    refuse_speed(&project, rehearse.speed)?;
    people::add_to(&mut project);
    // on a clock of its own a rehearsal has nothing to do with what the company does now
    project.calendar.events.clear();
    message::print(&format!(
        "rehearsal of {}: {} and {}, the clock at {} times its pace\n\n",
        project.title, GOOD, BAD, rehearse.speed
    ));
    let lock = DriverLock::acquire(&settings.state_dir, &holder(settings))
        .map_err(|error| Problem::from(error).exit(ExitCode::Refused))?;
    let watch = Stopwatch::start();
    let prepared = tokio::select! {
        prepared = prepare(settings, &rehearse.machines, project) => prepared?,
        _ = stop.next() => return Ok(Outcome::Stopped),
    };
    message::print(&format!("ready after {}\n", human(watch.elapsed())));
    let watch = Stopwatch::start();
    let Prepared { stage, assembly, good, bad } = prepared;
    let cast = Cast { settings, rehearse, assembly: &assembly, stage: &stage };
    let played = Box::pin(cast.play(&good, &bad, &mut stop)).await;
    stage.stop().await;
    drop(lock);
    let outcome = played?;
    message::print(&format!("the rehearsal took {}\n", human(watch.elapsed())));
    Ok(outcome)
}

struct Prepared {
    stage: Stage,
    assembly: Assembly,
    good: Images,
    bad: Images,
}

/// Builds the images of both versions and brings up a platform that has them and the apps.
async fn prepare(
    settings: &Settings,
    machines: &Machines,
    project: Project,
) -> Result<Prepared, Problem> {
    let place = crate::adapter::build::BuildPlace {
        project_root: settings.project_dir(),
        state_dir: settings.state_dir.clone(),
    };
    images::compile(&place, &project).await?;
    let good = images::pack(&place, &project, &GOOD).await?;
    let bad = images::pack(&place, &project, &BAD).await?;
    let stage = Stage::start(settings, machines).await?;
    let platform = Platform::new(&stage.address)?;
    images::create_missing_apps(&place, &project, &platform).await?;
    images::push(&place, &project, &good, &stage.address).await?;
    images::push(&place, &project, &bad, &stage.address).await?;
    message::print(&format!(
        "platform  {}, proxy {}\n",
        stage.address.api_base_url,
        stage.address.proxy_url.as_deref().unwrap_or("none")
    ));
    let assembly = Assembly {
        project,
        project_root: place.project_root,
        state_dir: place.state_dir,
        address: stage.address.clone(),
    };
    Ok(Prepared { stage, assembly, good, bad })
}

struct Cast<'a> {
    settings: &'a Settings,
    rehearse: &'a Rehearse,
    assembly: &'a Assembly,
    stage: &'a Stage,
}

impl Cast<'_> {
    async fn play(
        &self,
        good: &Images,
        bad: &Images,
        stop: &mut StopSignals,
    ) -> Result<Outcome, Problem> {
        let state_dir = &self.settings.state_dir;
        let journal = Journal::open(state_dir).await?;
        let start = opening(&self.assembly.project);
        let clock = Clock::scaled_in(state_dir, start, self.rehearse.speed)?;
        let traffic = Traffic::start(self.targets()?, self.rehearse.traffic, &clock)?;
        message::print(&format!(
            "traffic   {} requests per second to each app, from its first answer on\n",
            self.rehearse.traffic
        ));
        let first = self.release(&journal, &clock, GOOD, good, stop).await?;
        // a first version that does not make it leaves nothing that a second could fall back to
        let stopped = match first {
            Drive::Ended(Ending::Released) => {
                self.set_faults(bad).await?;
                let second = self.release(&journal, &clock, BAD, bad, stop).await?;
                matches!(second, Drive::Stopped | Drive::Left)
            }
            Drive::Ended(_) | Drive::Idle => false,
            Drive::Stopped | Drive::Left => true,
        };
        let answers = traffic.stop().await;
        if stopped {
            return Ok(Outcome::Stopped);
        }
        let session = Session::recover(journal.clone(), clock.clone()).await?;
        let records = journal.read_all().await?;
        let bad_images: Vec<String> = bad.values().map(ToString::to_string).collect();
        let report = report::report(&Findings {
            title: &self.assembly.project.title,
            speed: self.rehearse.speed,
            state: session.engine.state(),
            records: &records,
            answers: &answers,
            bad_images: &bad_images,
            strays: &self.strays(good).await?,
        })?;
        let time = LocalTime::of(&self.assembly.project);
        message::print(&render::rehearsal::report(&report, &time));
        let as_it_should = report.is_as_it_should();
        Ok(if as_it_should { Outcome::AsItShould } else { Outcome::OtherThanItShould })
    }

    /// Releases a version, with the socket open and the test persons at hand.
    async fn release(
        &self,
        journal: &Journal,
        clock: &Clock,
        version: Version,
        images: &Images,
        stop: &mut StopSignals,
    ) -> Result<Drive, Problem> {
        let Assembly { project, project_root, address, .. } = self.assembly;
        let platform = Platform::new(address)?;
        let facts = platform.observe(project, project_root, images).await?;
        let rehearsal = Some(Rehearsal { speed: self.rehearse.speed });
        let start = StartRelease {
            version: version.clone(),
            project: project.clone(),
            facts,
            rehearsal,
            again: None,
        };
        let session = Session::recover(journal.clone(), clock.clone()).await?;
        let (mut conductor, handle) = self.assembly.conductor(session)?;
        let command = Command::StartRelease(Box::new(start));
        let input = Input::Command(Actor::new(people::AUTHOR), command);
        conductor.input(input).await?.map_err(|rejection| {
            message::refused(format!("cannot start the release of {version}"), &rejection)
        })?;
        let server = Server::start(&self.settings.socket(), handle.clone())?;
        let consent = tokio::spawn(people::consent(handle));
        let driven = Box::pin(conductor.drive(stop)).await;
        consent.abort();
        server.stop().await;
        Ok(driven?)
    }

    fn targets(&self) -> Result<Vec<Target>, Problem> {
        let project = &self.assembly.project;
        let apps = images::apps(&self.assembly.build_place(), project)?;
        let proxy_url = self.stage.address.proxy_url.clone().unwrap_or_default();
        let targets = apps.into_iter().filter_map(|(environment, service, app)| {
            let questions = project.service(service.as_str())?.questions(environment);
            (!questions.is_empty()).then(|| Target {
                base_url: proxy_url.trim_end_matches('/').to_owned(),
                host: format!("{app}.localhost"),
                party: Party { environment, service, app },
                questions,
            })
        });
        Ok(targets.collect())
    }

    async fn set_faults(&self, bad: &Images) -> Result<(), Problem> {
        let share = self.rehearse.fault_share;
        if share <= 0.0 {
            message::print(&format!("\n{BAD} has no fault\n"));
            return Ok(());
        }
        for (environment, service, app) in self.apps()? {
            let digest = bad.get(&service).filter(|_| environment == Environment::Production);
            if let Some(digest) = digest {
                self.stage.break_answers(app.as_str(), digest.as_str(), share).await?;
            }
        }
        message::print(&format!(
            "\nfrom now on {BAD} answers {} of its requests in production with an error\n",
            render::measure::share_percent(share)
        ));
        Ok(())
    }

    /// The machines in production that don't run the good version.
    async fn strays(&self, good: &Images) -> Result<Vec<String>, Problem> {
        let Assembly { project, project_root, address, .. } = self.assembly;
        let platform = Platform::new(address)?;
        let facts = platform.observe(project, project_root, good).await?;
        let production =
            facts.into_iter().filter(|facts| facts.environment == Environment::Production);
        let mut strays = Vec::new();
        for facts in production {
            for machine in facts.every_machine() {
                let runs = machine.image_digest.as_ref();
                if runs != Some(&facts.image_digest) {
                    let runs = runs.map_or("an unknown image", |image| image.short());
                    strays.push(format!("{} of {} runs {runs}", machine.id, facts.app));
                }
            }
        }
        Ok(strays)
    }

    fn apps(
        &self,
    ) -> Result<Vec<(Environment, holdpoint_core::id::ServiceName, AppName)>, Problem> {
        images::apps(&self.assembly.build_place(), &self.assembly.project)
    }
}

/// A clock that runs too fast makes every signal stale before the next one is there.
fn refuse_speed(project: &Project, speed: u32) -> Result<(), Problem> {
    let fastest = speed_max(&project.gates);
    if speed <= fastest {
        return Ok(());
    }
    let stale_after_secs = project.gates.stale_after_secs;
    Err(Problem::new(ExitCode::Usage, format!("the clock can't run at {speed} times its pace"))
        .cause(format!(
            "signals are stale after {stale_after_secs} s of it, before the next are there"
        ))
        .hint(format!("use `--speed {fastest}` or less, or a longer `[gates] stale_after`")))
}

/// The time at which a rehearsal's clock starts: shortly before the project's next window.
fn opening(project: &Project) -> Timestamp {
    let calendar = Calendar::new(project);
    let now = Clock::real().now();
    let opens_at = match calendar.status(now) {
        CalendarStatus::Closed { opens_at, .. } => opens_at,
        CalendarStatus::Open { closes_at, .. } => {
            closes_at.and_then(|closed| match calendar.status(closed) {
                CalendarStatus::Closed { opens_at, .. } => opens_at,
                CalendarStatus::Open { .. } => None,
            })
        }
    };
    opens_at.unwrap_or(now) - BEFORE_WINDOW
}

fn holder(settings: &Settings) -> Holder {
    Holder {
        who: settings.actor.clone(),
        process_id: std::process::id(),
        since: Clock::real().now(),
        command: "holdpoint rehearse".to_owned(),
    }
}
