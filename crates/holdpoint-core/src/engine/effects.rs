//! Which effects the state calls for. They are read off the state each time, never remembered:
//! whoever has the state can ask for them again.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::effect::Effect;
use crate::id::{EffectId, MachinePhase, Slot};
use crate::plan::{MachineAction, MachineChange, Rollout, StepKind};
use crate::state::{Content, MachineProgress, Message, Progress, Release, Run, State};

/// How much longer than its machine may take to become healthy a lease is taken for: enough for
/// the calls before and after that wait.
const LEASE_MARGIN_SECS: u64 = 60;

/// The effects that the state calls for at `now`, in a fixed order.
pub(super) fn effects(state: &State, now: Timestamp) -> Vec<(EffectId, Effect)> {
    // what is seen when an incident is opened is to be seen before anything is put back
    let mut effects = message_effects(state, now);
    if let Some(release) = state.active() {
        effects.extend(step_effect(release, now));
        effects.extend(machine_effects(release, now));
    }
    effects
}

/// Whether an outcome of `effect` is still waited for, be it due or not.
pub(super) fn is_open(state: &State, effect: &EffectId) -> bool {
    match effect {
        EffectId::Message { .. } | EffectId::Delivery { .. } => {
            state.outbox.get(effect).is_some_and(|message| message.attempt.end.is_none())
        }
        EffectId::Step { .. } => {
            state.active().and_then(step_id).is_some_and(|open| open == *effect)
        }
        EffectId::Machine { slot, .. } => state.active().is_some_and(|release| {
            let run = release.run();
            let open = run.machines.get(slot).filter(|machine| is_machine_open(machine));
            open.is_some_and(|machine| machine_id(release, slot, machine) == *effect)
        }),
    }
}

/// The id of the effect that asks for what a machine's phase needs.
pub(super) fn machine_id(release: &Release, slot: &Slot, machine: &MachineProgress) -> EffectId {
    EffectId::Machine {
        release: release.id,
        course: release.course(),
        step: machine.step,
        slot: slot.clone(),
        phase: machine.phase,
        attempt: machine.attempt.number,
    }
}

fn is_machine_open(machine: &MachineProgress) -> bool {
    machine.phase != MachinePhase::Done && machine.attempt.end.is_none()
}

fn step_id(release: &Release) -> Option<EffectId> {
    let run = release.run();
    let (step, Progress::Single(attempt)) = (run.current?, &run.progress) else {
        return None;
    };
    let open = attempt.end.is_none();
    open.then(|| EffectId::Step {
        release: release.id,
        course: release.course(),
        step,
        attempt: attempt.number,
    })
}

fn step_effect(release: &Release, now: Timestamp) -> Option<(EffectId, Effect)> {
    let id = step_id(release)?;
    let Progress::Single(attempt) = &release.run().progress else {
        return None;
    };
    if !attempt.is_due(now) || release.halt.is_some() {
        return None;
    }
    let effect = match &release.current_step()?.kind {
        StepKind::Preflight => {
            Effect::Preflight { release: release.id, version: release.version.to_string() }
        }
        StepKind::Smoke { service, environment, app } => {
            Effect::Smoke { service: service.clone(), environment: *environment, app: app.clone() }
        }
        StepKind::RestoreSecrets { app, version } => {
            Effect::RestoreSecrets { app: app.clone(), version: *version }
        }
        StepKind::Rollout(_)
        | StepKind::Soak(_)
        | StepKind::Approval { .. }
        | StepKind::Window { .. } => return None,
    };
    Some((id, effect))
}

/// The effects of the machines of the wave under way. A halt does not stop them: a wave that was
/// begun is finished.
fn machine_effects(release: &Release, now: Timestamp) -> Vec<(EffectId, Effect)> {
    let run = release.run();
    let due = run
        .machines
        .iter()
        .filter(|(_, machine)| is_machine_open(machine) && machine.attempt.is_due(now));
    due.filter_map(|(slot, machine)| {
        let id = machine_id(release, slot, machine);
        let effect = machine_effect(&id, run, slot, machine)?;
        Some((id, effect))
    })
    .collect()
}

fn machine_effect(
    effect: &EffectId,
    run: &Run,
    slot: &Slot,
    machine: &MachineProgress,
) -> Option<Effect> {
    let rollout = run.rollout(machine.step)?;
    let change = run.change(machine.step, slot)?;
    let app = rollout.app.clone();
    let id = || machine.machine.clone();
    let nonce = || machine.lease.clone();
    Some(match machine.phase {
        MachinePhase::Lease => Effect::AcquireLease {
            app,
            machine: id()?,
            supersedes: machine.lease.clone().or_else(|| superseded(change)),
            ttl_secs: rollout.health_within_secs.saturating_add(LEASE_MARGIN_SECS),
        },
        MachinePhase::Cordon => Effect::Cordon { app, machine: id()?, nonce: nonce()? },
        MachinePhase::Create | MachinePhase::Update => replace(rollout, change, machine)?,
        MachinePhase::Stop => stop(effect, rollout, change)?,
        MachinePhase::Health => Effect::AwaitHealth {
            app,
            machine: id()?,
            instance_id: machine.instance.clone()?,
            within_secs: rollout.health_within_secs,
        },
        MachinePhase::Uncordon => Effect::Uncordon { app, machine: id()?, nonce: nonce() },
        MachinePhase::Release => Effect::ReleaseLease { app, machine: id()?, nonce: nonce()? },
        MachinePhase::Done => return None,
    })
}

fn superseded(change: &MachineChange) -> Option<String> {
    match &change.action {
        MachineAction::Update { supersedes_lease, .. }
        | MachineAction::Withdraw { supersedes_lease, .. } => supersedes_lease.clone(),
        MachineAction::Create { .. } | MachineAction::Retire { .. } => None,
    }
}

fn replace(rollout: &Rollout, change: &MachineChange, machine: &MachineProgress) -> Option<Effect> {
    let app = rollout.app.clone();
    match &change.action {
        MachineAction::Create { name, region, config } => Some(Effect::CreateMachine {
            app,
            name: name.clone(),
            region: region.clone(),
            config: config.clone(),
            secrets_version: rollout.secrets_version,
        }),
        MachineAction::Update { config, .. } => Some(Effect::UpdateMachine {
            app,
            machine: machine.machine.clone()?,
            config: config.clone(),
            secrets_version: rollout.secrets_version,
            nonce: machine.lease.clone()?,
        }),
        MachineAction::Retire { .. } | MachineAction::Withdraw { .. } => None,
    }
}

fn stop(effect: &EffectId, rollout: &Rollout, change: &MachineChange) -> Option<Effect> {
    match &change.action {
        MachineAction::Retire { machine, created_by } => Some(Effect::StopMachine {
            app: rollout.app.clone(),
            machine: machine.clone(),
            created_by: created_by.clone(),
        }),
        // the machine is known, so that nobody looks for what made it
        MachineAction::Withdraw { machine, .. } => Some(Effect::StopMachine {
            app: rollout.app.clone(),
            machine: Some(machine.clone()),
            created_by: effect.clone(),
        }),
        MachineAction::Create { .. } | MachineAction::Update { .. } => None,
    }
}

/// For each channel and document the first message that waits for it: they arrive in the order in
/// which they were written, and one that hangs holds up no other.
fn message_effects(state: &State, now: Timestamp) -> Vec<(EffectId, Effect)> {
    next_messages(state)
        .filter(|(_, message)| message.attempt.is_due(now))
        .map(|(id, message)| {
            let effect = match &message.content {
                Content::Notice(delivery) => Effect::Notify(delivery.clone()),
                Content::Lines { file, lines } => {
                    Effect::Document { file: file.clone(), lines: lines.clone() }
                }
                Content::Document(document) => Effect::Write(document.clone()),
            };
            (id.clone(), effect)
        })
        .collect()
}

/// The first message for each channel and document.
pub(super) fn next_messages(state: &State) -> impl Iterator<Item = (&EffectId, &Message)> {
    let mut seen = BTreeSet::new();
    state.outbox.iter().filter(move |(_, message)| seen.insert(message.recipient()))
}
