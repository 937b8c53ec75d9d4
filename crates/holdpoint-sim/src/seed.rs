//! What a seed decides before anything happens: the streams of chance, one per concern, so that
//! drawing once more in one of them does not rename the others; and the swarm, the probabilities
//! of this one run. It draws no fault itself.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What chance is drawn for. The order is part of every seed's meaning: add at the end.
#[derive(Clone, Copy, Debug)]
pub enum Concern {
    /// The probabilities of the run.
    Swarm,
    /// The project and its calendar.
    Project,
    /// Whether calls go well.
    Faults,
    /// How long things take.
    Delays,
    /// Requests, signals and their silence.
    Traffic,
    /// What people do.
    People,
    /// When the conductor dies and comes back.
    Crashes,
    /// What befalls machines.
    Accidents,
    /// How long machines take to become healthy.
    Starts,
}

/// One stream of chance.
#[derive(Debug)]
pub struct Dice(StdRng);

impl Dice {
    /// The stream of one concern of one seed.
    pub fn of(seed: u64, concern: Concern) -> Self {
        let tag = [concern as u8];
        let mut key = [0; 32];
        for (place, byte) in key.iter_mut().zip(seed.to_le_bytes().into_iter().chain(tag)) {
            *place = byte;
        }
        Self(StdRng::from_seed(key))
    }

    /// True in so many cases of a thousand.
    pub fn chance(&mut self, permille: u32) -> bool {
        self.0.random_ratio(permille.min(1000), 1000)
    }

    /// A number between two, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high.max(low))
    }

    /// One of several. There is always at least one.
    pub fn pick<T: Copy>(&mut self, options: &[T]) -> T {
        let index = self.0.random_range(0..options.len());
        options.get(index).copied().expect("the index is within the options")
    }
}

/// How much traffic there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// None at all: nothing can be judged.
    None,
    /// Sometimes enough to judge, sometimes not.
    Trickle,
    /// Plenty.
    Plenty,
}

/// Which machines exist before the first release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// None.
    Empty,
    /// Fewer than wanted.
    Some,
    /// All of them.
    All,
}

/// The probabilities of one run. Probabilities are in thousandths.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// A call fails before it does anything.
    pub fail_permille: u32,
    /// A call does its work and its answer is lost.
    pub lose_permille: u32,
    /// A call does nothing and is never answered.
    pub timeout_permille: u32,
    /// A call is never answered and does its work later.
    pub late_permille: u32,
    /// An answer arrives twice.
    pub twice_permille: u32,
    /// The longest time that a call takes, in milliseconds.
    pub delay_ms_max: u64,
    /// The longest time by which a call does its work later, in milliseconds.
    pub late_ms_max: u64,
    /// A check of pre-flight or smoke fails by itself.
    pub check_permille: u32,
    /// The conductor dies before one more output is carried out.
    pub crash_permille: u32,
    /// The longest time for which it stays away, in seconds.
    pub down_secs_max: u64,
    /// The latest time by which the conductor wakes up late, in milliseconds.
    pub tick_late_ms_max: u64,
    /// How often something befalls a machine, in seconds; 0 for never.
    pub accident_every_secs: u64,
    /// How often a person does something, in seconds.
    pub person_every_secs: u64,
    /// A person does something wrong.
    pub wrong_permille: u32,
    /// A person halts.
    pub halt_permille: u32,
    /// A person rolls back.
    pub rollback_permille: u32,
    /// Signals are lost from now on for a while.
    pub silence_permille: u32,
    /// Signals of one interval arrive late, twice or in part.
    pub garble_permille: u32,
    /// How much traffic there is.
    pub traffic: Traffic,
    /// A version has a flaw.
    pub flaw_permille: u32,
    /// How many releases people start.
    pub releases: u64,
    /// Which machines there are at first.
    pub beginning: Beginning,
    /// At what speed releases are rehearsed; 0 for real ones.
    pub rehearsal_speed: u32,
    /// After how many steps the world is healed at the latest.
    pub steps_max: u64,
    /// Whether a healed world must also carry out one more release.
    pub one_more: bool,
    /// A person raises a flag.
    pub flag_permille: u32,
}

impl Swarm {
    /// The swarm of a seed.
    pub fn of(seed: u64) -> Self {
        let dice = &mut Dice::of(seed, Concern::Swarm);
        // a kind of fault is often absent, so that the others get far
        let rare = [0, 0, 0, 10, 40, 150];
        Self {
            fail_permille: dice.pick(&rare),
            lose_permille: dice.pick(&rare),
            timeout_permille: dice.pick(&rare),
            late_permille: dice.pick(&rare),
            twice_permille: dice.pick(&rare),
            delay_ms_max: dice.pick(&[20, 400, 1_500, 4_000]),
            late_ms_max: dice.pick(&[2_000, 10_000, 60_000]),
            check_permille: dice.pick(&[0, 0, 0, 50, 300]),
            crash_permille: dice.pick(&[0, 0, 5, 20, 60]),
            down_secs_max: dice.pick(&[1, 20, 200]),
            tick_late_ms_max: dice.pick(&[0, 0, 900, 6_000]),
            accident_every_secs: dice.pick(&[0, 0, 120, 40, 15]),
            person_every_secs: dice.pick(&[4, 15, 60]),
            wrong_permille: dice.pick(&[0, 50, 300]),
            halt_permille: dice.pick(&[0, 0, 20, 100]),
            rollback_permille: dice.pick(&[0, 0, 10, 50]),
            silence_permille: dice.pick(&[0, 0, 30, 150]),
            garble_permille: dice.pick(&[0, 0, 100, 300]),
            traffic: dice.pick(&[
                Traffic::None,
                Traffic::Trickle,
                Traffic::Plenty,
                Traffic::Plenty,
            ]),
            flaw_permille: dice.pick(&[0, 300, 700]),
            releases: dice.pick(&[1, 1, 2, 2, 3]),
            beginning: dice.pick(&[Beginning::Empty, Beginning::Some, Beginning::All]),
            rehearsal_speed: dice.pick(&[0, 0, 0, 10]),
            steps_max: dice.pick(&[40, 120, 300]),
            one_more: dice.chance(350),
            flag_permille: dice.pick(&[0, 0, 0, 10, 50]),
        }
    }

    /// Nothing goes wrong any more, and there is plenty of traffic.
    pub fn heal(&mut self) {
        *self = Self {
            fail_permille: 0,
            lose_permille: 0,
            timeout_permille: 0,
            late_permille: 0,
            twice_permille: 0,
            delay_ms_max: self.delay_ms_max.min(1_000),
            tick_late_ms_max: 0,
            check_permille: 0,
            crash_permille: 0,
            accident_every_secs: 0,
            silence_permille: 0,
            garble_permille: 0,
            traffic: Traffic::Plenty,
            ..self.clone()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_concern_has_a_stream_of_its_own_that_the_seed_alone_decides() {
        let draw = |seed, concern| {
            let mut dice = Dice::of(seed, concern);
            [0; 4].map(|_| dice.between(0, u64::MAX))
        };
        assert_eq!(draw(7, Concern::Faults), draw(7, Concern::Faults));
        assert_ne!(draw(7, Concern::Faults), draw(7, Concern::Delays));
        assert_ne!(draw(7, Concern::Faults), draw(8, Concern::Faults));
    }
}
