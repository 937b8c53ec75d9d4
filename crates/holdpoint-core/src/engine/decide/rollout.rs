//! Carrying a plan over the machines of one environment, wave by wave.

use jiff::Timestamp;

use super::{announcement, hold};
use crate::event::Event;
use crate::id::{Course, Environment, MachinePhase};
use crate::plan::{Rollout, Wave};
use crate::state::{Progress, Release, State};

/// Starts the next wave once the one before is done, or passes the step after the last.
pub(super) fn go_on(
    state: &State,
    release: &Release,
    rollout: &Rollout,
    now: Timestamp,
) -> Vec<Event> {
    let run = release.run();
    let (Some(step), Progress::Rollout { wave }) = (run.current, &run.progress) else {
        return Vec::new();
    };
    let next = match wave {
        None => 0,
        Some(wave) if is_done(release, rollout.waves.get(*wave)) => wave + 1,
        Some(_) => return Vec::new(),
    };
    if next >= rollout.waves.len() {
        return vec![Event::StepPassed { step }];
    }
    if !may_start_wave(state, release, rollout, now) {
        return announcement::held(state, release, now);
    }
    vec![Event::WaveStarted { step, wave: next }]
}

/// Whether a wave may begin. Forward in production it needs an open window and no open incident,
/// also in the middle of a rollout; the first of an environment needs a value of each invariant, to
/// compare those after it with. The way back is never held up by any of them.
pub(crate) fn may_start_wave(
    state: &State,
    release: &Release,
    rollout: &Rollout,
    now: Timestamp,
) -> bool {
    if release.halt.is_some() {
        return false;
    }
    let begins =
        release.course() == Course::Forward && !release.forward.touched(rollout.environment);
    if begins && release.unmeasured(rollout.environment, now).is_some() {
        return false;
    }
    let free = release.course() == Course::Back || rollout.environment == Environment::Staging;
    free || hold::production_closed(state, release, now).is_none()
}

fn is_done(release: &Release, wave: Option<&Wave>) -> bool {
    let machines = &release.run().machines;
    wave.is_none_or(|wave| {
        wave.changes.iter().all(|change| {
            machines.get(&change.slot).is_some_and(|machine| machine.phase == MachinePhase::Done)
        })
    })
}
