//! Stops machines that nobody uses and starts them when somebody does, as the services of their
//! configs allow. The rule is Fly's: of several running machines one more is kept than are over
//! their soft limit; a single one is stopped when it has no traffic.

use std::{sync::Arc, time::Duration};

use machines_api::types::{Autostop, MachineState, StopMachine};

use super::{
    Fleet,
    events::Source,
    machine::Machine,
    orders::why_not_suspended,
    record::{Goal, MachineRecord},
};
use crate::{clock, proxy::Instance};

/// Whether a request that found no machine has reason to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// A machine is starting, being replaced or full.
    Coming,
    Nobody,
}

impl Fleet {
    /// Says whether a machine is coming that could take a request, and starts one if none is.
    pub(crate) async fn wake(&self, app: &str, only: Option<&str>) -> Outlook {
        let mut sleeping = Vec::new();
        for machine in self.machines_of(app) {
            let snapshot = machine.snapshot();
            let record = &snapshot.record;
            if record.cordoned || only.is_some_and(|only| only != machine.id) {
                continue;
            }
            let leaving = matches!(record.state, MachineState::Stopping | MachineState::Suspending);
            let stopping = leaving && autostarts(record);
            if (record.goal == Goal::Run && !snapshot.failing) || stopping {
                return Outlook::Coming;
            }
            if is_asleep(record) {
                sleeping.push(machine);
            }
        }
        for machine in sleeping {
            // One at a time, so that a burst of requests starts no more than it needs.
            let _turn = self.waking.lock().await;
            if wake(&machine).await {
                return Outlook::Coming;
            }
        }
        Outlook::Nobody
    }

    /// Starts another machine of the app, if one sleeps and none is starting already.
    pub(crate) fn wake_in_background(&self, app: &str) {
        let Ok(turn) = Arc::clone(&self.waking).try_lock_owned() else { return };
        let machines = self.machines_of(app);
        let starting =
            |machine: &Arc<Machine>| machine.snapshot().record.state == MachineState::Starting;
        if machines.iter().any(starting) {
            return;
        }
        let sleeping = machines.into_iter().find(|machine| {
            let record = &machine.snapshot().record;
            is_asleep(record) && !record.cordoned && record.lease_at(clock::now()).is_none()
        });
        if let Some(machine) = sleeping {
            tokio::spawn(async move {
                wake(&machine).await;
                drop(turn);
            });
        }
    }

    /// Looks again and again for machines that nobody uses, until the platform stops.
    pub(super) async fn stop_idle_machines(self) {
        let settings = self.settings();
        let look = Duration::from_millis(settings.idle_look_ms.max(10));
        let idle_min = Duration::from_secs(settings.idle_stop_secs);
        loop {
            tokio::select! {
                () = self.context.stop.cancelled() => return,
                () = clock::pause(look) => {}
            }
            for app in self.app_names() {
                self.stop_one_idle_machine(&app, idle_min).await;
            }
        }
    }

    async fn stop_one_idle_machine(&self, app: &str, idle_min: Duration) {
        let running: Vec<Arc<Instance>> = self
            .routes()
            .of(app)
            .into_iter()
            .filter(|instance| instance.is_in_rotation())
            .collect();
        let crowded =
            running.iter().filter(|instance| instance.in_flight() > instance.soft_limit).count();
        let excess = running.len().saturating_sub(crowded + 1);
        if excess == 0 && running.len() != 1 {
            return;
        }
        let now = clock::now();
        let mut idle: Vec<(Duration, Arc<Machine>)> = running
            .iter()
            .filter(|instance| instance.idle_for() >= idle_min)
            .filter_map(|instance| Some((instance.idle_for(), self.machine(&instance.machine)?)))
            .filter(|(_, machine)| {
                let record = &machine.snapshot().record;
                let min = min_machines_running(record);
                autostops(record) && running.len() > min && record.lease_at(now).is_none()
            })
            .collect();
        idle.sort_by_key(|(idle_for, _)| *idle_for);
        if let Some((idle_for, machine)) = idle.pop() {
            tracing::info!(app, machine = machine.id, ?idle_for, "an idle machine is stopped");
            // A request that came in this moment is drained like any other.
            let stopped = if suspends(&machine.snapshot().record) {
                machine.suspend(None, Source::Proxy).await
            } else {
                machine.stop(None, &StopMachine::default(), Source::Proxy).await
            };
            if let Err(error) = stopped {
                tracing::debug!(%error, machine = machine.id, "an idle machine was not stopped");
            }
        }
    }
}

async fn wake(machine: &Machine) -> bool {
    match machine.start(None, Source::Proxy).await {
        Ok(_) => true,
        Err(error) => {
            // Mostly a lease: whoever holds it decides when the machine starts.
            tracing::info!(%error, machine = machine.id, "a machine was not started for a request");
            false
        }
    }
}

fn is_asleep(record: &MachineRecord) -> bool {
    let rests = matches!(
        (record.goal, record.state),
        (Goal::Stop, MachineState::Stopped) | (Goal::Suspend, MachineState::Suspended)
    );
    rests && autostarts(record)
}

fn autostarts(record: &MachineRecord) -> bool {
    record.config.services.iter().any(|service| service.autostart == Some(true))
}

/// All services must agree: the least willing one decides.
fn autostops(record: &MachineRecord) -> bool {
    let services = &record.config.services;
    let stops = |autostop| matches!(autostop, Some(Autostop::Stop | Autostop::Suspend));
    !services.is_empty() && services.iter().all(|service| stops(service.autostop))
}

/// Whether an idle machine is frozen: all services say so, and it can be. Otherwise it is stopped.
fn suspends(record: &MachineRecord) -> bool {
    let services = &record.config.services;
    services.iter().all(|service| service.autostop == Some(Autostop::Suspend))
        && why_not_suspended(record).is_none()
}

fn min_machines_running(record: &MachineRecord) -> usize {
    let services = &record.config.services;
    let min = services.iter().filter_map(|service| service.min_machines_running).max();
    min.and_then(|min| usize::try_from(min).ok()).unwrap_or(0)
}
