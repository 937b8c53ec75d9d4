//! Gives machines another config, one after the other: under its lease, only if it is as it was
//! seen, out of the rotation until it is healthy. If one does not become so, or somebody stops it,
//! all get their old config back. It does not decide what the config is.

use holdpoint_core::effect::{Evidence, Outcome};
use holdpoint_core::id::{AppName, InstanceId, MachineId};
use holdpoint_core::planner::CONFIG_KEY;
use machines_api::error::{ApiError, ErrorClass};
use machines_api::types::{Machine, MachineConfig, MachineState, UpdateMachine};

use crate::adapter::platform::Platform;
use crate::daemon::StopSignals;
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};

/// A lease outlasts the wait for health by the calls around it.
const LEASE_MARGIN_SECS: u64 = 180;

/// Changes the machines of one app.
pub(super) struct Changer<'a> {
    pub(super) platform: &'a Platform,
    pub(super) app: AppName,
    /// How long a machine may take to become healthy.
    pub(super) health_within_secs: u64,
    /// What others read of a lease.
    pub(super) description: String,
    pub(super) stop: &'a mut StopSignals,
}

/// Why a machine was not changed.
pub(super) struct Failure {
    /// Whether the machine may be another than before.
    is_touched: bool,
    reason: String,
}

impl Changer<'_> {
    /// Changes every machine whose config becomes another.
    pub(super) async fn change_all(
        &mut self,
        machines: &[Machine],
        next: impl Fn(&MachineConfig) -> MachineConfig,
    ) -> Result<(), Problem> {
        let mut changed: Vec<&Machine> = Vec::new();
        for machine in machines {
            let Some(config) = &machine.config else {
                return Err(self.refused(&machine.id, "the platform does not show its config"));
            };
            let wanted = next(config);
            if wanted == *config {
                continue;
            }
            match self.change(machine, wanted, Some(&machine.instance_id)).await {
                Ok(()) => changed.push(machine),
                Err(failure) => {
                    if failure.is_touched {
                        changed.push(machine);
                    }
                    let problem = self.refused(&machine.id, &failure.reason);
                    return Err(self.put_back(&changed, problem).await);
                }
            }
            message::print(&format!("{}  machine {} changed and healthy\n", self.app, machine.id));
        }
        Ok(())
    }

    async fn change(
        &mut self,
        machine: &Machine,
        mut config: MachineConfig,
        seen: Option<&str>,
    ) -> Result<(), Failure> {
        // A release that finds the mark of a plan takes the machine for what the plan made of it.
        if seen.is_some() {
            config.metadata.remove(CONFIG_KEY);
        }
        let id = machine.id.as_str();
        let nonce = self
            .lease(id)
            .await
            .map_err(|error| Failure { is_touched: false, reason: in_one_line(&error) })?;
        let changed = self.change_leased(machine, config, seen, &nonce).await;
        let released = self.platform.client().release_lease(self.app.as_str(), id, &nonce).await;
        if let Err(error) = released {
            tracing::warn!(%error, "a lease ends by itself");
        }
        changed
    }

    async fn change_leased(
        &mut self,
        machine: &Machine,
        config: MachineConfig,
        seen: Option<&str>,
        nonce: &str,
    ) -> Result<(), Failure> {
        let (client, app, id) = (self.platform.client(), self.app.clone(), machine.id.as_str());
        let app = app.as_str();
        let is_running = is_running(machine.state);
        let update = UpdateMachine {
            config: config.clone(),
            current_version: seen.map(str::to_owned),
            skip_launch: !is_running,
            skip_service_registration: true,
            ..UpdateMachine::default()
        };
        let updated = match client.update_machine(app, id, &update, Some(nonce)).await {
            Ok(updated) => updated,
            Err(error) if error.class == ErrorClass::Unknown => {
                // It may have been heard: the machine itself says so.
                let now = client.get_machine(app, id).await;
                let heard = now.ok().filter(|now| now.config.as_ref() == Some(&config));
                heard.ok_or_else(|| touched(in_one_line(&error)))?
            }
            Err(error) => {
                return Err(Failure { is_touched: false, reason: in_one_line(&error) });
            }
        };
        if is_running {
            self.healthy(id, &updated.instance_id).await?;
        }
        if machine.cordoned != Some(true) {
            let uncordoned = client.uncordon(app, id, Some(nonce)).await;
            uncordoned.map_err(|error| touched(in_one_line(&error)))?;
        }
        Ok(())
    }

    /// Waits until the machine is healthy in this version, or somebody stops it.
    pub(super) async fn healthy(&mut self, id: &str, instance: &str) -> Result<(), Failure> {
        let (machine, instance) = (MachineId::new(id), InstanceId::new(instance));
        let within_secs = self.health_within_secs;
        let healthy = self.platform.await_health(&self.app, &machine, &instance, within_secs);
        let outcome = tokio::select! {
            outcome = healthy => outcome,
            _ = self.stop.next() => return Err(touched("somebody stopped it".to_owned())),
        };
        match outcome {
            Outcome::Done(Evidence::Healthy { .. }) => Ok(()),
            Outcome::Failed(failure) => Err(touched(failure.message)),
            Outcome::Refused(refusal) => Err(touched(refusal.message)),
            Outcome::Done(_) | Outcome::Unknown => {
                Err(touched("the platform does not tell its health".to_owned()))
            }
        }
    }

    pub(super) async fn lease(&self, id: &str) -> Result<String, ApiError> {
        let ttl_secs = self.health_within_secs.saturating_add(LEASE_MARGIN_SECS);
        let client = self.platform.client();
        let taken = client.acquire_lease(self.app.as_str(), id, ttl_secs, &self.description);
        Ok(taken.await?.nonce)
    }

    /// Gives the machines their old config, the last one first.
    async fn put_back(&mut self, machines: &[&Machine], mut problem: Problem) -> Problem {
        for machine in machines.iter().rev() {
            let config = machine.config.clone().unwrap_or_default();
            match self.change(machine, config, None).await {
                Ok(()) => {
                    problem = problem.cause(format!("machine `{}` is as before", machine.id));
                }
                Err(failure) => {
                    problem.exit = ExitCode::Unexpected;
                    problem = problem
                        .cause(format!(
                            "machine `{}` could not be put back: {}",
                            machine.id, failure.reason
                        ))
                        .hint("look at it with `holdpoint logs`, and release the version that ran");
                }
            }
        }
        problem
    }

    pub(super) fn refused(&self, machine: &str, reason: &str) -> Problem {
        let sentence = format!("machine `{machine}` of app `{}` was not scaled", self.app);
        Problem::new(ExitCode::Refused, sentence)
            .cause(reason)
            .hint("read its log with `holdpoint logs`, then scale again")
    }
}

impl Failure {
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }
}

pub(super) fn in_one_line(error: &ApiError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn touched(reason: String) -> Failure {
    Failure { is_touched: true, reason }
}

/// A machine that sleeps is changed in its sleep.
pub(super) fn is_running(state: MachineState) -> bool {
    matches!(
        state,
        MachineState::Started
            | MachineState::Starting
            | MachineState::Restarting
            | MachineState::Created
            | MachineState::Creating
    )
}
