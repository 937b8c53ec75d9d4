//! The calls that effects become on their way to the platform and back: in time, late, lost or
//! twice.

use holdpoint_core::effect::{Effect, Failure as Failed, Outcome};
use holdpoint_core::id::EffectId;
use jiff::{SignedDuration, Timestamp};

use super::{Failure, Happening, Simulation};
use crate::invariants::Fact;
use crate::world::api::checks;
use crate::world::faults::Fate;

/// How often a machine that is not healthy yet is looked at, in milliseconds.
const HEALTH_EVERY_MS: u64 = 1_000;

/// A call on its way.
#[derive(Debug)]
pub(super) struct Call {
    id: EffectId,
    effect: Effect,
    /// The life of the conductor that made it.
    life: u32,
    fate: Fate,
    /// Until when it may wait for a machine's health.
    until: Timestamp,
}

impl Simulation {
    /// Sends the call of an effect that was asked for.
    pub(super) fn call(&mut self, id: EffectId, effect: Effect) {
        let mut fate = Fate::draw(&self.swarm, &mut self.faults);
        // like the executor it looks first: what was done already is not sent again
        if fate == Fate::Late && self.world.was_done(&id, &effect) {
            fate = Fate::Done;
        }
        self.story.tell(self.now, || format!("     asked: {id}, {fate:?}"));
        let life = self.conductor.life;
        let delay_ms = self.delay_ms();
        let until = self.now + within(&effect);
        match fate {
            Fate::Done | Fate::Twice | Fate::LoseAnswer => {
                self.after(
                    delay_ms,
                    Happening::Land(Box::new(Call { id, effect, life, fate, until })),
                );
            }
            Fate::FailBefore => {
                let outcome = Outcome::Failed(Failed { message: "out of luck".to_owned() });
                self.after(delay_ms, Happening::Answer { life, id, outcome });
            }
            Fate::Timeout => {
                let outcome = Outcome::Unknown;
                self.after(delay_ms, Happening::Answer { life, id, outcome });
            }
            Fate::Late => {
                let late_ms = delay_ms + self.delays.between(1, self.swarm.late_ms_max);
                let (answered, outcome) = (id.clone(), Outcome::Unknown);
                self.after(delay_ms, Happening::Answer { life, id: answered, outcome });
                self.after(
                    late_ms,
                    Happening::Land(Box::new(Call { id, effect, life, fate, until })),
                );
            }
        }
    }

    /// A call reaches the platform.
    pub(super) fn land(&mut self, call: Call) -> Result<(), Failure> {
        let is_open = call.fate != Fate::Late
            && self.now < call.until
            && self.world.health_is_open(&call.effect, self.now);
        if is_open {
            self.after(HEALTH_EVERY_MS, Happening::Land(Box::new(call)));
            return Ok(());
        }
        let Call { id, effect, life, fate, .. } = call;
        let mut answer = self.world.act(&id, &effect, self.now);
        if matches!(effect, Effect::Preflight { .. } | Effect::Smoke { .. })
            && self.faults.chance(self.swarm.check_permille)
        {
            // a kind that may be waived
            answer.outcome = checks("drill", false);
        }
        self.story.tell(self.now, || format!("     landed: {id}: {:?}", answer.outcome));
        self.see(Fact::Answered(&answer.outcome))?;
        if let Some(machine) = &answer.changed {
            self.see(Fact::Landed(&id, &effect, machine))?;
        }
        let outcome = match fate {
            Fate::Late | Fate::FailBefore | Fate::Timeout => return Ok(()),
            Fate::LoseAnswer => Outcome::Unknown,
            Fate::Done | Fate::Twice => answer.outcome,
        };
        if fate == Fate::Twice {
            let (delay_ms, id, outcome) = (self.delay_ms(), id.clone(), outcome.clone());
            self.after(delay_ms, Happening::Answer { life, id, outcome });
        }
        let delay_ms = self.delay_ms();
        self.after(delay_ms, Happening::Answer { life, id, outcome });
        Ok(())
    }

    fn delay_ms(&mut self) -> u64 {
        self.delays.between(1, self.swarm.delay_ms_max)
    }
}

/// For how long the call of an effect waits at most.
fn within(effect: &Effect) -> SignedDuration {
    let secs = if let Effect::AwaitHealth { within_secs, .. } = effect { *within_secs } else { 0 };
    SignedDuration::from_secs(i64::try_from(secs).unwrap_or(i64::MAX))
}
