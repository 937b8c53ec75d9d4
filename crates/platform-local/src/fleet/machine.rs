//! One machine in memory: its record, its events, its program. Whoever changes it holds its lock;
//! a change is durable before anybody sees it. The steps towards its goal are the keeper's.

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use machines_api::types::{CheckStatus, MachineConfig, MachineEvent, MachineState};
use tokio::sync::{Mutex, MutexGuard, Notify, watch};

use super::{
    Context,
    checks::Checks,
    launch::MachineFiles,
    record::{Goal, MachineRecord},
    transition::Phase,
};
use crate::{
    clock,
    error::Refusal,
    log::{Level, NewLine, Provider},
    proxy::Instance,
    settings::Runtime,
    store::{EVENTS_MAX, MachineWrite, StoreError},
    supervisor::{Exit, Program},
};

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) app: String,
    pub(super) context: Arc<Context>,
    pub(super) inner: Mutex<Inner>,
    /// Told to the keeper whenever there may be something to do.
    pub(super) nudge: Arc<Notify>,
    published: watch::Sender<Arc<Snapshot>>,
}

/// What others see of a machine, without its lock.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) record: MachineRecord,
    /// Newest first.
    pub(crate) events: Vec<MachineEvent>,
    pub(crate) checks: Vec<CheckStatus>,
    /// Whether a check that decides about requests has failed.
    pub(crate) failing: bool,
    pub(super) program: Option<Program>,
}

/// What the lock guards.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) record: MachineRecord,
    pub(super) events: Vec<MachineEvent>,
    pub(super) phase: Phase,
    /// One for each service that the proxy reaches.
    pub(super) instances: Vec<Arc<Instance>>,
    pub(super) program: Option<Program>,
    /// How the program ended, till the keeper has settled it.
    pub(super) exit: Option<Exit>,
    pub(super) checks: Checks,
}

/// A change that was decided on.
#[derive(Debug)]
pub(super) struct Change<T> {
    pub(super) value: T,
    /// Oldest first.
    pub(super) events: Vec<MachineEvent>,
    /// Whether the config is that of a new version.
    pub(super) new_version: bool,
}

impl<T> Change<T> {
    pub(super) fn new(value: T) -> Self {
        Self { value, events: Vec::new(), new_version: false }
    }

    pub(super) fn event(value: T, event: MachineEvent) -> Self {
        Self { value, events: vec![event], new_version: false }
    }
}

impl Machine {
    /// A machine that was stored already, without a program.
    pub(super) fn new(
        context: Arc<Context>,
        record: MachineRecord,
        events: Vec<MachineEvent>,
    ) -> Arc<Self> {
        let inner = Inner {
            record,
            events,
            phase: Phase::Idle,
            instances: Vec::new(),
            program: None,
            exit: None,
            checks: Checks::default(),
        };
        Arc::new(Self {
            id: inner.record.id.clone(),
            app: inner.record.app.clone(),
            context,
            nudge: Arc::new(Notify::new()),
            published: watch::Sender::new(inner.snapshot()),
            inner: Mutex::new(inner),
        })
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.published.borrow())
    }

    /// Where its programs write to.
    pub(crate) fn log_file(&self) -> PathBuf {
        MachineFiles::of(&self.context, &self.id).log()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.published.subscribe()
    }

    /// The program, if one runs.
    pub(crate) fn program(&self) -> Option<Program> {
        self.published.borrow().program.clone()
    }

    /// Decides on a change by the newest record, stores it, and lets it be seen. Must not be
    /// dropped half-way: the caller runs it in a task of its own.
    pub(super) async fn change<T>(
        &self,
        decide: impl FnOnce(&mut MachineRecord, Timestamp) -> Result<Change<T>, Refusal>,
    ) -> Result<T, Refusal> {
        let mut inner = self.inner.lock().await;
        let mut record = inner.record.clone();
        if record.is_gone() {
            return Err(Refusal::not_found(format!("machine {} is destroyed", self.id)));
        }
        let change = decide(&mut record, clock::now())?;
        self.commit(&mut inner, record, change.events, change.new_version).await?;
        self.nudge.notify_one();
        Ok(change.value)
    }

    /// Stores a record and its new events (oldest first), then lets them be seen.
    pub(super) async fn commit(
        &self,
        inner: &mut MutexGuard<'_, Inner>,
        mut record: MachineRecord,
        events: Vec<MachineEvent>,
        new_version: bool,
    ) -> Result<(), StoreError> {
        if !events.is_empty() || new_version {
            record.updated_at = clock::now();
        }
        let version: Option<(&str, &MachineConfig)> =
            new_version.then_some((record.instance_id.as_str(), &record.config));
        let write = MachineWrite {
            id: &self.id,
            app: &self.app,
            record: &record,
            events: &events,
            version,
        };
        self.context.store.save_machine(&write).await?;
        self.accept(inner, record, events);
        Ok(())
    }

    /// Like `commit` for what has happened already: a store that fails changes no fact. The next
    /// commit stores the whole record again.
    pub(super) async fn note(
        &self,
        inner: &mut MutexGuard<'_, Inner>,
        record: MachineRecord,
        events: Vec<MachineEvent>,
    ) {
        if let Err(error) = self.commit(inner, record.clone(), events.clone(), false).await {
            tracing::error!(%error, machine = self.id, "what happened could not be stored");
            self.accept(inner, record, events);
        }
    }

    /// Kills the program that runs, if one does, as the kernel might.
    pub(crate) async fn kill_program(&self) -> bool {
        let inner = self.inner.lock().await;
        let program = inner.program.as_ref().filter(|_| inner.exit.is_none());
        program.map(Program::kill).is_some()
    }

    pub(crate) fn runs_in_container(&self) -> bool {
        let snapshot = self.snapshot();
        snapshot.record.run.as_ref().is_some_and(|run| run.runtime == Runtime::Container)
    }

    /// Where the machine's volumes are on this computer.
    pub(crate) fn volumes(&self) -> Vec<PathBuf> {
        let files = MachineFiles::of(&self.context, &self.id);
        files.volumes(&self.snapshot().record.config.mounts)
    }

    /// Lets the world see what the lock guards, and puts the instance into or out of rotation.
    pub(super) fn publish(&self, inner: &Inner) {
        for instance in &inner.instances {
            instance.set_in_rotation(inner.belongs_in_rotation());
        }
        self.published.send_replace(inner.snapshot());
        self.context.routes.announce();
    }

    fn accept(
        &self,
        inner: &mut MutexGuard<'_, Inner>,
        record: MachineRecord,
        events: Vec<MachineEvent>,
    ) {
        inner.record = record;
        for event in &events {
            self.log_event(&inner.record.name, event);
        }
        inner.events.splice(0..0, events.into_iter().rev());
        inner.events.truncate(EVENTS_MAX as usize);
        self.publish(inner);
    }
}

impl Machine {
    /// Tells in the log of the app what became of the machine.
    fn log_event(&self, name: &str, event: &MachineEvent) {
        let mut text = format!("machine {}: {}", event.event_type, event.status);
        let mut level = Level::Info;
        if let Some(exit) = event.exit_event() {
            text = format!("machine exited with code {}", exit.exit_code);
            if exit.oom_killed {
                text.push_str(", killed for want of memory");
            }
            if exit.requested_stop {
                text.push_str(", as it was asked to");
            } else if exit.exit_code != 0 {
                level = Level::Error;
            }
            if exit.restarting {
                text.push_str(", and is started again");
            }
        } else if let Some(reason) =
            event.request.as_ref().and_then(|request| request.rest.get("error"))
        {
            text = format!("machine failed to start: {}", reason.as_str().unwrap_or_default());
            level = Level::Error;
        }
        let machine = Some((self.id.clone(), name.to_owned()));
        let line = NewLine { at: None, provider: Provider::Runner, level, machine, text };
        self.context.logs.append(&self.app, line);
    }
}

impl Inner {
    /// Whether requests may be handed to the program that runs.
    fn belongs_in_rotation(&self) -> bool {
        self.phase == Phase::Running
            && self.exit.is_none()
            && self.record.state == MachineState::Started
            && self.record.goal == Goal::Run
            && !self.record.cordoned
            // As on Fly: a machine that offers no service is no business of the proxy.
            && !self.record.config.services.is_empty()
            && !self.record.run_shall_leave()
            && self.checks.all_pass()
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            record: self.record.clone(),
            events: self.events.clone(),
            checks: self.checks.statuses(),
            failing: self.checks.any_critical(),
            program: self.program.clone(),
        })
    }
}
