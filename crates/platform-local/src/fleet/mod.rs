//! All apps and machines of the platform: what there is, what is stored of it, and what still
//! runs when the platform comes back.

mod addresses;
mod autostop;
mod checks;
mod config_files;
mod create;
mod events;
mod gauges;
mod guest_path;
mod inside;
mod keeper;
mod launch;
mod lease;
mod machine;
mod orders;
mod record;
mod release;
mod signal;
mod transition;
mod unpacked;
mod volumes;
mod wait;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
};

use machines_api::types::{MachineState, StopMachine};
use oci_image::layout::Layout;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use addresses::PRIVATE_PREFIX;
pub(crate) use autostop::{Obstacle, Outlook};
pub(crate) use events::Source;
pub(crate) use machine::Machine;
pub(crate) use record::{AppRecord, MachineRecord};
pub(crate) use release::{NewRelease, ReleaseRecord, ReleaseStatus};
pub(crate) use unpacked::UnpackedImages;
pub(crate) use wait::Awaited;

use crate::{
    error::{Refusal, StartError},
    fault::{self, Faults},
    log::AppLogs,
    metrics::Metrics,
    proxy::Routes,
    settings::{Runtime, Settings},
    store::{Store, StoreError},
    supervisor::{Containers, Engine, EngineError, Limiter, PortPool, Survivors},
};
use launch::MachineFiles;
use transition::Phase;
use volumes::VolumeRecord;

/// Requests that may wait at once for machines to become ready.
const HELD_MAX: usize = 1000;

/// Programs that may be run inside machines at once.
const EXECS_MAX: usize = 64;

/// Destroyed machines that are remembered, so that whoever waits for the end learns of it.
const DESTROYED_MAX: usize = 200;

/// What every machine of the platform needs.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) images: Layout,
    pub(crate) unpacked: UnpackedImages,
    pub(crate) routes: Routes,
    pub(crate) metrics: Metrics,
    pub(crate) faults: Faults,
    pub(crate) logs: AppLogs,
    pub(crate) ports: PortPool,
    pub(crate) limiter: Limiter,
    /// Names the state directory, in the environment of each machine.
    pub(crate) platform_id: String,
    pub(crate) proxy_port: u16,
    /// Where machines reach each other through the proxy.
    pub(crate) private_port: u16,
    pub(crate) stop: CancellationToken,
    pub(crate) apps: RwLock<BTreeMap<String, AppRecord>>,
}

impl Context {
    /// Whether a container of this machine may be there.
    fn has_container(&self, record: &MachineRecord) -> bool {
        record.run.as_ref().is_some_and(|run| run.runtime == Runtime::Container)
            || (!record.is_gone()
                && record.runtime(self.settings.runtime) == Ok(Runtime::Container))
    }

    async fn containers(&self) -> Result<Containers, EngineError> {
        let engine = Engine::find(self.settings.engine_socket.as_deref()).await?;
        Containers::find(engine, &self.platform_id).await
    }

    /// Takes images out of the engine that no machine has use for any more.
    async fn remove_unused_images(&self) {
        let records: Vec<MachineRecord> = match self.store.machines().await {
            Ok(records) => records,
            Err(error) => return tracing::warn!(%error, "images may be left in the engine"),
        };
        match Engine::find(self.settings.engine_socket.as_deref()).await {
            Ok(engine) => {
                engine.remove_unused_images(&self.platform_id, &images_of(&records)).await;
            }
            Err(error) => tracing::warn!(%error, "images may be left in the engine"),
        }
    }

    fn secrets_of(&self, app: &str) -> BTreeMap<String, String> {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        let Some(app) = apps.get(app) else {
            return BTreeMap::new();
        };
        let value = |secret: &machines_api::types::Secret| secret.value.clone().unwrap_or_default();
        app.secrets.iter().map(|(name, secret)| (name.clone(), value(secret))).collect()
    }
}

/// The digests of the images that these machines run, or would when they are started.
fn images_of(records: &[MachineRecord]) -> BTreeSet<String> {
    let lasting = records.iter().filter(|record| record.goal != record::Goal::Destroy);
    lasting.map(|record| record.image.digest.clone()).collect()
}

/// The fleet. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub(crate) context: Arc<Context>,
    machines: Arc<RwLock<BTreeMap<String, Arc<Machine>>>>,
    /// Held while apps or the set of machines change.
    membership: Arc<Mutex<()>>,
    waking: Arc<Mutex<()>>,
    held: Arc<Semaphore>,
    /// Taken by each program that is run inside a machine.
    execs: Arc<Semaphore>,
    volumes: Arc<RwLock<BTreeMap<String, VolumeRecord>>>,
    tasks: TaskTracker,
}

impl Context {
    /// Whether the proxy has a TLS port.
    pub(crate) fn has_tls(&self) -> bool {
        self.settings.tls_listen.is_some()
    }
}

impl Fleet {
    /// Loads what is stored, takes over the programs that still run, and keeps every machine on
    /// its way from then on.
    pub(crate) async fn open(context: Context) -> Result<Self, StartError> {
        for app in context.store.apps::<AppRecord>().await? {
            let mut apps = context.apps.write().unwrap_or_else(PoisonError::into_inner);
            apps.insert(app.name.clone(), app);
        }
        let volumes = volumes::by_id(context.store.volumes().await?);
        let fleet = Self {
            context: Arc::new(context),
            machines: Arc::default(),
            membership: Arc::default(),
            waking: Arc::default(),
            held: Arc::new(Semaphore::new(HELD_MAX)),
            execs: Arc::new(Semaphore::new(EXECS_MAX)),
            volumes: Arc::new(RwLock::new(volumes)),
            tasks: TaskTracker::new(),
        };
        let records = fleet.stored_records().await?;
        let mut survivors = Survivors::find(&fleet.context.platform_id);
        let mut containers = None;
        if records.iter().any(|record| fleet.context.has_container(record))
            || fleet.context.settings.runtime == Runtime::Container
        {
            containers = Some(fleet.context.containers().await?);
        }
        let images = images_of(&records);
        for record in records {
            fleet.resume(record, &mut survivors, containers.as_mut()).await?;
        }
        survivors.kill_the_rest();
        if let Some(containers) = containers {
            containers.remove_the_rest(&images).await;
        }
        fleet.end_groups_without_program().await;
        for machine in fleet.all_machines() {
            fleet.tasks.spawn(keeper::keep(machine));
        }
        fleet.tasks.spawn(fleet.clone().stop_idle_machines());
        if fleet.context.settings.allow_faults {
            fleet.tasks.spawn(fault::drill(fleet.clone()));
        }
        Ok(fleet)
    }

    /// Lets go of everything; the programs run on.
    pub(crate) async fn close(&self) {
        self.context.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.context.store.close().await;
    }

    /// Runs a task that ends when the platform stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Stops every machine and waits until they have stopped.
    pub(crate) async fn stop_machines(&self) {
        let machines = self.all_machines();
        for machine in &machines {
            let stopped = machine.stop(None, &StopMachine::default(), Source::Flyd).await;
            if let Err(error) = stopped {
                tracing::warn!(%error, machine = machine.id, "a machine was not stopped");
            }
        }
        for machine in &machines {
            let mut snapshots = machine.subscribe();
            let gone = snapshots.wait_for(|snapshot| {
                snapshot.record.run.is_none() || snapshot.record.goal == record::Goal::Run
            });
            if gone.await.is_err() {
                tracing::debug!(machine = machine.id, "a machine is no longer watched");
            }
        }
        for machine in &machines {
            // Its last container is removed under the lock.
            drop(machine.inner.lock().await);
        }
        let had_containers = |machine: &Arc<Machine>| {
            machine.snapshot().record.runtime(self.context.settings.runtime)
                == Ok(Runtime::Container)
        };
        if machines.iter().any(had_containers) {
            // Whoever wants nothing to run on wants nothing to be left either.
            match self.context.containers().await {
                Ok(containers) => containers.remove_the_rest(&BTreeSet::new()).await,
                Err(error) => tracing::warn!(%error, "containers may be left in the engine"),
            }
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        self.context.settings.clone()
    }

    pub(crate) fn routes(&self) -> &Routes {
        &self.context.routes
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.context.metrics
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.context.faults
    }

    /// The right to hold one request, if not too many are held.
    pub(crate) fn hold_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.held).try_acquire_owned().ok()
    }

    pub(crate) fn has_app(&self, name: &str) -> bool {
        self.context.apps.read().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    pub(crate) fn app(&self, name: &str) -> Result<AppRecord, Refusal> {
        let apps = self.context.apps.read().unwrap_or_else(PoisonError::into_inner);
        apps.get(name)
            .cloned()
            .ok_or_else(|| Refusal::not_found(format!("app not found: there is no app `{name}`")))
    }

    pub(crate) fn apps(&self) -> Vec<AppRecord> {
        let apps = self.context.apps.read().unwrap_or_else(PoisonError::into_inner);
        apps.values().cloned().collect()
    }

    fn app_names(&self) -> Vec<String> {
        self.apps().into_iter().map(|app| app.name).collect()
    }

    pub(crate) fn machine(&self, id: &str) -> Option<Arc<Machine>> {
        self.machines.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// A machine of this app, destroyed ones included.
    pub(crate) fn machine_of(&self, app: &str, id: &str) -> Result<Arc<Machine>, Refusal> {
        self.app(app)?;
        self.machine(id).filter(|machine| machine.app == app).ok_or_else(|| {
            Refusal::not_found(format!("machine not found: app `{app}` has no machine `{id}`"))
        })
    }

    /// The machines of an app, destroyed ones included, oldest first.
    pub(crate) fn every_machine_of(&self, app: &str) -> Vec<Arc<Machine>> {
        let mut machines = self.all_machines();
        machines.retain(|machine| machine.app == app);
        machines.sort_by_cached_key(|machine| machine.snapshot().record.created_at);
        machines
    }

    /// The machines of an app that are not destroyed, oldest first.
    pub(crate) fn machines_of(&self, app: &str) -> Vec<Arc<Machine>> {
        let mut machines = self.every_machine_of(app);
        machines.retain(|machine| !machine.snapshot().record.is_gone());
        machines
    }

    /// The machines that may write to their logs: those that are not destroyed.
    pub(crate) fn machines_with_logs(&self) -> Vec<Arc<Machine>> {
        let mut machines = self.all_machines();
        machines.retain(|machine| !machine.snapshot().record.is_gone());
        machines
    }

    pub(crate) fn all_machines(&self) -> Vec<Arc<Machine>> {
        let machines = self.machines.read().unwrap_or_else(PoisonError::into_inner);
        machines.values().cloned().collect()
    }

    fn insert(&self, machine: Arc<Machine>) {
        let mut machines = self.machines.write().unwrap_or_else(PoisonError::into_inner);
        machines.insert(machine.id.clone(), machine);
    }

    fn remove(&self, gone: &[Arc<Machine>]) {
        let mut machines = self.machines.write().unwrap_or_else(PoisonError::into_inner);
        for machine in gone {
            machines.remove(&machine.id);
        }
    }

    /// What is stored of machines, without those that were destroyed long ago.
    async fn stored_records(&self) -> Result<Vec<MachineRecord>, StoreError> {
        let records: Vec<MachineRecord> = self.context.store.machines().await?;
        let (mut gone, mut records): (Vec<_>, Vec<_>) =
            records.into_iter().partition(MachineRecord::is_gone);
        gone.sort_by_key(|record| std::cmp::Reverse(record.updated_at));
        for old in gone.iter().skip(DESTROYED_MAX) {
            self.context.store.forget_machine(&old.id).await?;
        }
        records.extend(gone.into_iter().take(DESTROYED_MAX));
        Ok(records)
    }

    /// Forgets the machines that were destroyed long ago while the platform runs.
    async fn forget_long_destroyed(&self) {
        let mut gone = self.all_machines();
        gone.retain(|machine| machine.snapshot().record.is_gone());
        gone.sort_by_cached_key(|machine| std::cmp::Reverse(machine.snapshot().record.updated_at));
        for old in gone.into_iter().skip(DESTROYED_MAX) {
            if let Err(error) = self.context.store.forget_machine(&old.id).await {
                return tracing::warn!(%error, machine = old.id, "a destroyed machine is kept");
            }
            self.remove(&[old]);
        }
    }

    /// Takes a stored machine up again, with its program if that still runs.
    async fn resume(
        &self,
        record: MachineRecord,
        survivors: &mut Survivors,
        containers: Option<&mut Containers>,
    ) -> Result<(), StoreError> {
        let events = self.context.store.events(&record.id).await?;
        let files = MachineFiles::of(&self.context, &record.id);
        files.remove_roots_except(record.run.as_ref().map(|run| run.start.as_str()));
        let machine = Machine::new(Arc::clone(&self.context), record, events);
        let mut inner = machine.inner.lock().await;
        if let Some(run) = inner.record.run.clone() {
            let mut record = inner.record.clone();
            let found = match run.runtime {
                Runtime::Process => {
                    let hold = self.context.limiter.hold_of_earlier(&run.start);
                    let limits = record.limits(&self.context.settings);
                    survivors.claim(&run.start, run.identity(), hold, &limits)
                }
                Runtime::Container => {
                    containers.and_then(|containers| containers.claim(&run.start, files.log()))
                }
            };
            let was_started = run.pid.is_some()
                || (run.runtime == Runtime::Container && record.state != MachineState::Starting);
            match found {
                Some((program, ended)) => {
                    self.context.ports.keep(run.ports());
                    if let Some(stored) = &mut record.run {
                        stored.identify(program.identity());
                    }
                    if record.state != MachineState::Suspended {
                        // Killed between waking it and letting it run on.
                        program.thaw().await;
                    }
                    if record.state == MachineState::Starting {
                        // Killed between the start and its note.
                        record.state = MachineState::Started;
                    }
                    machine.run(&mut inner, &record, &run, program, ended);
                }
                // It ended while nobody watched: the keeper settles that by its policy.
                None if was_started => {
                    inner.phase = Phase::Running;
                    inner.exit = Some(self.context.limiter.unseen_exit(&run.start));
                }
                // It never was started.
                None => record.run = None,
            }
            machine.note(&mut inner, record, Vec::new()).await;
        }
        drop(inner);
        self.insert(machine);
        Ok(())
    }

    /// Ends the groups of programs that have ended while nobody watched. What the kernel counted
    /// in them was read before.
    async fn end_groups_without_program(&self) {
        let mut kept = Vec::new();
        for machine in self.all_machines() {
            // Its checks have begun and take the lock too: a busy machine is no empty one.
            let inner = machine.inner.lock().await;
            if let (Some(_), Some(run)) = (&inner.program, &inner.record.run) {
                kept.push(run.start.clone());
            }
        }
        self.context.limiter.end_all_except(&kept).await;
    }

    pub(super) fn keep(&self, machine: Arc<Machine>) {
        self.insert(Arc::clone(&machine));
        self.tasks.spawn(keeper::keep(machine));
    }
}
