//! When telemetry measures, and which of its measurements arrive when.

use holdpoint_core::engine::{Input, WaitReason};
use holdpoint_core::observation::{InvariantReading, Observation};
use holdpoint_core::plan::StepKind;
use holdpoint_core::state::State;
use holdpoint_core::view;

use super::{Failure, Happening, Simulation};
use crate::invariants::Fact;
use crate::world::millis;

/// How often telemetry measures, in milliseconds.
const POLL_EVERY_MS: u64 = 10_000;

/// The longest pause while the release waits for a calendar or a person: nothing hangs on what is
/// measured then, and a wait of days would be all a run does.
const PAUSE_MS_MAX: u64 = 6 * 3600 * 1000;

/// How often telemetry measures in a row in such a wait before it pauses longer.
const IDLE_MIN: u32 = 4;

impl Simulation {
    /// Telemetry and people look again soon, whatever they had planned.
    pub(super) fn begin_series(&mut self) {
        self.idle = 0;
        self.series += 1;
        self.after(1_000, Happening::Poll(self.series));
        self.look_again();
    }

    /// Where all that is left to wait for is to measure, it is measured soon: real telemetry would
    /// not have paused till then, and what it measured last would not be hours old.
    pub(super) fn end_pause(&mut self) {
        let waits_for = self.conductor.state().and_then(|state| {
            view::status(state, self.now).release.and_then(|release| release.waits_for)
        });
        if self.idle > IDLE_MIN && matches!(waits_for, Some(WaitReason::Gates { .. })) {
            self.begin_series();
        }
    }

    /// A pause that grows while the release waits for a calendar or a person.
    pub(super) fn gap_ms(&self, least_ms: u64) -> u64 {
        let doublings = self.idle.saturating_sub(IDLE_MIN).min(12);
        (least_ms << doublings).min(PAUSE_MS_MAX)
    }

    /// Telemetry measures.
    pub(super) fn poll(&mut self) -> Result<(), Failure> {
        let Some(state) = self.conductor.state() else {
            self.after(POLL_EVERY_MS, Happening::Poll(self.series));
            return Ok(());
        };
        self.idle = if waits_idly(state) { self.idle + 1 } else { 0 };
        let gap_ms = self.gap_ms(POLL_EVERY_MS);
        let secs = i64::try_from(gap_ms / 1000).unwrap_or(1);
        if self.traffic.chance(self.swarm.silence_permille) {
            self.silent_until = self.now + millis(self.traffic.between(5, 120) * 1000);
        }
        let asked = view::invariants(state);
        for (environment, _) in view::watched(state) {
            let (now, traffic) = (self.now, self.swarm.traffic);
            let observation =
                self.world.measure(environment, now, secs, traffic, &mut self.traffic);
            self.see(Fact::Measured(&observation))?;
            self.send(observation)?;
        }
        for (environment, invariant) in asked {
            let answer = Ok(self.world.answer(environment, self.now));
            let lost = self.traffic.chance(self.swarm.garble_permille);
            let answer = if lost { Err("no connection".to_owned()) } else { answer };
            let invariants = vec![InvariantReading { name: invariant.name, answer }];
            let (samples, from, to) = (Vec::new(), self.now, self.now);
            self.send(Observation { environment, from, to, samples, invariants })?;
        }
        self.after(gap_ms, Happening::Poll(self.series));
        Ok(())
    }

    fn send(&mut self, mut observation: Observation) -> Result<(), Failure> {
        if self.now < self.silent_until {
            return Ok(());
        }
        if self.traffic.chance(self.swarm.garble_permille) {
            match self.traffic.between(0, 2) {
                0 => observation.samples.truncate(1),
                1 => {
                    let late_ms = self.traffic.between(100, 40_000);
                    self.after(late_ms, Happening::Hear(Box::new(observation)));
                    return Ok(());
                }
                _ => {
                    let late_ms = self.traffic.between(1, 20_000);
                    self.after(late_ms, Happening::Hear(Box::new(observation.clone())));
                }
            }
        }
        self.input(Input::Observed(observation)).map(drop)
    }
}

/// Whether the release waits for a calendar or a person, or there is none.
fn waits_idly(state: &State) -> bool {
    let Some(release) = state.active() else { return true };
    match release.current_step().map(|step| &step.kind) {
        Some(StepKind::Approval { .. } | StepKind::Window { .. }) => true,
        Some(StepKind::Rollout(_)) => !release.run().is_changing(),
        Some(
            StepKind::Preflight
            | StepKind::Smoke { .. }
            | StepKind::Soak(_)
            | StepKind::RestoreSecrets { .. },
        )
        | None => false,
    }
}
