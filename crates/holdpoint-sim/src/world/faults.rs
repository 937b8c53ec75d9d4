//! Draws how calls go and what befalls machines. It carries nothing out.

use crate::seed::{Dice, Swarm};

/// How one call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It does its work and its answer arrives.
    Done,
    /// It does its work and its answer arrives twice.
    Twice,
    /// It fails before it does anything, and says so.
    FailBefore,
    /// It does its work and its answer is lost.
    LoseAnswer,
    /// It does nothing and is never answered.
    Timeout,
    /// It is never answered, and does its work later.
    Late,
}

impl Fate {
    /// The fate of a call.
    pub fn draw(swarm: &Swarm, dice: &mut Dice) -> Self {
        let likely = [
            (Self::FailBefore, swarm.fail_permille),
            (Self::LoseAnswer, swarm.lose_permille),
            (Self::Timeout, swarm.timeout_permille),
            (Self::Late, swarm.late_permille),
            (Self::Twice, swarm.twice_permille),
        ];
        for (fate, permille) in likely {
            if dice.chance(permille) {
                return fate;
            }
        }
        Self::Done
    }
}

/// What befalls a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accident {
    /// Its checks fail for a while.
    Sick,
    /// It stops and is started again after a while.
    Restart,
    /// Somebody else takes its lease for a while.
    Leased,
    /// Somebody else changes its config.
    Changed,
}

impl Accident {
    /// Some accident.
    pub fn draw(dice: &mut Dice) -> Self {
        dice.pick(&[Self::Sick, Self::Restart, Self::Leased, Self::Changed])
    }
}
