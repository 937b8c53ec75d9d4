//! The world that a conductor acts on: machines, the versions that they run, and somebody else
//! who acts on them as well. Time and chance are arguments.

pub mod api;
pub mod faults;
pub mod machine;
pub mod project;
pub mod traffic;

use std::collections::BTreeMap;

use holdpoint_core::id::{AppName, Environment, ImageDigest, MachineId, ServiceName};
use holdpoint_core::observation::{ObservedMachine, ServiceFacts};
use holdpoint_core::project::Project;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use self::faults::Accident;
use self::machine::{Lease, Machine};
use self::traffic::Behaviour;
use crate::seed::{Beginning, Dice};

/// The version that runs before any release.
pub const FIRST_VERSION: &str = "0.9.0";

/// How long a machine takes to become healthy, at most, in milliseconds: less than any project
/// allows.
const READY_MS_MAX: u64 = 4_000;

/// The world.
#[derive(Debug)]
pub struct World {
    /// The project.
    pub project: Project,
    /// All machines.
    pub machines: BTreeMap<MachineId, Machine>,
    /// What versions are like that are not simply good.
    pub behaviours: BTreeMap<String, Behaviour>,
    /// How often data of each environment was damaged.
    pub damage: BTreeMap<Environment, u64>,
    /// How many production machines each service wants.
    pub production_machines: u32,
    starts: Dice,
    made: u64,
    nonces: u64,
}

impl World {
    /// A world with the machines that a seed begins with.
    pub fn new(
        project: Project,
        now: Timestamp,
        beginning: Beginning,
        production_machines: u32,
        starts: Dice,
    ) -> Self {
        let mut world = Self {
            project,
            machines: BTreeMap::new(),
            behaviours: BTreeMap::new(),
            damage: BTreeMap::new(),
            production_machines,
            starts,
            made: 0,
            nonces: 0,
        };
        for (service, environment) in apps() {
            let wanted = world.wanted(environment);
            let count = match beginning {
                Beginning::Empty => 0,
                Beginning::Some => wanted - 1,
                Beginning::All => wanted,
            };
            for index in 0..count {
                let mut config = config();
                if let Value::Object(fields) = &mut config {
                    fields.insert("image".to_owned(), json!(reference(service, FIRST_VERSION)));
                }
                let app = app_name(service, environment);
                let machine = world.make(&app, &format!("{service}-by-hand-{index}"), config, now);
                if let Some(machine) = world.machines.get_mut(&machine) {
                    machine.is_cordoned = false;
                    machine.ready_at = now;
                }
            }
        }
        world
    }

    fn wanted(&self, environment: Environment) -> u32 {
        match environment {
            Environment::Staging => 1,
            Environment::Production => self.production_machines,
        }
    }

    /// A new machine outside the rotation.
    fn make(&mut self, app: &AppName, name: &str, config: Value, now: Timestamp) -> MachineId {
        let id = MachineId::new(format!("m{:02}", self.made));
        self.made += 1;
        let (service, environment) = match app.as_str().strip_suffix("-staging") {
            Some(service) => (service, Environment::Staging),
            None => (app.as_str(), Environment::Production),
        };
        let ready_at = now + self.ready_after();
        let machine = Machine {
            app: app.clone(),
            environment,
            service: ServiceName::new(service),
            name: name.to_owned(),
            config,
            instance: 1,
            made_by: None,
            is_started: true,
            is_retired: false,
            is_cordoned: true,
            lease: None,
            started_at: now,
            ready_at,
        };
        self.machines.insert(id.clone(), machine);
        id
    }

    fn ready_after(&mut self) -> SignedDuration {
        millis(self.starts.between(100, READY_MS_MAX))
    }

    fn nonce(&mut self) -> String {
        self.nonces += 1;
        format!("nonce-{}", self.nonces)
    }

    /// The facts from which a release of a version starts.
    pub fn facts(&self, version: &str) -> Vec<ServiceFacts> {
        let facts = apps().map(|(service, environment)| {
            let app = app_name(service, environment);
            let machines = self.machines.iter().filter(|(_, machine)| machine.app == app);
            let machines = machines.map(|(id, machine)| ObservedMachine {
                id: id.clone(),
                state: if machine.is_started { "started" } else { "stopped" }.to_owned(),
                instance_id: machine.instance_id(id),
                image_digest: machine.image().split('@').nth(1).map(ImageDigest::new),
                config: machine.config.clone(),
                updated_config: config(),
            });
            ServiceFacts {
                service: ServiceName::new(service),
                environment,
                app: app.clone(),
                region: "ord".to_owned(),
                machines_wanted: self.wanted(environment),
                config: config(),
                image_digest: ImageDigest::new(digest(service, version)),
                image_reference: reference(service, version),
                secrets_version: Some(7),
                machines: machines.collect(),
                other_groups: Vec::new(),
            }
        });
        facts.collect()
    }

    /// Lets an accident befall a machine. Returns what happened, if anything could.
    pub fn suffer(
        &mut self,
        accident: Accident,
        now: Timestamp,
        dice: &mut Dice,
    ) -> Option<String> {
        let count = u64::try_from(self.machines.len()).unwrap_or_default();
        let index = usize::try_from(dice.between(0, count.saturating_sub(1))).unwrap_or_default();
        let for_secs = millis(dice.between(2, 60) * 1000);
        let nonce = self.nonce();
        let (id, machine) = self.machines.iter_mut().nth(index)?;
        let is_leased = machine.lease_at(now).is_some();
        match accident {
            Accident::Sick => machine.ready_at = machine.ready_at.max(now + for_secs),
            Accident::Restart if machine.is_started => {
                machine.started_at = now;
                machine.ready_at = now + for_secs;
            }
            Accident::Leased if !is_leased => {
                let expires_at = now + for_secs;
                machine.lease = Some(Lease { nonce, taken_by: None, expires_at });
            }
            Accident::Changed if !is_leased && !machine.is_retired => {
                if let Some(memory_mb) = machine.config.pointer_mut("/guest/memory_mb") {
                    *memory_mb = json!(512 + machine.instance * 256);
                }
                machine.instance += 1;
                machine.started_at = now;
                machine.ready_at = now + millis(1_500);
            }
            Accident::Restart | Accident::Leased | Accident::Changed => return None,
        }
        Some(format!("{id}: {accident:?} for {} s", for_secs.as_secs()))
    }

    /// From now on nothing is wrong with the world but versions that were never released well.
    pub fn heal(&mut self, keep_flaws_of: Option<&str>, now: Timestamp) {
        self.behaviours.retain(|version, _| Some(version.as_str()) == keep_flaws_of);
        for machine in self.machines.values_mut() {
            machine.ready_at = machine.ready_at.min(now + millis(READY_MS_MAX));
            if machine.lease.as_ref().is_some_and(|lease| lease.taken_by.is_none()) {
                machine.lease = None;
            }
        }
    }
}

/// Every app, as its service and environment.
pub fn apps() -> impl Iterator<Item = (&'static str, Environment)> {
    let environments = [Environment::Staging, Environment::Production];
    ["search", "desk"]
        .into_iter()
        .flat_map(move |service| environments.map(|environment| (service, environment)))
}

/// The name of an app.
pub fn app_name(service: &str, environment: Environment) -> AppName {
    AppName::new(match environment {
        Environment::Staging => format!("{service}-staging"),
        Environment::Production => service.to_owned(),
    })
}

/// The digest of a service's image of a version.
pub fn digest(service: &str, version: &str) -> String {
    format!("sha256:{service}-{version}")
}

fn reference(service: &str, version: &str) -> String {
    format!("registry/{service}@{}", digest(service, version))
}

fn config() -> Value {
    json!({"guest": {"memory_mb": 512}, "metadata": {}})
}

/// So many milliseconds.
pub fn millis(millis: u64) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(millis).unwrap_or_default())
}
