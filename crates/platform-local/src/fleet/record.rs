//! What is stored of an app and of a machine. It is all that is needed to carry on after a crash.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use machines_api::types::{
    CheckStatus, ImageRef, IpAssignment, Lease, Machine, MachineConfig, MachineEvent, MachineLease,
    MachineState, Secret,
};
use serde::{Deserialize, Serialize};

use crate::{
    settings::{Runtime, Settings},
    supervisor::{Identity, Limits, memory_mb},
};

/// The variable by which an app chooses in what its machines run. Every way to deploy carries the
/// environment of a machine, and Fly itself takes no notice of it.
const RUNTIME_VARIABLE: &str = "HOLDPOINT_RUNTIME";

/// Events that stand in a machine's own description.
const EVENTS_SHOWN: usize = 20;

/// An app.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AppRecord {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) organization: String,
    pub(crate) network: Option<String>,
    pub(crate) created_at: Timestamp,
    /// Grows with every change of a secret.
    pub(crate) secrets_version: u64,
    pub(crate) secrets: BTreeMap<String, Secret>,
    #[serde(default)]
    pub(crate) addresses: Vec<IpAssignment>,
}

/// What a machine is meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    Run,
    /// Its program is kept, frozen.
    Suspend,
    Stop,
    Destroy,
}

/// A machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MachineRecord {
    pub(crate) id: String,
    pub(crate) app: String,
    pub(crate) name: String,
    pub(crate) region: String,
    /// The version; every update gives a new one.
    pub(crate) instance_id: String,
    pub(crate) config: MachineConfig,
    pub(crate) image: ImageRef,
    pub(crate) skip_secrets: bool,
    pub(crate) state: MachineState,
    pub(crate) goal: Goal,
    pub(crate) cordoned: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) lease: Option<Lease>,
    /// Restarts since the program last ran for a while.
    pub(crate) restart_count: u32,
    pub(crate) last_exit: Option<LastExit>,
    /// The program that runs, or is about to.
    pub(crate) run: Option<RunRecord>,
}

/// How the last program ended, for the metrics.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct LastExit {
    pub(crate) code: i32,
    pub(crate) oom_killed: bool,
}

/// One start of a machine. It is stored before the program is started, and again when its id is
/// known.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    pub(crate) start: String,
    /// The machine's version that this runs.
    pub(crate) instance_id: String,
    pub(crate) image_digest: String,
    /// What its program is told as `PORT`: that of its first service.
    pub(crate) port: u16,
    /// The ports of its other services, by the port that the config names.
    #[serde(default)]
    pub(crate) further_ports: BTreeMap<u16, u16>,
    pub(crate) pid: Option<i32>,
    pub(crate) start_ticks: Option<u64>,
    pub(crate) started_at: Timestamp,
    pub(crate) stop_signal: String,
    pub(crate) stop_timeout_ms: u64,
    /// Somebody asked for a restart: another start shall take its place.
    pub(crate) replace: bool,
    /// In what it runs. Records of before there were containers don't say.
    #[serde(default)]
    pub(crate) runtime: Runtime,
}

impl RunRecord {
    /// Where the program listens for what the config calls this port.
    pub(crate) fn port_of(&self, internal_port: u16) -> u16 {
        self.further_ports.get(&internal_port).copied().unwrap_or(self.port)
    }

    /// All ports that it was given.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        std::iter::once(self.port).chain(self.further_ports.values().copied())
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        Some(Identity { pid: self.pid?, start_ticks: self.start_ticks? })
    }

    pub(crate) fn identify(&mut self, identity: Option<Identity>) {
        self.pid = identity.map(|identity| identity.pid);
        self.start_ticks = identity.map(|identity| identity.start_ticks);
    }
}

impl MachineRecord {
    /// Whether the program that runs shall go: to stop, or to make room for another.
    pub(crate) fn run_shall_leave(&self) -> bool {
        matches!(self.goal, Goal::Stop | Goal::Destroy)
            || self
                .run
                .as_ref()
                .is_some_and(|run| run.replace || run.instance_id != self.instance_id)
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.state == MachineState::Destroyed
    }

    /// The ports of its services as the config names them, without the first and each once.
    pub(crate) fn further_internal_ports(&self) -> BTreeSet<u16> {
        let mut all = self.config.services.iter().map(|service| service.internal_port);
        let first = all.next();
        all.filter(|port| Some(*port) != first).collect()
    }

    pub(crate) fn memory_mb(&self) -> u64 {
        memory_mb(self.config.guest.as_ref())
    }

    /// In what the next start shall run: as the config says, else as the platform does by default.
    pub(crate) fn runtime(&self, default: Runtime) -> Result<Runtime, String> {
        Ok(chosen_runtime(&self.config)?.unwrap_or(default))
    }

    /// What the program may use.
    pub(crate) fn limits(&self, settings: &Settings) -> Limits {
        let (guest, init) = (self.config.guest.as_ref(), self.config.init.as_ref());
        Limits::of(guest, init, settings.shared_cpu_baseline)
    }

    /// An address of the shape that Fly's private network gives; nothing listens there.
    pub(crate) fn private_ip(&self) -> String {
        let piece = |from: usize| self.id.get(from..from + 4).unwrap_or("0");
        format!("fdaa:0:1:a7b:{}:{}:{}:2", piece(0), piece(4), piece(8))
    }

    /// The lease, if it has not run out.
    pub(crate) fn lease_at(&self, now: Timestamp) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.expires_at > now.as_second())
    }

    /// The machine as the API shows it.
    pub(crate) fn view(
        &self,
        events: &[MachineEvent],
        checks: &[CheckStatus],
        lease_at: Option<Timestamp>,
    ) -> Machine {
        Machine {
            id: self.id.clone(),
            name: self.name.clone(),
            state: self.state,
            region: self.region.clone(),
            instance_id: self.instance_id.clone(),
            version: Some(self.instance_id.clone()),
            private_ip: self.private_ip(),
            image_ref: self.image.clone(),
            config: Some(self.config.clone()),
            incomplete_config: None,
            created_at: Some(self.created_at),
            updated_at: Some(self.updated_at),
            events: events.iter().take(EVENTS_SHOWN).cloned().collect(),
            checks: checks.to_vec(),
            nonce: None,
            lease: lease_at.and_then(|now| self.lease_at(now)).map(|lease| MachineLease {
                owner: lease.owner.clone(),
                expires_at: lease.expires_at,
                description: lease.description.clone(),
            }),
            host_status: Some("ok".to_owned()),
            cordoned: Some(self.cordoned),
        }
    }
}

/// In what a machine of this config wants to run, if it says so.
pub(super) fn chosen_runtime(config: &MachineConfig) -> Result<Option<Runtime>, String> {
    match config.env.get(RUNTIME_VARIABLE).map(String::as_str) {
        None => Ok(None),
        Some("process") => Ok(Some(Runtime::Process)),
        Some("container") => Ok(Some(Runtime::Container)),
        Some(other) => Err(format!(
            "`{other}` is no runtime\nhint: set `{RUNTIME_VARIABLE}` to `process` or `container`"
        )),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A machine that is meant to run, without a program.
    pub(crate) fn machine() -> MachineRecord {
        MachineRecord {
            id: "0123456789abcd".to_owned(),
            app: "shop".to_owned(),
            name: "calm-dew-1".to_owned(),
            region: "local".to_owned(),
            instance_id: "v2".to_owned(),
            config: MachineConfig::default(),
            image: ImageRef::default(),
            skip_secrets: false,
            state: MachineState::Started,
            goal: Goal::Run,
            cordoned: false,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            lease: None,
            restart_count: 0,
            last_exit: None,
            run: None,
        }
    }

    /// A program of this version.
    pub(crate) fn run(instance_id: &str) -> RunRecord {
        RunRecord {
            start: "s1".to_owned(),
            instance_id: instance_id.to_owned(),
            image_digest: String::new(),
            port: 1,
            further_ports: BTreeMap::new(),
            pid: Some(1),
            start_ticks: Some(1),
            started_at: Timestamp::UNIX_EPOCH,
            stop_signal: "SIGTERM".to_owned(),
            stop_timeout_ms: 5000,
            replace: false,
            runtime: Runtime::Process,
        }
    }

    #[test]
    fn a_program_leaves_when_it_is_old_unwanted_or_to_be_replaced() {
        let with = |run: RunRecord, goal: Goal| MachineRecord { run: Some(run), goal, ..machine() };
        assert!(!with(run("v2"), Goal::Run).run_shall_leave());
        assert!(with(run("v1"), Goal::Run).run_shall_leave());
        assert!(with(run("v2"), Goal::Stop).run_shall_leave());
        assert!(!with(run("v2"), Goal::Suspend).run_shall_leave());
        assert!(with(run("v1"), Goal::Suspend).run_shall_leave());
        let replaced = RunRecord { replace: true, ..run("v2") };
        assert!(with(replaced, Goal::Run).run_shall_leave());
    }

    #[test]
    fn an_app_chooses_its_runtime_by_its_environment() {
        let with = |value: &str| {
            let mut record = machine();
            record.config.env.insert(RUNTIME_VARIABLE.to_owned(), value.to_owned());
            record.runtime(Runtime::Process)
        };
        assert_eq!(machine().runtime(Runtime::Container), Ok(Runtime::Container));
        assert_eq!(with("container"), Ok(Runtime::Container));
        assert!(with("jail").expect_err("refused").contains("hint:"));
    }

    #[test]
    fn a_lease_holds_till_its_second_and_no_longer() {
        let lease = Lease { expires_at: 100, ..Lease::default() };
        let record = MachineRecord { lease: Some(lease), ..machine() };
        let at = |second| record.lease_at(Timestamp::from_second(second).expect("a time"));
        assert!(at(99).is_some() && at(100).is_none());
    }
}
