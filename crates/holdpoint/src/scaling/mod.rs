//! Changes the size and the number of a service's machines while no release is under way (the
//! runbook, "Scaling Commands"): machine by machine under its lease, each healthy before the next,
//! all as before when one is not. What the app's file and the project's file must say from then on
//! is written into them, so that the next release does not undo it.

mod change;
mod count;
mod files;
pub mod report;

use std::path::PathBuf;

use holdpoint_core::id::Environment;
use holdpoint_core::project::{Project, Service};
use jiff::Timestamp;
use machines_api::types::{Guest, Machine, MachineConfig};

use crate::adapter::documents;
use crate::adapter::platform::{AppFile, Platform, app_file};
use crate::daemon::StopSignals;
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};

use change::Changer;

/// What shall be another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Memory of each machine.
    pub memory_mb: Option<u64>,
    /// CPUs of each machine.
    pub cpus: Option<u32>,
    /// How many machines take requests.
    pub count: Option<u32>,
    /// How many are kept running without requests.
    pub min_running: Option<u32>,
}

/// An order to scale one service.
#[derive(Debug)]
pub struct Scaling<'a> {
    /// The project.
    pub project: &'a Project,
    /// The project's file.
    pub project_file: PathBuf,
    /// The folder that its paths are relative to.
    pub project_root: PathBuf,
    /// The platform.
    pub platform: &'a Platform,
    /// The service.
    pub service: &'a Service,
    /// Where.
    pub environment: Environment,
    /// What shall be another.
    pub wanted: Wanted,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
}

impl Scaling<'_> {
    /// Does it. The caller holds the driver's lock, so that no release starts meanwhile.
    ///
    /// # Errors
    /// When a machine can't be changed; then all are as before, or the problem names those that
    /// are not.
    pub async fn carry_out(&self, now: Timestamp, stop: &mut StopSignals) -> Result<(), Problem> {
        let file = app_file(&self.project_root, self.service.placement(self.environment))
            .map_err(|error| Problem::from(error).exit(ExitCode::Usage))?;
        let machines = self.platform.machines_of(&file).await.map_err(|error| {
            let sentence = format!("cannot scale `{}`", self.service.name);
            Problem::because(ExitCode::Refused, sentence, &error)
        })?;
        if machines.is_empty() {
            let sentence =
                format!("`{}` has no machines in {}", self.service.name, self.environment);
            return Err(Problem::new(ExitCode::Refused, sentence)
                .hint("deploy it first with `holdpoint release VERSION`"));
        }
        let mut done = Vec::new();
        let mut changer = self.changer(&file, stop);
        if let Some(what) = self.new_size(&machines) {
            changer.change_all(&machines, |config| self.sized(config)).await?;
            done.push(what);
        }
        if let Some(count) = self.wanted.count {
            done.extend(count::reach(&mut changer, &machines, count, |it| self.sized(it)).await?);
        }
        if done.is_empty() {
            message::print("nothing to change on the machines\n");
        }
        self.write_files(&file, &machines)?;
        self.note(&done, now)
    }

    fn changer<'c>(&'c self, file: &AppFile, stop: &'c mut StopSignals) -> Changer<'c> {
        let health_within_secs = match self.environment {
            Environment::Staging => self.project.staging.health_within_secs,
            Environment::Production => self.project.production.health_within_secs,
        };
        Changer {
            platform: self.platform,
            app: file.app.clone(),
            health_within_secs,
            description: format!("holdpoint scale, {}", self.actor),
            stop,
        }
    }

    /// What of the size changes, in words; `None` if every machine has it already.
    fn new_size(&self, machines: &[Machine]) -> Option<String> {
        let wanted = &self.wanted;
        let configs = || machines.iter().filter_map(|machine| machine.config.as_ref());
        let changes = configs().any(|config| self.sized(config) != *config);
        let first = configs().next()?.guest.clone().unwrap_or_default();
        let mut words = Vec::new();
        if let Some(memory_mb) = wanted.memory_mb {
            words.push(format!("memory {} to {memory_mb} MB", first.memory_mb));
        }
        if let Some(cpus) = wanted.cpus {
            words.push(format!("CPUs {} to {cpus}", first.cpus));
        }
        if let Some(min_running) = wanted.min_running {
            words.push(format!("{min_running} machines kept running"));
        }
        changes.then(|| words.join(", "))
    }

    fn sized(&self, config: &MachineConfig) -> MachineConfig {
        let mut config = config.clone();
        let Wanted { memory_mb, cpus, min_running, count: _ } = self.wanted;
        if memory_mb.is_some() || cpus.is_some() {
            let guest = config.guest.get_or_insert_with(Guest::default);
            guest.memory_mb = memory_mb.unwrap_or(guest.memory_mb);
            guest.cpus = cpus.unwrap_or(guest.cpus);
        }
        if min_running.is_some() {
            for service in &mut config.services {
                service.min_machines_running = min_running;
            }
        }
        config
    }

    fn write_files(&self, file: &AppFile, machines: &[Machine]) -> Result<(), Problem> {
        let wanted = &self.wanted;
        if wanted.memory_mb.is_some() || wanted.cpus.is_some() {
            let config = machines.iter().find_map(|machine| machine.config.as_ref());
            let guest = config.map(|config| self.sized(config)).and_then(|config| config.guest);
            files::write_size(&file.path, &guest.unwrap_or_default())?;
        }
        if let Some(number) = wanted.min_running {
            files::write_min_running(&file.path, number)?;
        }
        match wanted.count {
            // A project names at least one machine: the next release brings the service back.
            Some(0) => message::print(
                "the service is offline; `--count` with another number, or the next release, brings it back\n",
            ),
            Some(count) => {
                files::write_count(
                    &self.project_file,
                    &self.service.name,
                    self.environment,
                    count,
                )?;
            }
            None => {}
        }
        Ok(())
    }

    /// Writes into the reliability log what was done, in the runbook's own words where it has any.
    fn note(&self, done: &[String], now: Timestamp) -> Result<(), Problem> {
        let Some(log) = self.project.reliability_log.as_ref().filter(|_| !done.is_empty()) else {
            return Ok(());
        };
        let Project { title, .. } = self.project;
        let (service, environment) = (&self.service.name, self.environment);
        let stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ");
        let reason = self.reason.as_deref().unwrap_or("not given");
        let lines = if self.wanted.count == Some(0) {
            vec![
                format!("[{stamp}] EMERGENCY SCALE TO ZERO - {title}"),
                format!("Reason: {reason}"),
                format!(
                    "Action: `{service}` in {environment} taken offline by {}, requires investigation",
                    self.actor
                ),
            ]
        } else {
            vec![
                format!("[{stamp}] SCALED - {title}"),
                format!(
                    "What: `{service}` in {environment}: {}, by {}",
                    done.join(", "),
                    self.actor
                ),
                format!("Reason: {reason}"),
            ]
        };
        documents::append(&self.project_root.join(log), &lines)?;
        Ok(())
    }
}
