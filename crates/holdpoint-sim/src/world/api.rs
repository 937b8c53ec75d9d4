//! What the platform does when an effect reaches it, and what it answers. Like the real executor
//! it looks for the effect's id first; a call that arrives late looked before it was sent, and
//! acts blindly.

use holdpoint_core::effect::{
    CheckResult, Effect, Evidence, Failure, Outcome, Refusal, RefusalKind,
};
use holdpoint_core::id::{AppName, EffectId, Environment, InstanceId, MachineId, ServiceName};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::World;
use super::machine::{Lease, Machine};
use super::traffic::Flaw;

/// What a call did and what it answers.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The answer.
    pub outcome: Outcome,
    /// The machine that it changed, if it changed one.
    pub changed: Option<MachineId>,
}

impl Answer {
    fn unchanged(outcome: Outcome) -> Self {
        Self { outcome, changed: None }
    }

    fn changed(machine: &MachineId, evidence: Evidence) -> Self {
        Self { outcome: Outcome::Done(evidence), changed: Some(machine.clone()) }
    }
}

impl World {
    /// Whether an effect was done before, so that a call for it would not be sent again.
    pub fn was_done(&self, id: &EffectId, effect: &Effect) -> bool {
        let text = id.to_string();
        match effect {
            Effect::CreateMachine { app, .. } => self.made_by(app, &text).is_some(),
            Effect::UpdateMachine { machine, .. } => self
                .machines
                .get(machine)
                .is_some_and(|machine| machine.made_by.as_ref() == Some(&text)),
            Effect::AcquireLease { machine, .. } => self.machines.get(machine).is_some_and(|one| {
                one.lease.as_ref().is_some_and(|lease| lease.taken_by.as_ref() == Some(&text))
            }),
            Effect::Preflight { .. }
            | Effect::Smoke { .. }
            | Effect::RestoreSecrets { .. }
            | Effect::Cordon { .. }
            | Effect::StopMachine { .. }
            | Effect::AwaitHealth { .. }
            | Effect::Uncordon { .. }
            | Effect::ReleaseLease { .. }
            | Effect::Notify(_)
            | Effect::Write(_)
            | Effect::Document { .. } => false,
        }
    }

    /// Carries out an effect at `now`. `AwaitHealth` answers what can be said at this moment;
    /// see [`World::health_is_open`].
    pub fn act(&mut self, id: &EffectId, effect: &Effect, now: Timestamp) -> Answer {
        let plain = || Outcome::Done(Evidence::Plain);
        match effect {
            Effect::Preflight { .. } => Answer::unchanged(checks("the tests are green", true)),
            Effect::Smoke { service, environment, .. } => {
                Answer::unchanged(self.smoke(service, *environment, now))
            }
            // a channel that never takes anything, beside one that fails like every other call
            Effect::Notify(delivery) if delivery.channel.name == "dead" => {
                let message = "connection refused".to_owned();
                Answer::unchanged(Outcome::Failed(Failure { message }))
            }
            Effect::RestoreSecrets { .. }
            | Effect::Notify(_)
            | Effect::Write(_)
            | Effect::Document { .. } => Answer::unchanged(plain()),
            Effect::AcquireLease { machine, supersedes, ttl_secs, .. } => {
                self.acquire_lease(id, machine, supersedes.as_ref(), *ttl_secs, now)
            }
            Effect::Cordon { machine, nonce, .. } => {
                self.under_lease(machine, Some(nonce), now, |one| one.is_cordoned = true)
            }
            Effect::Uncordon { machine, nonce, .. } => {
                self.under_lease(machine, nonce.as_ref(), now, |one| one.is_cordoned = false)
            }
            Effect::CreateMachine { app, name, config, .. } => {
                self.create(id, app, name, config, now)
            }
            Effect::UpdateMachine { machine, config, nonce, .. } => {
                self.update(id, machine, config, nonce, now)
            }
            Effect::StopMachine { app, machine, created_by } => {
                self.stop(app, machine.as_ref(), created_by, now)
            }
            Effect::AwaitHealth { machine, instance_id, .. } => {
                Answer::unchanged(self.health(machine, instance_id, now))
            }
            Effect::ReleaseLease { machine, nonce, .. } => {
                if let Some(machine) = self.machines.get_mut(machine)
                    && machine.lease.as_ref().is_some_and(|lease| lease.nonce == *nonce)
                {
                    machine.lease = None;
                }
                Answer::unchanged(plain())
            }
        }
    }

    /// Whether waiting longer for a machine's health can help.
    pub fn health_is_open(&self, effect: &Effect, now: Timestamp) -> bool {
        let Effect::AwaitHealth { machine, instance_id, .. } = effect else { return false };
        self.machines.get(machine).is_some_and(|one| {
            one.is_started && one.instance_id(machine) == *instance_id && !self.is_healthy(one, now)
        })
    }

    fn made_by(&self, app: &AppName, effect: &str) -> Option<MachineId> {
        let mut machines = self.machines.iter();
        let found =
            machines.find(|(_, one)| one.app == *app && one.made_by.as_deref() == Some(effect));
        found.map(|(id, _)| id.clone())
    }

    fn acquire_lease(
        &mut self,
        id: &EffectId,
        machine: &MachineId,
        supersedes: Option<&String>,
        ttl_secs: u64,
        now: Timestamp,
    ) -> Answer {
        let nonce = self.nonce();
        let Some(found) = self.machines.get_mut(machine) else { return missing(machine) };
        if supersedes.is_some_and(|ours| found.is_held_with(ours, now)) {
            found.lease = None;
        }
        let text = id.to_string();
        let instance_id = found.instance_id(machine);
        if let Some(lease) = found.lease_at(now) {
            if lease.taken_by.as_ref() == Some(&text) {
                let nonce = lease.nonce.clone();
                return Answer::unchanged(Outcome::Done(Evidence::Lease { nonce, instance_id }));
            }
            return refused(RefusalKind::LeaseHeldByOther, format!("{machine} is leased"));
        }
        let ttl = SignedDuration::from_secs(i64::try_from(ttl_secs).unwrap_or(i64::MAX));
        found.lease =
            Some(Lease { nonce: nonce.clone(), taken_by: Some(text), expires_at: now + ttl });
        Answer::changed(machine, Evidence::Lease { nonce, instance_id })
    }

    fn under_lease(
        &mut self,
        machine: &MachineId,
        nonce: Option<&String>,
        now: Timestamp,
        change: impl FnOnce(&mut Machine),
    ) -> Answer {
        let Some(found) = self.machines.get_mut(machine) else { return missing(machine) };
        match nonce {
            Some(nonce) if !found.is_held_with(nonce, now) => lease_lost(machine),
            None if found.lease_at(now).is_some() => {
                refused(RefusalKind::LeaseHeldByOther, format!("{machine} is leased"))
            }
            Some(_) | None => {
                change(found);
                Answer::changed(machine, Evidence::Plain)
            }
        }
    }

    fn create(
        &mut self,
        id: &EffectId,
        app: &AppName,
        name: &str,
        config: &Value,
        now: Timestamp,
    ) -> Answer {
        let text = id.to_string();
        if let Some(machine) = self.made_by(app, &text) {
            return self.found(&machine);
        }
        let taken = self.machines.iter().find(|(_, one)| one.app == *app && one.name == name);
        if let Some((machine, one)) = taken {
            // everything but the number of the attempt
            let prefix = text.rsplit_once('/').map_or(text.as_str(), |(prefix, _)| prefix);
            let is_ours = one.made_by.as_ref().is_some_and(|effect| effect.starts_with(prefix));
            let machine = machine.clone();
            return if is_ours {
                self.found(&machine)
            } else {
                refused(RefusalKind::Other, format!("the name {name} is taken by {machine}"))
            };
        }
        let machine = self.make(app, name, config.clone(), now);
        if let Some(made) = self.machines.get_mut(&machine) {
            made.made_by = Some(text);
        }
        Answer { changed: Some(machine.clone()), ..self.found(&machine) }
    }

    fn update(
        &mut self,
        id: &EffectId,
        machine: &MachineId,
        config: &Value,
        nonce: &str,
        now: Timestamp,
    ) -> Answer {
        let ready_at = now + self.ready_after();
        let Some(found) = self.machines.get_mut(machine) else { return missing(machine) };
        if found.made_by.as_ref() == Some(&id.to_string()) {
            return self.found(machine);
        }
        if !found.is_held_with(nonce, now) {
            return lease_lost(machine);
        }
        found.config = config.clone();
        found.made_by = Some(id.to_string());
        found.instance += 1;
        found.is_started = true;
        found.is_retired = false;
        found.is_cordoned = true;
        found.started_at = now;
        found.ready_at = ready_at;
        Answer { changed: Some(machine.clone()), ..self.found(machine) }
    }

    fn stop(
        &mut self,
        app: &AppName,
        machine: Option<&MachineId>,
        created_by: &EffectId,
        now: Timestamp,
    ) -> Answer {
        let machine = machine.cloned().or_else(|| self.made_by(app, &created_by.to_string()));
        let Some(machine) = machine else {
            return Answer::unchanged(Outcome::Done(Evidence::Plain));
        };
        self.under_lease(&machine, None, now, |one| {
            one.is_cordoned = true;
            one.is_started = false;
            one.is_retired = true;
        })
    }

    fn health(&self, machine: &MachineId, wanted: &InstanceId, now: Timestamp) -> Outcome {
        let failed = |message: String| Outcome::Failed(Failure { message });
        let Some(found) = self.machines.get(machine) else { return missing(machine).outcome };
        if found.instance_id(machine) != *wanted {
            return failed(format!("{machine} was changed by somebody else"));
        }
        if self.is_healthy(found, now) {
            let after = now.duration_since(found.started_at).as_millis();
            let after_ms = u64::try_from(after).unwrap_or_default();
            return Outcome::Done(Evidence::Healthy { after_ms });
        }
        failed(format!("{machine} is not healthy"))
    }

    fn smoke(&self, service: &ServiceName, environment: Environment, now: Timestamp) -> Outcome {
        let mut serving = self.machines.values().filter(|one| {
            one.service == *service && one.environment == environment && one.is_in_rotation()
        });
        let answers = serving.any(|one| {
            self.is_healthy(one, now)
                && !matches!(self.flaw(one, now), Some(Flaw::Errors | Flaw::Unhealthy))
        });
        checks("answers a question", answers)
    }

    fn found(&self, machine: &MachineId) -> Answer {
        let Some(found) = self.machines.get(machine) else { return missing(machine) };
        let instance_id = found.instance_id(machine);
        let evidence = Evidence::Machine { machine: machine.clone(), instance_id };
        Answer::unchanged(Outcome::Done(evidence))
    }
}

/// The answer of checks of which one is of interest.
pub fn checks(name: &str, passed: bool) -> Outcome {
    let detail = if passed { "as expected" } else { "not as expected" }.to_owned();
    let name = name.to_owned();
    let check = CheckResult { name, passed, detail, hint: None, took_ms: 1 };
    Outcome::Done(Evidence::Checks(vec![check]))
}

fn missing(machine: &MachineId) -> Answer {
    refused(RefusalKind::NotFound, format!("there is no machine {machine}"))
}

fn lease_lost(machine: &MachineId) -> Answer {
    refused(RefusalKind::LeaseLost, format!("the lease of {machine} is not ours"))
}

fn refused(kind: RefusalKind, message: String) -> Answer {
    Answer::unchanged(Outcome::Refused(Refusal { kind, message }))
}
