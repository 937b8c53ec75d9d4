//! Stops machines that nobody uses and starts them when somebody does, as the services of their
//! configs allow. The rule is Fly's: of several running machines one more is kept than are over
//! their soft limit; a single one is stopped when it has no traffic.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use machines_api::types::{Autostop, MachineState, StopMachine};

use super::{
    Fleet,
    events::Source,
    machine::{Machine, Snapshot},
    orders::why_not_suspended,
    record::{Goal, MachineRecord},
};
use crate::{
    clock,
    log::{Level, NewLine, Provider},
    proxy::{Choice, Entrance, Instance, forces_https, has_offer},
};

/// In this variable of each machine Fly's client tells the primary region of its app.
const PRIMARY_REGION_VARIABLE: &str = "PRIMARY_REGION";

/// Whether a request that found no machine has reason to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// A machine is starting, being replaced or full.
    Coming,
    /// This machine was started just now, for the request.
    Woken(String),
    /// This machine might be started, and may not.
    Refused { machine: String, obstacle: Obstacle },
    /// There are machines, but none will take a request.
    Nobody,
    /// There is no machine that may answer the request.
    Missing,
}

/// Why a machine is not started for a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Obstacle {
    /// The platform refuses, mostly because somebody holds the machine's lease.
    #[error("machines API returned an error: \"{0}\"")]
    Api(String),
    /// The machine's state forbids it at this moment.
    #[error("failed to change machine state: {0}")]
    State(String),
    /// It is in a state that no request changes.
    #[error("machine is in a non-startable state: {0}")]
    NotStartable(MachineState),
}

impl Fleet {
    /// Says whether a machine is coming that could take a request, and starts one if none is.
    pub(crate) async fn wake(&self, app: &str, choice: &Choice) -> Outlook {
        let mut sleeping = Vec::new();
        let (mut is_missing, mut refused) = (true, None);
        for machine in self.machines_of(app) {
            let snapshot = machine.snapshot();
            let record = &snapshot.record;
            if !choice.admits(&machine.id, &record.region) {
                continue;
            }
            is_missing = false;
            let services = &record.config.services;
            if record.cordoned || !has_offer(services, choice.entrance, self.context.has_tls()) {
                continue;
            }
            let leaving = matches!(record.state, MachineState::Stopping | MachineState::Suspending);
            let stopping = leaving && autostarts(record);
            // What the checks say of a program that makes room says nothing of the next one.
            let well = !snapshot.failing || record.run_shall_leave();
            if (record.goal == Goal::Run && well) || stopping {
                return Outlook::Coming;
            }
            if is_asleep(record) {
                sleeping.push((self.recently_stopped(&snapshot), machine));
            } else if is_unstartable(record.state) {
                let obstacle = Obstacle::NotStartable(record.state);
                refused = Some(Outlook::Refused { machine: machine.id.clone(), obstacle });
            }
        }
        // Others first; the one that was stopped a moment ago if it is the only one.
        sleeping.sort_by_key(|(recently, _)| *recently);
        let others = sleeping.iter().any(|(recently, _)| !recently);
        for (_, machine) in sleeping.iter().filter(|(recently, _)| *recently && others) {
            self.tell_avoided(machine);
        }
        for (_, machine) in sleeping {
            // One at a time, so that a burst of requests starts no more than it needs.
            let _turn = self.waking.lock().await;
            match self.start_for_request(&machine).await {
                Ok(()) => return Outlook::Woken(machine.id.clone()),
                Err(obstacle) => {
                    refused = Some(Outlook::Refused { machine: machine.id.clone(), obstacle });
                }
            }
        }
        refused.unwrap_or(if is_missing { Outlook::Missing } else { Outlook::Nobody })
    }

    /// Whether the app's machines have services, and none of them is reached by this entrance.
    pub(crate) fn offers_nothing(&self, app: &str, entrance: Entrance) -> bool {
        let has_tls = self.context.has_tls();
        let mut has_services = false;
        let machines = self.machines_of(app);
        let any = machines.iter().any(|machine| {
            let services = &machine.snapshot().record.config.services;
            has_services |= !services.is_empty();
            has_offer(services, entrance, has_tls)
        });
        has_services && !any
    }

    /// Whether the app wants to be reached by TLS only, as its machines say that do not run.
    pub(crate) fn forces_https(&self, app: &str) -> bool {
        let machines = self.machines_of(app);
        machines.iter().any(|machine| forces_https(&machine.snapshot().record.config.services))
    }

    /// Starts another machine of the app, if one sleeps and none is starting already. One that was
    /// stopped a moment ago is left alone: others serve.
    pub(crate) fn wake_in_background(&self, app: &str) {
        let Ok(turn) = Arc::clone(&self.waking).try_lock_owned() else { return };
        let machines = self.machines_of(app);
        let starting =
            |machine: &Arc<Machine>| machine.snapshot().record.state == MachineState::Starting;
        if machines.iter().any(starting) {
            return;
        }
        let sleeping = machines.into_iter().filter(|machine| {
            let record = &machine.snapshot().record;
            is_asleep(record) && !record.cordoned && record.lease_at(clock::now()).is_none()
        });
        let (rested, recent): (Vec<_>, Vec<_>) =
            sleeping.partition(|machine| !self.recently_stopped(&machine.snapshot()));
        if let Some(machine) = rested.into_iter().next() {
            let fleet = self.clone();
            tokio::spawn(async move {
                // A refusal was told; the next request over the limit tries again.
                drop(fleet.start_for_request(&machine).await);
                drop(turn);
            });
        } else if let Some(machine) = recent.first() {
            self.tell_avoided(machine);
        }
    }

    async fn start_for_request(&self, machine: &Machine) -> Result<(), Obstacle> {
        match machine.start(None, Source::Proxy).await {
            Ok(_) => {
                self.tell(machine, "Starting machine".to_owned());
                Ok(())
            }
            Err(refusal) => {
                // Mostly a lease: whoever holds it decides when the machine starts.
                tracing::info!(%refusal, machine = machine.id, "not started for a request");
                let reason = refusal.message.lines().next().unwrap_or_default().to_owned();
                Err(if refusal.status == StatusCode::PRECONDITION_FAILED {
                    Obstacle::State(reason)
                } else {
                    Obstacle::Api(reason)
                })
            }
        }
    }

    /// Whether the machine stopped so short a time ago that others are asked first.
    fn recently_stopped(&self, snapshot: &Snapshot) -> bool {
        let rests = [MachineState::Stopped.as_str(), MachineState::Suspended.as_str()];
        let stopped = snapshot.events.iter().find(|event| rests.contains(&event.status.as_str()));
        let recent_ms = i64::try_from(self.context.settings.recently_stopped_ms);
        stopped.is_some_and(|event| {
            let ago_ms = clock::now().as_millisecond() - event.timestamp_ms;
            ago_ms < recent_ms.unwrap_or(i64::MAX)
        })
    }

    fn tell_avoided(&self, machine: &Machine) {
        let text = "[PM11] machine was recently stopped and is unavailable to service request";
        let line = || proxy_line(machine, text.to_owned());
        self.context.logs.complain(&machine.app, "PM11", line);
    }

    /// Says something about a machine in its app's log, on behalf of the proxy.
    fn tell(&self, machine: &Machine, text: String) {
        self.context.logs.append(&machine.app, proxy_line(machine, text));
    }

    /// Looks again and again for machines that nobody uses, until the platform stops.
    pub(super) async fn stop_idle_machines(self) {
        let settings = self.settings();
        let look = Duration::from_millis(settings.idle_look_ms.max(10));
        let idle_min = Duration::from_secs(settings.idle_stop_secs);
        let mut excess = Excess::new();
        loop {
            tokio::select! {
                () = self.context.stop.cancelled() => return,
                () = clock::pause(look) => {}
            }
            let mut seen = Excess::new();
            for app in self.app_names() {
                for (region, running) in by_region(self.routes().of(&app)) {
                    let place = (app.clone(), region);
                    let since = excess.get(&place).copied();
                    if let Some(since) = self.stop_one(&place, running, since, idle_min).await {
                        seen.insert(place, since);
                    }
                }
            }
            excess = seen;
        }
    }

    /// Stops at most one of the machines that run in one region; gives the time since which there
    /// are too many.
    async fn stop_one(
        &self,
        (app, region): &(String, String),
        running: BTreeMap<String, Services>,
        since: Option<Instant>,
        idle_min: Duration,
    ) -> Option<Instant> {
        let is_crowded = |instance: &Arc<Instance>| instance.in_flight() > instance.soft_limit;
        let crowded = running.values().filter(|services| services.iter().any(is_crowded)).count();
        let has_excess = running.len() > crowded + 1;
        let now = clock::instant();
        let since = has_excess.then(|| since.unwrap_or(now));
        let is_lasting = since.is_some_and(|since| now.duration_since(since) >= idle_min);
        let count = running.len();
        if !has_excess && count != 1 {
            return since;
        }
        let may_stop = running.into_iter().filter_map(|(id, services)| {
            let machine = self.machine(&id)?;
            let idle_for = services.iter().map(|instance| instance.idle_for()).min()?;
            let age = services.iter().map(|instance| instance.age()).min()?;
            // One that is in use is stopped only beside others, after there were too many for long.
            let is_due = idle_for >= idle_min || (is_lasting && age >= idle_min);
            let in_flight: usize = services.iter().map(|instance| instance.in_flight()).sum();
            let choice = (std::cmp::Reverse(in_flight), idle_for, machine);
            (is_due && self.may_be_stopped(&choice.2, count)).then_some(choice)
        });
        let chosen = may_stop.max_by_key(|(in_flight, idle_for, _)| (*in_flight, *idle_for));
        let Some((_, idle_for, machine)) = chosen else { return since };
        tracing::info!(app, machine = machine.id, ?idle_for, "a machine too many is stopped");
        let left = count - 1;
        self.tell(
            &machine,
            format!(
                "App {app} has excess capacity, autostopping machine {}. {left} out of {count} \
                 machines left running (region={region})",
                machine.id
            ),
        );
        // A request that came in this moment is drained like any other.
        let stopped = if suspends(&machine.snapshot().record) {
            machine.suspend(None, Source::Proxy).await
        } else {
            machine.stop(None, &StopMachine::default(), Source::Proxy).await
        };
        if let Err(error) = stopped {
            tracing::debug!(%error, machine = machine.id, "an idle machine was not stopped");
        }
        // The next one only after there were too many for as long again.
        None
    }

    /// Whether one of so many running machines may be stopped, as its config and lease say.
    fn may_be_stopped(&self, machine: &Machine, running: usize) -> bool {
        let record = &machine.snapshot().record;
        let min = min_machines_running(record, &self.context.settings.region);
        autostops(record) && running > min && record.lease_at(clock::now()).is_none()
    }
}

/// Since when there are too many machines of an app in a region.
type Excess = BTreeMap<(String, String), Instant>;

/// The services of one machine.
type Services = Vec<Arc<Instance>>;

/// The machines in rotation, by their region: as on Fly each region is looked at for itself.
fn by_region(instances: Vec<Arc<Instance>>) -> BTreeMap<String, BTreeMap<String, Services>> {
    let mut regions = BTreeMap::<String, BTreeMap<String, Services>>::new();
    for instance in instances.into_iter().filter(|instance| instance.is_in_rotation()) {
        let machines = regions.entry(instance.region.clone()).or_default();
        machines.entry(instance.machine.clone()).or_default().push(instance);
    }
    regions
}

fn proxy_line(machine: &Machine, text: String) -> NewLine {
    let name = machine.snapshot().record.name.clone();
    NewLine {
        at: None,
        provider: Provider::Proxy,
        level: Level::Info,
        machine: Some((machine.id.clone(), name)),
        text,
    }
}

/// Whether a machine rests in a state from which no request wakes it, nor anything else soon.
fn is_unstartable(state: MachineState) -> bool {
    matches!(
        state,
        MachineState::Stopping
            | MachineState::Suspending
            | MachineState::Failed
            | MachineState::LaunchFailed
            | MachineState::Destroying
    )
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

/// As on Fly the minimum counts in the primary region only. Machines in the region of this computer
/// were made by somebody who knows no other.
fn min_machines_running(record: &MachineRecord, own_region: &str) -> usize {
    let primary = record.config.env.get(PRIMARY_REGION_VARIABLE);
    if record.region != own_region && primary.is_some_and(|primary| *primary != record.region) {
        return 0;
    }
    let services = &record.config.services;
    let min = services.iter().filter_map(|service| service.min_machines_running).max();
    min.and_then(|min| usize::try_from(min).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::record::tests::machine;

    #[test]
    fn a_minimum_of_running_machines_counts_in_the_primary_region_only() {
        let mut record = machine();
        let services = r#"[{"min_machines_running": 2}]"#;
        record.config.services = serde_json::from_str(services).expect("services");
        let mut min_in = |region: &str, primary: Option<&str>| {
            record.region = region.to_owned();
            record.config.env.clear();
            let variable = PRIMARY_REGION_VARIABLE.to_owned();
            record.config.env.extend(primary.map(|primary| (variable, primary.to_owned())));
            min_machines_running(&record, "local")
        };
        assert_eq!(min_in("ord", Some("ord")), 2);
        assert_eq!(min_in("ams", Some("ord")), 0);
        assert_eq!(min_in("local", Some("ord")), 2);
        assert_eq!(min_in("ams", None), 2);
    }
}
