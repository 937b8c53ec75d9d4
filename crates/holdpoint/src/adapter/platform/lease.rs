//! Leases and the rotation: the calls that take a machine, hide it from the proxy, show it again
//! and give it back.

use holdpoint_core::effect::{Evidence, Outcome};
use holdpoint_core::id::{AppName, EffectId, InstanceId, MachineId};
use machines_api::error::ApiError;

use super::{Platform, outcome};

impl Platform {
    /// Takes a machine's lease. A lease of ours that may still be held is given up first.
    pub async fn acquire_lease(
        &self,
        id: &EffectId,
        app: &AppName,
        machine: &MachineId,
        supersedes: Option<&str>,
        ttl_secs: u64,
    ) -> Outcome {
        if let Some(nonce) = supersedes {
            let given_up = self.release_lease(app, machine, nonce).await;
            if !matches!(given_up, Outcome::Done(_)) {
                return given_up;
            }
        }
        let description = format!("holdpoint {id}");
        let (app, machine) = (app.as_str(), machine.as_str());
        let lease = match self.client.acquire_lease(app, machine, ttl_secs, &description).await {
            Ok(lease) => lease,
            Err(error) if error.is_lease_conflict() => {
                // An earlier try of this very effect may hold it: its description says so.
                match self.client.get_lease(app, machine).await {
                    Ok(lease) if lease.description.as_deref() == Some(&description) => {
                        let nonce = lease.nonce.as_str();
                        let refreshed = self.client.refresh_lease(app, machine, nonce, ttl_secs);
                        match refreshed.await {
                            Ok(lease) => lease,
                            Err(error) => return outcome::of(&error),
                        }
                    }
                    Ok(_) | Err(_) => return outcome::of(&error),
                }
            }
            Err(error) => return outcome::of(&error),
        };
        let instance_id = match lease.version {
            Some(version) => version,
            None => match self.client.get_machine(app, machine).await {
                Ok(machine) => machine.instance_id,
                Err(error) => return outcome::of(&error),
            },
        };
        let instance_id = InstanceId::new(instance_id);
        Outcome::Done(Evidence::Lease { nonce: lease.nonce, instance_id })
    }

    /// Gives a lease back. One that is gone, or is another's by now, is as good as given back.
    pub async fn release_lease(&self, app: &AppName, machine: &MachineId, nonce: &str) -> Outcome {
        match self.client.release_lease(app.as_str(), machine.as_str(), nonce).await {
            Ok(()) => Outcome::Done(Evidence::Plain),
            Err(error) if is_gone(&error) => Outcome::Done(Evidence::Plain),
            Err(error) => outcome::under_lease(&error),
        }
    }

    /// Takes a machine out of the rotation.
    pub async fn cordon(&self, app: &AppName, machine: &MachineId, nonce: &str) -> Outcome {
        let done = self.client.cordon(app.as_str(), machine.as_str(), Some(nonce)).await;
        done.map_or_else(|error| outcome::under_lease(&error), |()| plain())
    }

    /// Puts a machine into the rotation.
    pub async fn uncordon(
        &self,
        app: &AppName,
        machine: &MachineId,
        nonce: Option<&str>,
    ) -> Outcome {
        match self.client.uncordon(app.as_str(), machine.as_str(), nonce).await {
            Ok(()) => plain(),
            Err(error) if nonce.is_some() => outcome::under_lease(&error),
            Err(error) => outcome::of(&error),
        }
    }
}

fn plain() -> Outcome {
    Outcome::Done(Evidence::Plain)
}

/// Whether a refusal to give a lease back says that it isn't ours to give.
fn is_gone(error: &ApiError) -> bool {
    error.is_not_found()
        || error.is_lease_conflict()
        || (error.status.is_some_and(|status| (400..500).contains(&status))
            && error.message.contains("lease"))
}
