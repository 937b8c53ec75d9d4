//! Creates and updates machines, once: the effect's id stands in the machine's metadata, and is
//! looked for before anything is sent.

use holdpoint_core::effect::{Evidence, Outcome};
use holdpoint_core::id::{AppName, EffectId, InstanceId, MachineId};
use machines_api::types::{CreateMachine, Machine, MachineConfig, UpdateMachine};
use serde_json::Value;

use super::{EFFECT_KEY, Platform, outcome};

/// A machine to create.
#[derive(Clone, Copy, Debug)]
pub struct CreateRequest<'a> {
    /// Its app.
    pub app: &'a AppName,
    /// Its name.
    pub name: &'a str,
    /// Where.
    pub region: &'a str,
    /// Its whole config.
    pub config: &'a Value,
    /// The lowest version of the app's secrets that it must see.
    pub secrets_version: Option<u64>,
}

/// A machine to give another config.
#[derive(Clone, Copy, Debug)]
pub struct UpdateRequest<'a> {
    /// Its app.
    pub app: &'a AppName,
    /// The machine.
    pub machine: &'a MachineId,
    /// Its whole new config.
    pub config: &'a Value,
    /// The lowest version of the app's secrets that it must see.
    pub secrets_version: Option<u64>,
    /// Our lease.
    pub nonce: &'a str,
}

impl Platform {
    /// Creates a machine outside the rotation, unless this effect has done so before.
    pub async fn create_machine(&self, id: &EffectId, request: CreateRequest<'_>) -> Outcome {
        let app = request.app.as_str();
        match self.made_by(app, &id.to_string()).await {
            Ok(machines) => {
                if let Some(kept) = self.keep_one(app, machines).await {
                    return done(&kept);
                }
            }
            Err(unfound) => return unfound,
        }
        let config = match marked(request.config, id) {
            Ok(config) => config,
            Err(refused) => return refused,
        };
        let create = CreateMachine {
            name: Some(request.name.to_owned()),
            region: Some(request.region.to_owned()).filter(|region| !region.is_empty()),
            config,
            skip_service_registration: true,
            min_secrets_version: request.secrets_version,
            ..CreateMachine::default()
        };
        match self.client.create_machine(app, &create, None).await {
            Ok(machine) => done(&machine),
            // The name is the same at each attempt: an earlier one may have made the machine.
            Err(error) if matches!(error.status, Some(409 | 422)) => {
                match self.made_by_earlier_attempt(request, id).await {
                    Some(machine) => done(&machine),
                    None => outcome::of(&error),
                }
            }
            Err(error) => outcome::of(&error),
        }
    }

    /// Gives a machine its whole new config, unless this effect has done so before.
    pub async fn update_machine(&self, id: &EffectId, request: UpdateRequest<'_>) -> Outcome {
        let (app, machine) = (request.app.as_str(), request.machine.as_str());
        let current = match self.client.get_machine(app, machine).await {
            Ok(current) => current,
            Err(error) => return outcome::of(&error),
        };
        if effect_of(&current) == Some(&id.to_string()) {
            return done(&current);
        }
        let config = match marked(request.config, id) {
            Ok(config) => config,
            Err(refused) => return refused,
        };
        let update = UpdateMachine {
            config,
            // It stays out of the rotation until its checks pass.
            skip_service_registration: true,
            min_secrets_version: request.secrets_version,
            ..UpdateMachine::default()
        };
        match self.client.update_machine(app, machine, &update, Some(request.nonce)).await {
            Ok(machine) => done(&machine),
            Err(error) => outcome::under_lease(&error),
        }
    }

    /// The machines that an effect made, the lowest id first.
    pub(super) async fn made_by(&self, app: &str, effect: &str) -> Result<Vec<Machine>, Outcome> {
        let found = self.client.find_machines(app, EFFECT_KEY, effect).await;
        let mut machines = found.map_err(|error| outcome::of(&error))?;
        // The filter is the platform's; a platform that ignores it must not fool us.
        machines.retain(|machine| effect_of(machine).is_some_and(|id| id == effect));
        machines.sort_by(|left, right| left.id.cmp(&right.id));
        Ok(machines)
    }

    /// Keeps the machine with the lowest id: a call whose answer was lost may have been heard
    /// after all, beside the call that followed it.
    async fn keep_one(&self, app: &str, machines: Vec<Machine>) -> Option<Machine> {
        let mut machines = machines.into_iter();
        let kept = machines.next()?;
        for surplus in machines {
            if let Err(error) = self.client.delete(app, &surplus.id, true, None).await {
                tracing::warn!(%error, "a machine that was made twice could not be deleted");
            }
        }
        Some(kept)
    }

    async fn made_by_earlier_attempt(
        &self,
        request: CreateRequest<'_>,
        id: &EffectId,
    ) -> Option<Machine> {
        let machines = self.client.list_machines(request.app.as_str()).await.ok()?;
        let id = id.to_string();
        // Everything but the number of the attempt.
        let prefix = id.rsplit_once('/').map_or(id.as_str(), |(prefix, _)| prefix).to_owned() + "/";
        machines.into_iter().find(|machine| {
            machine.name == request.name
                && effect_of(machine).is_some_and(|effect| effect.starts_with(&prefix))
        })
    }
}

/// The effect that made the machine's current version.
pub(super) fn effect_of(machine: &Machine) -> Option<&String> {
    machine.config.as_ref().or(machine.incomplete_config.as_ref())?.metadata.get(EFFECT_KEY)
}

fn done(machine: &Machine) -> Outcome {
    Outcome::Done(Evidence::Machine {
        machine: MachineId::new(&machine.id),
        instance_id: InstanceId::new(&machine.instance_id),
    })
}

/// The config with the effect's id in its metadata.
fn marked(config: &Value, id: &EffectId) -> Result<MachineConfig, Outcome> {
    let mut config: MachineConfig = serde_json::from_value(config.clone()).map_err(|error| {
        outcome::refused(format!("the config of a machine can't be read: {error}"))
    })?;
    config.metadata.insert(EFFECT_KEY.to_owned(), id.to_string());
    Ok(config)
}
