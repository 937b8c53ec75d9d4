//! Takes a machine step by step to its goal: starts its program, drains it, asks it to stop,
//! kills it, and settles what its end means. One task per machine; which step is next is decided
//! by `transition`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use machines_api::types::MachineState;
use tokio::sync::MutexGuard;

use super::{
    checks::Checks,
    events::{self, Source},
    launch::{self, MachineFiles},
    machine::{Inner, Machine},
    record::{Goal, LastExit, MachineRecord, RunRecord},
    signal,
    transition::{self, Phase, Step},
};
use crate::{
    clock,
    fault::Target,
    identity,
    proxy::{Instance, InstanceSpec, Offer, offers},
    settings::Runtime,
    supervisor::{Ended, Exit, NotStarted, Program, Ready},
};

/// The stop signal and time that a config without them gets (Fly's defaults).
const STOP_SIGNAL_DEFAULT: &str = "SIGINT";
const STOP_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// The longest time from the signal to the kill (Fly's limit).
pub(super) const STOP_TIMEOUT_MAX: Duration = Duration::from_mins(5);

/// A killed program that is still there after this is killed again.
const KILL_AGAIN: Duration = Duration::from_secs(2);

/// Keeps the machine on its way until it is destroyed or the platform stops.
pub(super) async fn keep(machine: Arc<Machine>) {
    let stop = machine.context.stop.clone();
    while !stop.is_cancelled() {
        let deadline = machine.take_steps().await;
        if machine.snapshot().record.is_gone() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = machine.nudge.notified() => {}
            () = clock::pause_until(deadline) => {}
        }
    }
}

impl Machine {
    /// Takes all steps that can be taken now; gives the time when there may be another.
    async fn take_steps(self: &Arc<Self>) -> Option<Instant> {
        loop {
            let mut inner = self.inner.lock().await;
            let in_flight = inner.instances.iter().map(|instance| instance.in_flight()).sum();
            let now = clock::instant();
            match transition::next(inner.phase, &inner.record, inner.exit, in_flight, now) {
                Step::Rest(deadline) => return deadline,
                Step::Launch => {
                    drop(inner);
                    self.launch().await;
                }
                Step::Drain => {
                    inner.phase = Phase::Draining { until: now + stop_timeout(&inner.record) };
                    self.publish(&inner);
                }
                Step::Freeze => self.freeze(&mut inner).await,
                Step::Thaw => self.thaw(&mut inner).await,
                Step::AskToStop => {
                    inner.phase = Phase::Stopping { until: now + stop_timeout(&inner.record) };
                    for instance in &inner.instances {
                        instance.close();
                    }
                    let run = inner.record.run.as_ref();
                    let name = run.map_or(STOP_SIGNAL_DEFAULT, |run| run.stop_signal.as_str());
                    if let Some(program) = &inner.program {
                        program.signal(signal::of(name).unwrap_or(rustix::process::Signal::INT));
                    }
                }
                Step::Kill => {
                    inner.phase = Phase::Killed { until: now + KILL_AGAIN };
                    if let Some(program) = &inner.program {
                        tracing::warn!(machine = self.id, "a program did not stop and is killed");
                        program.kill();
                    }
                }
                Step::Settle(exit) => self.settle(&mut inner, exit).await,
                Step::Arrive => self.arrive(&mut inner).await,
            }
        }
    }

    /// Starts the program of the newest version.
    async fn launch(self: &Arc<Self>) {
        let (record, run) = {
            let mut inner = self.inner.lock().await;
            match self.begin_launch(&mut inner).await {
                Ok(begun) => begun,
                Err(reason) => return self.give_up(&mut inner, &reason).await,
            }
        };
        let ready = launch::make_ready(&self.context, &record, &run).await;

        self.wait_on_purpose(&run).await;
        let mut inner = self.inner.lock().await;
        if inner.record.run_shall_leave() {
            // Something else is wanted meanwhile.
            if let Ok(ready) = ready {
                ready.discard().await;
            }
            let mut record = inner.record.clone();
            self.context.ports.give_all_back(run.ports());
            record.run = None;
            inner.phase = Phase::Idle;
            return self.note(&mut inner, record, Vec::new()).await;
        }
        let started = match ready {
            Ok(ready) => self.start_program(&mut inner, &run, &ready).await,
            Err(reason) => Err(reason),
        };
        if let Err(reason) = started {
            self.give_up(&mut inner, &reason).await;
        }
    }

    /// Waits before the start if a fault makes it slow, and no longer than the start is wanted.
    async fn wait_on_purpose(&self, run: &RunRecord) {
        let target = Target { app: &self.app, machine: &self.id, image_digest: &run.image_digest };
        let Some(delay) = self.context.faults.delay_of_start(target) else { return };
        tracing::warn!(machine = self.id, ?delay, "a fault delays the start of a program");
        let mut snapshots = self.subscribe();
        tokio::select! {
            () = clock::pause(delay) => {}
            _ = snapshots.wait_for(|snapshot| snapshot.record.run_shall_leave()) => {}
            () = self.context.stop.cancelled() => {}
        }
    }

    /// Stores which start is coming, so that its program is found again whatever happens.
    async fn begin_launch(
        &self,
        inner: &mut MutexGuard<'_, Inner>,
    ) -> Result<(MachineRecord, RunRecord), NotStarted> {
        let mut record = inner.record.clone();
        let runtime = record.runtime(self.context.settings.runtime);
        let runtime = runtime.map_err(NotStarted::because)?;
        let ports = &self.context.ports;
        let further = record.further_internal_ports();
        let mut taken = ports.take(1 + further.len()).map_err(NotStarted::because)?;
        let (port, further_ports) = (taken.remove(0), further.into_iter().zip(taken).collect());
        let stop = record.config.stop_config.clone().unwrap_or_default();
        let timeout = stop.timeout.map_or(STOP_TIMEOUT_DEFAULT, |timeout| timeout.0);
        let run = RunRecord {
            start: identity::version(),
            instance_id: record.instance_id.clone(),
            image_digest: record.image.digest.clone(),
            port,
            further_ports,
            pid: None,
            start_ticks: None,
            started_at: clock::now(),
            stop_signal: stop.signal.unwrap_or_else(|| STOP_SIGNAL_DEFAULT.to_owned()),
            stop_timeout_ms: millis(timeout.min(STOP_TIMEOUT_MAX)),
            replace: false,
            runtime,
        };
        record.run = Some(run.clone());
        record.state = MachineState::Starting;
        self.commit(inner, record.clone(), Vec::new(), false).await.map_err(|error| {
            ports.give_all_back(run.ports());
            NotStarted::because(error)
        })?;
        Ok((record, run))
    }

    async fn start_program(
        self: &Arc<Self>,
        inner: &mut MutexGuard<'_, Inner>,
        run: &RunRecord,
        ready: &Ready,
    ) -> Result<(), NotStarted> {
        let (program, ended) = Program::start(ready).await?;
        let mut record = inner.record.clone();
        record.state = MachineState::Started;
        if let Some(stored) = &mut record.run {
            stored.identify(program.identity());
        }
        self.run(inner, &record, run, program, ended);
        let now = clock::now();
        let event = events::event("start", MachineState::Started, Source::Flyd, now);
        self.note(inner, record, vec![event]).await;
        Ok(())
    }

    /// Takes charge of a program that runs, just started or found again.
    pub(super) fn run(
        self: &Arc<Self>,
        inner: &mut MutexGuard<'_, Inner>,
        record: &MachineRecord,
        run: &RunRecord,
        program: Program,
        ended: Ended,
    ) {
        let instance = |offer: Offer| {
            let address = ([127, 0, 0, 1], run.port_of(offer.internal_port)).into();
            let instance = Instance::new(InstanceSpec {
                app: self.app.clone(),
                machine: self.id.clone(),
                start: run.start.clone(),
                image_digest: run.image_digest.clone(),
                region: record.region.clone(),
                address,
                offer,
                drained: Arc::clone(&self.nudge),
                meter: self.context.metrics.machine(&self.app, &self.id),
            });
            self.context.routes.add(Arc::clone(&instance));
            instance
        };
        let offers = offers(&record.config.services, self.context.has_tls());
        inner.instances = offers.into_iter().map(instance).collect();
        inner.program = Some(program);
        inner.exit = None;
        let weak = Arc::downgrade(self);
        if record.state == MachineState::Suspended {
            inner.phase = Phase::Suspended;
        } else {
            inner.phase = Phase::Running;
            inner.checks = Checks::begin(&weak, &record.config, run);
        }
        let start = run.start.clone();
        tokio::spawn(async move {
            let exit = ended.await;
            if let Some(machine) = weak.upgrade() {
                machine.note_exit(&start, exit).await;
            }
        });
    }

    /// Freezes the program. Nothing is asked of it from then on.
    async fn freeze(self: &Arc<Self>, inner: &mut MutexGuard<'_, Inner>) {
        inner.phase = Phase::Suspended;
        inner.checks = Checks::default();
        let mut record = inner.record.clone();
        if let Some(program) = &inner.program
            && let Err(reason) = program.freeze().await
        {
            tracing::warn!(machine = self.id, reason, "a machine was not suspended and runs on");
            record.goal = Goal::Run;
            return self.run_on(inner, record).await;
        }
        record.state = MachineState::Suspended;
        let event = events::event("suspend", record.state, Source::Flyd, clock::now());
        self.note(inner, record, vec![event]).await;
    }

    /// Lets the program run on.
    async fn thaw(self: &Arc<Self>, inner: &mut MutexGuard<'_, Inner>) {
        if let Some(program) = &inner.program {
            program.thaw().await;
        }
        let record = inner.record.clone();
        self.run_on(inner, record).await;
    }

    /// Notes that the program runs, as it did before.
    async fn run_on(
        self: &Arc<Self>,
        inner: &mut MutexGuard<'_, Inner>,
        mut record: MachineRecord,
    ) {
        inner.phase = Phase::Running;
        if let Some(run) = &record.run {
            let weak = Arc::downgrade(self);
            inner.checks = Checks::begin(&weak, &record.config, run);
        }
        record.state = MachineState::Started;
        let event = events::event("start", record.state, Source::Flyd, clock::now());
        self.note(inner, record, vec![event]).await;
    }

    async fn note_exit(&self, start: &str, exit: Exit) {
        let mut inner = self.inner.lock().await;
        if inner.record.run.as_ref().is_some_and(|run| run.start == start) {
            inner.exit = Some(exit);
            // Out of rotation at once: no request shall try a program that is gone.
            self.publish(&inner);
            self.nudge.notify_one();
        }
    }

    /// Decides what the end of the program means.
    async fn settle(&self, inner: &mut MutexGuard<'_, Inner>, exit: Exit) {
        let mut record = inner.record.clone();
        let now = clock::now();
        if record.goal == Goal::Suspend {
            // Its memory is gone, and with that what was to be kept.
            record.goal = Goal::Stop;
        }
        let requested = inner.phase != Phase::Running || record.run_shall_leave();
        let run = record.run.take();
        let mut restart = None;
        if requested {
            if record.goal == Goal::Stop {
                record.state = MachineState::Stopped;
            }
        } else {
            let ran_secs =
                run.as_ref().map_or(0, |run| now.as_second() - run.started_at.as_second());
            if transition::ran_well(ran_secs) {
                record.restart_count = 0;
            }
            restart = transition::restart_after(&record, exit);
            if restart.is_some() {
                record.restart_count += 1;
                record.state = MachineState::Restarting;
                self.context.metrics.machine(&self.app, &self.id).restarted();
            } else {
                record.goal = Goal::Stop;
                let gave_up = transition::gives_up(&record, exit);
                record.state = if gave_up { MachineState::Failed } else { MachineState::Stopped };
            }
        }
        if record.config.auto_destroy == Some(true) && record.goal == Goal::Stop {
            record.goal = Goal::Destroy;
            record.state = MachineState::Destroying;
        }
        // How a program ended that an earlier platform started is not known, and not guessed.
        let known = exit.code().map(|code| LastExit { code, oom_killed: exit.oom_killed });
        self.context.metrics.machine(&self.app, &self.id).ended(exit.oom_killed);
        record.last_exit = known.or(record.last_exit);
        let restarting = record.goal == Goal::Run;
        let count = record.restart_count;
        let event = events::exit_event(exit, record.state, requested, restarting, count, now);
        let program = inner.program.take();
        self.let_go(inner, run.as_ref());
        inner.phase = match restart {
            Some(wait) => Phase::BackingOff { until: clock::instant() + wait },
            None => Phase::Idle,
        };
        self.note(inner, record, vec![event]).await;
        if let Some(program) = program {
            program.remove().await;
        }
        let is_of_before = |run: &RunRecord| run.image_digest != inner.record.image.digest;
        if run.is_some_and(|run| run.runtime == Runtime::Container && is_of_before(&run)) {
            let context = Arc::clone(&self.context);
            tokio::spawn(async move { context.remove_unused_images().await });
        }
    }

    /// Notes that the goal is reached.
    async fn arrive(&self, inner: &mut MutexGuard<'_, Inner>) {
        inner.phase = Phase::Idle;
        let mut record = inner.record.clone();
        let mut events = Vec::new();
        if record.goal == Goal::Destroy {
            let files = MachineFiles::of(&self.context, &self.id);
            let removed = tokio::task::spawn_blocking(move || files.remove_all()).await;
            if let Err(error) = removed {
                tracing::error!(%error, machine = self.id, "files of a machine may be left");
            }
            self.context.metrics.retire(&self.app, &self.id);
            if record.runtime(self.context.settings.runtime) == Ok(Runtime::Container) {
                self.context.remove_unused_images().await;
            }
            record.state = MachineState::Destroyed;
            let now = clock::now();
            events.push(events::event("destroy", record.state, Source::Flyd, now));
        } else {
            record.goal = Goal::Stop;
            record.state = MachineState::Stopped;
        }
        self.note(inner, record, events).await;
    }

    /// Notes that the program could not be started. One that ran before, and would again if only
    /// the container engine answered, is tried again by the machine's restart policy.
    async fn give_up(&self, inner: &mut MutexGuard<'_, Inner>, why: &NotStarted) {
        let reason = why.reason.as_str();
        tracing::warn!(machine = self.id, reason, "a machine could not be started");
        let mut record = inner.record.clone();
        let run = record.run.take();
        self.let_go(inner, run.as_ref());
        inner.phase = Phase::Idle;
        let again = (why.engine_is_away && record.goal == Goal::Run && record.restart_count > 0)
            .then(|| transition::restart_after(&record, Exit::UNKNOWN))
            .flatten();
        if let Some(wait) = again {
            inner.phase = Phase::BackingOff { until: clock::instant() + wait };
            record.restart_count += 1;
            record.state = MachineState::Restarting;
        } else if record.goal == Goal::Run {
            record.goal = Goal::Stop;
            record.state = MachineState::Failed;
        }
        let event = events::launch_failed(reason, clock::now());
        // Told once, however often it is tried: other events are not to be pushed out.
        let is_told = again.is_some()
            && inner.events.first().is_some_and(|newest| newest.request == event.request);
        let events = if is_told { Vec::new() } else { vec![event] };
        self.note(inner, record, events).await;
    }

    /// Gives back what the program had.
    fn let_go(&self, inner: &mut MutexGuard<'_, Inner>, run: Option<&RunRecord>) {
        for instance in std::mem::take(&mut inner.instances) {
            instance.set_in_rotation(false);
            self.context.routes.remove(&instance);
        }
        if let Some(run) = run {
            self.context.ports.give_all_back(run.ports());
        }
        inner.program = None;
        inner.exit = None;
        inner.checks = Checks::default();
    }
}

fn stop_timeout(record: &MachineRecord) -> Duration {
    record
        .run
        .as_ref()
        .map_or(STOP_TIMEOUT_DEFAULT, |run| Duration::from_millis(run.stop_timeout_ms))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
