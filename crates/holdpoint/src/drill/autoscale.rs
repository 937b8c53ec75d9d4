//! The drill of sleeping and waking (the runbook, "Auto-scaling: should stop within 5 minutes of
//! idle, should start within 10 seconds of request"): nothing is broken, the service is only left
//! alone, and then asked once.

use std::time::Duration;

use machines_api::types::{Autostop, MachineState};

use crate::adapter::clock::{Clock, Stopwatch, pause};
use crate::adapter::platform::Platform;
use crate::adapter::probe::Prober;
use crate::daemon::StopSignals;
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};

use super::fleet::{Fleet, Party};
use super::{Seen, Setup};

/// The runbook's limits.
const STOPS_WITHIN: Duration = Duration::from_mins(5);
const STARTS_WITHIN: Duration = Duration::from_secs(10);

/// How often the machines are looked at; a look is no request of theirs.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long a service may take to be awake before the drill begins.
const AWAKE_WITHIN: Duration = Duration::from_mins(2);

/// Asked where the app's file names no health check.
const DEFAULT_PATH: &str = "/health";

pub(super) async fn run(
    setup: &Setup,
    platform: &Platform,
    fleet: &Fleet,
    stop: &mut StopSignals,
) -> Result<Seen, Problem> {
    let party =
        fleet.party(&setup.service).ok_or_else(|| refused(setup, "it is not in staging"))?;
    let config = &party.file.config;
    if config.auto_stop() == Autostop::Off || !config.auto_start() {
        return Err(refused(setup, "its `fly.toml` has auto stop or auto start off"));
    }
    if config.min_machines_running() > 0 {
        return Err(refused(setup, "its `min_machines_running` keeps machines running"));
    }
    let prober = Prober::new(setup.address.proxy_url.as_deref())?;
    let path = config.health_check_path().unwrap_or(DEFAULT_PATH);
    let drilled = drilled(platform, party, &prober, path);
    tokio::select! {
        seen = drilled => seen,
        _ = stop.next() => {
            Err(Problem::new(ExitCode::Interrupted, "the drill `autoscale` was stopped")
                .cause("nothing was broken, and nothing was recorded"))
        }
    }
}

async fn drilled(
    platform: &Platform,
    party: &Party,
    prober: &Prober,
    path: &str,
) -> Result<Seen, Problem> {
    let app = party.app();
    let watch = Stopwatch::start();
    while !prober.is_healthy(app, path).await {
        if watch.elapsed() > AWAKE_WITHIN {
            let sentence = format!("the drill `autoscale` did not begin: `{app}` is not well");
            return Err(Problem::new(ExitCode::Refused, sentence).hint("`holdpoint logs` says why"));
        }
        pause(LOOK_EVERY).await;
    }
    let mut problems = Vec::new();
    let started_at = Clock::real().now();
    message::tell(&format!("drill: `{app}` is left alone for up to 5 min\n"));
    let idle = Stopwatch::start();
    while running(platform, party).await? > 0 && idle.elapsed() < STOPS_WITHIN {
        pause(LOOK_EVERY).await;
    }
    let still_running = running(platform, party).await?;
    if still_running > 0 {
        problems.push(format!("{still_running} machines still run 5 min after the last request"));
        let noticed = Some("machines that do not stop".to_owned());
        let seen = Seen { started_at, noticed_at: None, noticed, recovered_at: None, problems };
        return Ok(seen);
    }
    let noticed_at = Clock::real().now();
    message::tell(&format!("drill: all machines sleep after {} s\n", idle.elapsed().as_secs()));
    let waking = Stopwatch::start();
    let mut is_answered = prober.is_healthy(app, path).await;
    while !is_answered && waking.elapsed() < STARTS_WITHIN {
        is_answered = prober.is_healthy(app, path).await;
    }
    let recovered_at = is_answered.then(|| Clock::real().now());
    if !is_answered || waking.elapsed() > STARTS_WITHIN {
        problems.push(format!(
            "no answer within 10 s of a request; it took {} ms",
            waking.elapsed_ms()
        ));
    }
    let noticed = Some("all machines stopped when idle".to_owned());
    Ok(Seen { started_at, noticed_at: Some(noticed_at), noticed, recovered_at, problems })
}

async fn running(platform: &Platform, party: &Party) -> Result<usize, Problem> {
    let machines = platform.machines_of(&party.file).await?;
    let rests = |state| matches!(state, MachineState::Stopped | MachineState::Suspended);
    Ok(machines.iter().filter(|machine| !rests(machine.state)).count())
}

fn refused(setup: &Setup, why: &str) -> Problem {
    let sentence = format!("`{}` does not sleep when nobody asks it", setup.service);
    Problem::new(ExitCode::Refused, sentence)
        .cause(format!("{why}; nothing was recorded"))
        .hint("set `auto_stop_machines`, `auto_start_machines` and `min_machines_running = 0`")
}
