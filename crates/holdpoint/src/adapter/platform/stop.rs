//! Stops machines for good: out of the rotation, stopped, and waited for.

use std::time::Duration;

use holdpoint_core::effect::{Evidence, Outcome};
use holdpoint_core::id::{AppName, EffectId, MachineId};
use machines_api::types::{MachineState, StopMachine};

use super::{Platform, outcome};
use crate::adapter::clock::{Stopwatch, pause};

/// Fly gives a machine at most 300 s from the signal to its end; a machine of this project that
/// takes longer than this is told as failed and asked again.
const STOPPED_WITHIN: Duration = Duration::from_secs(90);

/// How often the machine is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(150);

impl Platform {
    /// Stops a machine, or whatever machine `created_by` made. One that is gone is stopped.
    pub async fn stop_machine(
        &self,
        app: &AppName,
        machine: Option<&MachineId>,
        created_by: &EffectId,
    ) -> Outcome {
        let machines = match machine {
            Some(machine) => vec![machine.as_str().to_owned()],
            None => match self.made_by(app.as_str(), &created_by.to_string()).await {
                Ok(machines) => machines.into_iter().map(|machine| machine.id).collect(),
                Err(unfound) => return unfound,
            },
        };
        for machine in &machines {
            let stopped = self.stop_one(app.as_str(), machine).await;
            if !matches!(stopped, Outcome::Done(_)) {
                return stopped;
            }
        }
        Outcome::Done(Evidence::Plain)
    }

    async fn stop_one(&self, app: &str, machine: &str) -> Outcome {
        let done = Outcome::Done(Evidence::Plain);
        match self.client.cordon(app, machine, None).await {
            Ok(()) => {}
            Err(error) if error.is_not_found() => return done,
            Err(error) => return outcome::of(&error),
        }
        let watch = Stopwatch::start();
        let mut is_asked = false;
        loop {
            let current = match self.client.get_machine(app, machine).await {
                Ok(current) => current,
                Err(error) if error.is_not_found() => return done,
                Err(error) => return outcome::of(&error),
            };
            if is_at_rest(current.state) {
                return done;
            }
            if !is_asked {
                match self.client.stop(app, machine, &StopMachine::default(), None).await {
                    Ok(()) => is_asked = true,
                    Err(error) if error.is_not_found() => return done,
                    Err(error) => return outcome::of(&error),
                }
            }
            if watch.elapsed() >= STOPPED_WITHIN {
                return outcome::failed(format!(
                    "machine `{machine}` of app `{app}` is still {} {} s after it was asked to stop",
                    current.state,
                    STOPPED_WITHIN.as_secs()
                ));
            }
            pause(LOOK_EVERY).await;
        }
    }
}

fn is_at_rest(state: MachineState) -> bool {
    matches!(
        state,
        MachineState::Stopped
            | MachineState::Suspended
            | MachineState::Failed
            | MachineState::LaunchFailed
            | MachineState::Destroyed
            | MachineState::Destroying
    )
}
