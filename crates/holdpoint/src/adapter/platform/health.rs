//! Waits until a machine's new version is started and all its checks pass, and tells early when
//! it can no longer become so.

use std::time::Duration;

use holdpoint_core::effect::{Evidence, Outcome};
use holdpoint_core::id::{AppName, InstanceId, MachineId};
use machines_api::types::{CheckHealth, ExitEvent, Machine, MachineState};

use super::{Platform, outcome};
use crate::adapter::clock::{Stopwatch, pause};

/// How often the machine is looked at, in real time: a small part of how fast a program starts.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// A machine may stand still between two versions for a moment; one that does so for longer than
/// this was stopped.
const STILL_FOR: Duration = Duration::from_secs(5);

/// How much of a failing check's output is told.
const OUTPUT_CHARACTERS: usize = 200;

/// What one look at the machine shows.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Healthy,
    /// It may still become healthy; what it waits for.
    NotYet(String),
    /// It stands still, which it may do for a moment only.
    Still(String),
    /// It can't become healthy.
    Hopeless(String),
}

impl Platform {
    /// Waits for at most `within_secs` until the machine is healthy in this version.
    pub async fn await_health(
        &self,
        app: &AppName,
        machine: &MachineId,
        instance_id: &InstanceId,
        within_secs: u64,
    ) -> Outcome {
        let name = format!("machine `{machine}` of app `{app}`");
        let watch = Stopwatch::start();
        let mut still: Option<Stopwatch> = None;
        loop {
            let seen = match self.client.get_machine(app.as_str(), machine.as_str()).await {
                Ok(seen) => look(&seen, instance_id),
                Err(error) if error.is_not_found() => return outcome::of(&error),
                // A look that fails says nothing about the machine.
                Err(error) => Look::NotYet(error.message),
            };
            let waits_for = match seen {
                Look::Healthy => {
                    return Outcome::Done(Evidence::Healthy { after_ms: watch.elapsed_ms() });
                }
                Look::Hopeless(reason) => return outcome::failed(format!("{name} {reason}")),
                Look::NotYet(reason) => {
                    still = None;
                    reason
                }
                Look::Still(reason) => {
                    let since = still.get_or_insert_with(Stopwatch::start);
                    if since.elapsed() >= STILL_FOR {
                        return outcome::failed(format!("{name} {reason}"));
                    }
                    reason
                }
            };
            if watch.elapsed() >= Duration::from_secs(within_secs) {
                return outcome::failed(format!(
                    "{name} is not healthy after {within_secs} s: it {waits_for}"
                ));
            }
            pause(LOOK_EVERY).await;
        }
    }
}

fn look(machine: &Machine, instance_id: &InstanceId) -> Look {
    if machine.instance_id != instance_id.as_str() {
        return Look::Still(format!("has another version than `{instance_id}`"));
    }
    if let Some(exit) = unasked_exit(machine) {
        return Look::Hopeless(described(exit));
    }
    match machine.state {
        MachineState::Started => look_at_checks(machine),
        MachineState::Failed
        | MachineState::LaunchFailed
        | MachineState::Destroyed
        | MachineState::Destroying => Look::Hopeless(format!("is {}", machine.state)),
        MachineState::Stopped
        | MachineState::Stopping
        | MachineState::Suspended
        | MachineState::Suspending
        | MachineState::Replaced
        | MachineState::Migrated => Look::Still(format!("is {}", machine.state)),
        MachineState::Created
        | MachineState::Creating
        | MachineState::Starting
        | MachineState::Restarting
        | MachineState::Updating
        | MachineState::Replacing
        | MachineState::Unknown => Look::NotYet(format!("is {}", machine.state)),
    }
}

fn look_at_checks(machine: &Machine) -> Look {
    let wanted = machine.config.as_ref().map_or(0, |config| {
        config.checks.len()
            + config.services.iter().map(|service| service.checks.len()).sum::<usize>()
    });
    if machine.checks.len() < wanted {
        return Look::NotYet("has checks that have not said anything yet".to_owned());
    }
    match machine.checks.iter().find(|check| check.status != CheckHealth::Passing) {
        None => Look::Healthy,
        Some(check) => {
            let output: String = check.output.trim().chars().take(OUTPUT_CHARACTERS).collect();
            let name = &check.name;
            Look::NotYet(format!("fails its check `{name}`: {output}"))
        }
    }
}

/// How the version's program ended, if it ended without being asked to. Events are the newest
/// first; those before the update are about an earlier version.
fn unasked_exit(machine: &Machine) -> Option<&ExitEvent> {
    machine
        .events
        .iter()
        .take_while(|event| !matches!(event.event_type.as_str(), "update" | "launch"))
        .filter_map(|event| event.exit_event())
        .find(|exit| !exit.requested_stop)
}

fn described(exit: &ExitEvent) -> String {
    if exit.oom_killed {
        return "was killed for want of memory".to_owned();
    }
    // Fly writes -1 where there was none.
    if exit.signal > 0 {
        return format!("was ended by signal {}", exit.signal);
    }
    format!("exited with code {}", exit.exit_code)
}

#[cfg(test)]
mod tests {
    use machines_api::types::{CheckStatus, EventRequest, MachineConfig, MachineEvent};

    use super::*;

    fn machine(state: MachineState) -> Machine {
        let config = Some(MachineConfig::default());
        Machine { instance_id: "new".to_owned(), state, config, ..Machine::default() }
    }

    fn event(kind: &str, exit: Option<ExitEvent>) -> MachineEvent {
        let request =
            exit.map(|exit| EventRequest { exit_event: Some(exit), ..EventRequest::default() });
        MachineEvent { event_type: kind.to_owned(), request, ..MachineEvent::default() }
    }

    fn seen(machine: &Machine) -> Look {
        look(machine, &InstanceId::new("new"))
    }

    #[test]
    fn a_started_machine_is_healthy_once_its_checks_pass() {
        let mut machine = machine(MachineState::Started);
        assert_eq!(seen(&machine), Look::Healthy);
        machine.checks = vec![CheckStatus {
            name: "servicecheck-00-http-8080".to_owned(),
            status: CheckHealth::Critical,
            output: "connection refused".to_owned(),
            updated_at: None,
        }];
        let Look::NotYet(reason) = seen(&machine) else { panic!("waits") };
        assert_eq!(reason, "fails its check `servicecheck-00-http-8080`: connection refused");
        machine.instance_id = "old".to_owned();
        assert!(matches!(seen(&machine), Look::Still(_)));
    }

    #[test]
    fn a_program_that_ends_by_itself_is_hopeless_and_the_old_ones_end_is_not() {
        let mut machine = machine(MachineState::Stopped);
        let asked = ExitEvent { requested_stop: true, ..ExitEvent::default() };
        let unasked = ExitEvent { exit_code: 3, signal: -1, ..ExitEvent::default() };
        machine.events = vec![
            event("exit", Some(asked)),
            event("update", None),
            event("exit", Some(unasked.clone())),
        ];
        assert!(matches!(seen(&machine), Look::Still(_)));
        machine.events.insert(0, event("exit", Some(unasked)));
        assert_eq!(seen(&machine), Look::Hopeless("exited with code 3".to_owned()));
    }
}
