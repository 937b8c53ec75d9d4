//! Brings the number of machines that take requests to what was asked for. Machines that are too
//! many are destroyed; none at all means that they are stopped and kept, so that the service can
//! come back as it was (the runbook, "Emergency Rollback: Scale to Zero").

use machines_api::types::{CreateMachine, Machine, MachineConfig, StopMachine, WaitState};

use crate::adapter::platform::EFFECT_KEY;
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};

use super::change::{Changer, in_one_line, is_running};

/// The metadata key of machines that were taken offline: they, and no others that stand aside, are
/// brought back.
const OFFLINE_KEY: &str = "holdpoint_scaled_to_zero";

/// A machine has 300 s at most between its signal and its end; one wait asks for 60.
const STOP_WAITS: u32 = 5;
const STOP_WAIT_SECS: u64 = 60;

/// Gives what was done, in words; nothing if there are so many already.
pub(super) async fn reach(
    changer: &mut Changer<'_>,
    machines: &[Machine],
    count: u32,
    sized: impl Fn(&MachineConfig) -> MachineConfig,
) -> Result<Option<String>, Problem> {
    let (offline, serving): (Vec<&Machine>, Vec<&Machine>) =
        machines.iter().partition(|machine| is_offline(machine));
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let before = serving.len();
    if wanted == before {
        return Ok(None);
    }
    let done = Some(format!("machines {before} to {wanted}"));
    if wanted == 0 {
        for machine in serving {
            take_offline(changer, machine).await?;
        }
        return Ok(done);
    }
    // The newest go first, those that sleep before those that work.
    let mut surplus = serving.clone();
    surplus
        .sort_by_key(|machine| (is_running(machine.state), std::cmp::Reverse(machine.created_at)));
    for machine in surplus.into_iter().take(before.saturating_sub(wanted)) {
        destroy(changer, machine).await?;
    }
    let mut missing = wanted.saturating_sub(before);
    for machine in offline.iter().take(missing) {
        bring_back(changer, machine).await?;
        missing -= 1;
    }
    let template = serving
        .first()
        .or(offline.first())
        .and_then(|machine| Some((machine.region.clone(), sized(machine.config.as_ref()?))));
    if let Some((region, config)) = template {
        refuse_volumes(changer, &config, missing)?;
        for _ in 0..missing {
            add(changer, &region, &config).await?;
        }
    }
    Ok(done)
}

fn is_offline(machine: &Machine) -> bool {
    let config = machine.config.as_ref();
    machine.cordoned == Some(true)
        && config.is_some_and(|config| config.metadata.contains_key(OFFLINE_KEY))
}

/// Out of the rotation first, so that no request starts it again.
async fn take_offline(changer: &Changer<'_>, machine: &Machine) -> Result<(), Problem> {
    let (client, app, id) = (changer.platform.client(), changer.app.as_str(), &machine.id);
    let nonce = changer.lease(id).await.map_err(|error| unscaled(changer, id, &error))?;
    let stopped = async {
        client.set_metadata(app, id, OFFLINE_KEY, "true").await?;
        client.cordon(app, id, Some(&nonce)).await?;
        if is_running(machine.state) {
            client.stop(app, id, &StopMachine::default(), Some(&nonce)).await?;
            for attempt in 1..=STOP_WAITS {
                let waited = client.wait(app, id, WaitState::Stopped, None, STOP_WAIT_SECS).await;
                match waited {
                    Err(error) if error.is_wait_timeout() && attempt < STOP_WAITS => {}
                    waited => return waited.map(drop),
                }
            }
        }
        Ok(())
    };
    let stopped = stopped.await;
    give_back(changer, id, &nonce).await;
    stopped.map_err(|error| unscaled(changer, id, &error))?;
    message::print(&format!("{app}  machine {id} stopped, out of the rotation, and kept\n"));
    Ok(())
}

async fn bring_back(changer: &mut Changer<'_>, machine: &Machine) -> Result<(), Problem> {
    let (platform, app, id) = (changer.platform, changer.app.clone(), machine.id.as_str());
    let (client, app) = (platform.client(), app.as_str());
    let nonce = changer.lease(id).await.map_err(|error| unscaled(changer, id, &error))?;
    let started = client.start(app, id, Some(&nonce)).await;
    let healthy = match started {
        Ok(_) => changer.healthy(id, &machine.instance_id).await,
        Err(error) => {
            give_back(changer, id, &nonce).await;
            return Err(unscaled(changer, id, &error));
        }
    };
    let in_rotation = async {
        client.uncordon(app, id, Some(&nonce)).await?;
        client.delete_metadata(app, id, OFFLINE_KEY).await
    };
    let in_rotation = match healthy {
        Ok(()) => in_rotation.await.map_err(|error| unscaled(changer, id, &error)),
        Err(failure) => Err(changer.refused(id, failure.reason())),
    };
    if in_rotation.is_err() {
        let stopped = client.stop(app, id, &StopMachine::default(), Some(&nonce)).await;
        tracing::debug!(?stopped, "a machine that can't be brought back rests again");
    }
    give_back(changer, id, &nonce).await;
    in_rotation?;
    message::print(&format!("{app}  machine {id} started and healthy\n"));
    Ok(())
}

/// Makes one more machine; one that does not become healthy goes again.
async fn add(
    changer: &mut Changer<'_>,
    region: &str,
    config: &MachineConfig,
) -> Result<(), Problem> {
    let (client, app) = (changer.platform.client(), changer.app.clone());
    let mut config = config.clone();
    // The effect that made the other machine did not make this one.
    for key in [EFFECT_KEY, OFFLINE_KEY] {
        config.metadata.remove(key);
    }
    let create = CreateMachine {
        region: Some(region.to_owned()).filter(|region| !region.is_empty()),
        config,
        skip_service_registration: true,
        ..CreateMachine::default()
    };
    let created = client.create_machine(app.as_str(), &create, None).await;
    let machine = created.map_err(|error| {
        Problem::because(ExitCode::Refused, format!("no machine of app `{app}` was added"), &error)
    })?;
    let id = machine.id.as_str();
    let problem = match changer.healthy(id, &machine.instance_id).await {
        Ok(()) => match client.uncordon(app.as_str(), id, None).await {
            Ok(()) => {
                message::print(&format!("{app}  machine {id} added and healthy\n"));
                return Ok(());
            }
            Err(error) => unscaled(changer, id, &error),
        },
        Err(failure) => changer.refused(id, failure.reason()),
    };
    Err(match client.delete(app.as_str(), id, true, None).await {
        Ok(()) => problem.cause("it was removed again"),
        Err(error) => problem.cause(format!("it is still there: {}", in_one_line(&error))),
    })
}

async fn destroy(changer: &Changer<'_>, machine: &Machine) -> Result<(), Problem> {
    let (client, app, id) = (changer.platform.client(), changer.app.as_str(), &machine.id);
    let nonce = changer.lease(id).await.map_err(|error| unscaled(changer, id, &error))?;
    let gone = async {
        // Requests that it has begun are finished before it goes.
        client.cordon(app, id, Some(&nonce)).await?;
        if is_running(machine.state) {
            client.stop(app, id, &StopMachine::default(), Some(&nonce)).await?;
            client.wait(app, id, WaitState::Stopped, None, STOP_WAIT_SECS).await?;
        }
        client.delete(app, id, true, Some(&nonce)).await
    };
    if let Err(error) = gone.await {
        give_back(changer, id, &nonce).await;
        return Err(unscaled(changer, id, &error));
    }
    message::print(&format!("{app}  machine {id} destroyed\n"));
    Ok(())
}

/// Each machine has a volume of its own, and an empty one is not what the service means.
fn refuse_volumes(
    changer: &Changer<'_>,
    config: &MachineConfig,
    missing: usize,
) -> Result<(), Problem> {
    if missing == 0 || config.mounts.is_empty() {
        return Ok(());
    }
    let sentence = format!("no machine of app `{}` was added", changer.app);
    Err(Problem::new(ExitCode::Refused, sentence)
        .cause("its machines have volumes, and a new one would begin with nothing on its own")
        .hint("make a volume and a machine with Fly's own client, then repeat"))
}

async fn give_back(changer: &Changer<'_>, id: &str, nonce: &str) {
    let released = changer.platform.client().release_lease(changer.app.as_str(), id, nonce).await;
    if let Err(error) = released {
        tracing::warn!(%error, "a lease ends by itself");
    }
}

fn unscaled(changer: &Changer<'_>, id: &str, error: &machines_api::error::ApiError) -> Problem {
    changer.refused(id, &error.to_string())
}
