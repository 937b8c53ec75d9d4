//! What clients may ask of a machine. Each order is checked against the lease and the state,
//! stored, and taken out of rotation where it must be, before it is answered; the keeper does
//! the rest.

use std::collections::BTreeMap;

use jiff::Timestamp;
use machines_api::types::{
    ImageRef, Lease, MachineState, StopMachine, UpdateMachine, WireDuration,
};

use super::{
    events::{self, Source},
    keeper::{STOP_TIMEOUT_MAX, millis},
    lease,
    machine::{Change, Machine},
    record::{Goal, MachineRecord},
    signal,
};
use crate::{error::Refusal, identity};

impl Machine {
    /// Starts the machine; gives the state that it was in.
    pub(crate) async fn start(
        &self,
        nonce: Option<&str>,
        source: Source,
    ) -> Result<MachineState, Refusal> {
        self.change(|record, now| {
            lease::check(record, nonce, now)?;
            let previous = record.state;
            if record.goal == Goal::Run {
                // Asked for twice: it is started or about to be, which is what was asked.
                return Ok(Change::new(previous));
            }
            refuse_if_leaving(record)?;
            record.goal = Goal::Run;
            record.state = MachineState::Starting;
            record.restart_count = 0;
            let event = events::event("start", MachineState::Starting, source, now);
            Ok(Change::event(previous, event))
        })
        .await
    }

    /// Stops the machine: it drains first.
    pub(crate) async fn stop(
        &self,
        nonce: Option<&str>,
        order: &StopMachine,
        source: Source,
    ) -> Result<(), Refusal> {
        let order = order.clone();
        self.change(|record, now| {
            lease::check(record, nonce, now)?;
            if record.goal == Goal::Destroy {
                return Err(Refusal::precondition("machine is being destroyed"));
            }
            set_stop(record, order.signal, order.timeout)?;
            if record.goal == Goal::Stop {
                return Ok(Change::new(()));
            }
            record.goal = Goal::Stop;
            record.state = MachineState::Stopping;
            Ok(Change::event((), events::event("stop", MachineState::Stopping, source, now)))
        })
        .await
    }

    /// Freezes the machine's program, so that the next start lets it run on: it drains first.
    pub(crate) async fn suspend(&self, nonce: Option<&str>, source: Source) -> Result<(), Refusal> {
        self.change(|record, now| {
            lease::check(record, nonce, now)?;
            if record.goal == Goal::Suspend {
                return Ok(Change::new(()));
            }
            if record.goal != Goal::Run || record.state != MachineState::Started {
                return Err(Refusal::precondition(format!(
                    "machine is {}\nhint: only a started machine can be suspended",
                    record.state
                )));
            }
            if let Some(reason) = why_not_suspended(record) {
                return Err(Refusal::precondition(format!(
                    "machine cannot be suspended: {reason}"
                )));
            }
            record.goal = Goal::Suspend;
            record.state = MachineState::Suspending;
            Ok(Change::event((), events::event("suspend", MachineState::Suspending, source, now)))
        })
        .await
    }

    /// Starts the machine anew, or starts it if it is stopped.
    pub(crate) async fn restart(
        &self,
        nonce: Option<&str>,
        order: &StopMachine,
        force_stop: bool,
    ) -> Result<(), Refusal> {
        let order = order.clone();
        self.change(|record, now| {
            lease::check(record, nonce, now)?;
            refuse_if_leaving(record)?;
            let timeout = force_stop.then_some(WireDuration::default()).or(order.timeout);
            set_stop(record, order.signal, timeout)?;
            if let Some(run) = &mut record.run {
                run.replace = true;
            }
            record.goal = Goal::Run;
            record.state = MachineState::Restarting;
            record.restart_count = 0;
            let event = events::event("restart", MachineState::Restarting, Source::User, now);
            Ok(Change::event((), event))
        })
        .await
    }

    /// Replaces the whole config; gives the nonce of a lease, if one was asked for.
    pub(super) async fn update(
        &self,
        nonce: Option<&str>,
        order: UpdateMachine,
        image: ImageRef,
    ) -> Result<Option<String>, Refusal> {
        self.change(|record, now| {
            lease::check(record, nonce, now)?;
            if record.goal == Goal::Destroy {
                return Err(Refusal::precondition("machine is being destroyed"));
            }
            let seen = order.current_version.as_ref();
            if let Some(seen) = seen.filter(|seen| **seen != record.instance_id) {
                return Err(Refusal::precondition(format!(
                    "machine version is {}, not {seen}\nhint: read the machine again and decide anew",
                    record.instance_id
                )));
            }
            record.config = order.config;
            record.image = image;
            record.skip_secrets = order.skip_secrets;
            record.cordoned |= order.skip_service_registration;
            let state = begin_version(record, order.skip_launch);
            let leased = order.lease_ttl_secs.map(|ttl_secs| {
                lease::acquire(record, nonce, Some(ttl_secs), None, now).map(|lease| lease.nonce)
            });
            let event = events::event("update", state, Source::User, now);
            Ok(Change { value: leased.transpose()?, events: vec![event], new_version: true })
        })
        .await
    }

    /// Destroys the machine; a running one only by force.
    pub(crate) async fn destroy(&self, nonce: Option<&str>, force: bool) -> Result<(), Refusal> {
        self.change(|record, now| {
            lease::check(record, nonce, now)?;
            if record.goal == Goal::Run && !force {
                return Err(Refusal::precondition(format!(
                    "unable to destroy machine, not currently stopped (it is {})\nhint: stop it \
                     first, or pass `force=true`",
                    record.state
                )));
            }
            if record.goal == Goal::Destroy {
                return Ok(Change::new(()));
            }
            record.goal = Goal::Destroy;
            record.state = MachineState::Destroying;
            let event = events::event("destroy", MachineState::Destroying, Source::User, now);
            Ok(Change::event((), event))
        })
        .await
    }

    /// Takes the machine out of the proxy, or puts it back; it keeps running.
    pub(crate) async fn cordon(&self, nonce: Option<&str>, cordoned: bool) -> Result<(), Refusal> {
        self.change(|record, now| {
            lease::check(record, nonce, now)?;
            if record.cordoned == cordoned {
                return Ok(Change::new(()));
            }
            record.cordoned = cordoned;
            let kind = if cordoned { "cordon" } else { "uncordon" };
            Ok(Change::event((), events::event(kind, record.state, Source::User, now)))
        })
        .await
    }

    /// Sends the program a signal. Like on Fly no lease is asked for.
    pub(crate) async fn signal(&self, name: &str) -> Result<(), Refusal> {
        let Some(signal) = signal::of(name) else {
            return Err(Refusal::bad_request(format!("there is no signal `{name}`")));
        };
        let inner = self.inner.lock().await;
        match &inner.program {
            Some(program) => {
                program.signal(signal);
                Ok(())
            }
            None => Err(Refusal::precondition(format!("machine is {}", inner.record.state))),
        }
    }

    pub(crate) async fn acquire_lease(
        &self,
        nonce: Option<&str>,
        ttl_secs: Option<u64>,
        description: Option<String>,
    ) -> Result<Lease, Refusal> {
        self.change(|record, now| {
            lease::acquire(record, nonce, ttl_secs, description, now).map(Change::new)
        })
        .await
    }

    pub(crate) async fn release_lease(&self, nonce: Option<&str>) -> Result<(), Refusal> {
        self.change(|record, now| lease::release(record, nonce, now).map(Change::new)).await
    }

    pub(crate) fn lease(&self, now: Timestamp) -> Result<Lease, Refusal> {
        lease::get(&self.snapshot().record, now)
    }

    /// Changes the metadata. Like on Fly this makes no new version and asks for no lease.
    pub(crate) async fn change_metadata(
        &self,
        change: impl FnOnce(&MachineRecord) -> Result<BTreeMap<String, String>, Refusal>,
    ) -> Result<(), Refusal> {
        self.change(|record, now| {
            record.config.metadata = change(record)?;
            record.updated_at = now;
            Ok(Change::new(()))
        })
        .await
    }
}

/// Makes the record's config a new version; gives the state that this leads to.
fn begin_version(record: &mut MachineRecord, skip_launch: bool) -> MachineState {
    record.instance_id = identity::version();
    record.restart_count = 0;
    record.goal = if skip_launch { Goal::Stop } else { Goal::Run };
    record.state = match (&record.run, record.goal) {
        (Some(_), Goal::Run) => MachineState::Replacing,
        (Some(_), _) => MachineState::Stopping,
        (None, Goal::Run) => MachineState::Starting,
        (None, _) if record.state == MachineState::Created => record.state,
        (None, _) => MachineState::Stopped,
    };
    record.state
}

/// Megabytes of memory beyond which Fly suspends no machine.
const SUSPEND_MAX_MB: u64 = 2048;

/// What keeps a machine of this config from being suspended, by Fly's rules.
pub(super) fn why_not_suspended(record: &MachineRecord) -> Option<&'static str> {
    let config = &record.config;
    if record.memory_mb() > SUSPEND_MAX_MB {
        return Some("it has more than 2 GB of memory");
    }
    let swap = config.init.as_ref().and_then(|init| init.swap_size_mb);
    if swap.is_some_and(|size_mb| size_mb > 0) {
        return Some("it has swap");
    }
    config.rest.contains_key("schedule").then_some("it has a schedule")
}

fn refuse_if_leaving(record: &MachineRecord) -> Result<(), Refusal> {
    if record.goal == Goal::Destroy {
        return Err(Refusal::precondition("machine is being destroyed"));
    }
    let is_freezing = record.goal == Goal::Suspend && record.state != MachineState::Suspended;
    if (record.goal == Goal::Stop && record.run.is_some()) || is_freezing {
        return Err(Refusal::precondition(format!(
            "machine still active, refusing to start (it is {})",
            record.state
        )));
    }
    Ok(())
}

fn set_stop(
    record: &mut MachineRecord,
    name: Option<String>,
    timeout: Option<WireDuration>,
) -> Result<(), Refusal> {
    if let Some(name) = name.as_ref().filter(|name| signal::of(name).is_none()) {
        return Err(Refusal::bad_request(format!("there is no signal `{name}`")));
    }
    if let Some(run) = &mut record.run {
        if let Some(name) = name {
            run.stop_signal = name;
        }
        if let Some(timeout) = timeout {
            run.stop_timeout_ms = millis(timeout.0.min(STOP_TIMEOUT_MAX));
        }
    }
    Ok(())
}
