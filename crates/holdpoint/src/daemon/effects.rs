//! Effects under way: performed beside the loop, a bounded number at once. After the first
//! Ctrl-C no machine is begun any more, and those that were begun are brought to their end.

use std::collections::VecDeque;
use std::sync::Arc;

use holdpoint_core::effect::{Effect, Outcome};
use holdpoint_core::id::{EffectId, MachinePhase};
use holdpoint_core::state::State;
use tokio::task::JoinSet;

use crate::executor::{Executor, ReleaseFacts};

/// The most effects that are performed at once.
const UNDER_WAY_MAX: usize = 32;

/// One effect that was asked for.
#[derive(Debug)]
struct Asked {
    id: EffectId,
    effect: Effect,
    /// The release that calls for it, as it was then.
    facts: Option<ReleaseFacts>,
}

/// Effects that were asked for and have not ended.
#[derive(Debug)]
pub(super) struct EffectsUnderWay {
    executor: Arc<Executor>,
    waiting: VecDeque<Asked>,
    under_way: JoinSet<(EffectId, Outcome)>,
}

impl EffectsUnderWay {
    pub(super) fn new(executor: Executor) -> Self {
        Self { executor: Arc::new(executor), waiting: VecDeque::new(), under_way: JoinSet::new() }
    }

    /// Takes an effect that will be performed at the next [`Self::start`].
    pub(super) fn ask(&mut self, id: EffectId, effect: Effect, state: &State) {
        let facts = ReleaseFacts::for_effect(state, &id);
        self.waiting.push_back(Asked { id, effect, facts });
    }

    /// Starts what has place. While stopping, nothing that begins something new.
    pub(super) fn start(&mut self, stopping: bool) {
        if stopping {
            self.hold_back();
        }
        while self.under_way.len() < UNDER_WAY_MAX {
            let Some(asked) = self.waiting.pop_front() else {
                return;
            };
            let executor = self.executor.clone();
            self.under_way.spawn(async move {
                let id = asked.id.clone();
                // a panic in an adapter must not lose the id: the effect's fate is unknown then
                let performed = tokio::spawn(async move {
                    let Asked { id, effect, facts } = asked;
                    executor.perform(&id, &effect, facts.as_ref()).await
                });
                let performed = performed.await;
                let outcome = performed.unwrap_or_else(|error| {
                    tracing::error!(%error, effect = %id, "an effect was cut off");
                    Outcome::Unknown
                });
                (id, outcome)
            });
        }
    }

    /// Forgets the effects that would begin something new. They will be asked for again when the
    /// release is resumed.
    pub(super) fn hold_back(&mut self) {
        self.waiting.retain(|asked| finishes_something(&asked.id));
    }

    /// The next outcome; `None` at once when nothing is under way.
    pub(super) async fn next(&mut self) -> Option<(EffectId, Outcome)> {
        match self.under_way.join_next().await? {
            Ok(ended) => Some(ended),
            Err(error) => {
                tracing::error!(%error, "an effect's task was cut off");
                None
            }
        }
    }

    /// Whether nothing is under way or waits for its place.
    pub(super) fn is_quiet(&self) -> bool {
        self.under_way.is_empty() && self.waiting.is_empty()
    }

    /// Lets go of everything under way. Its fate is looked up when the release is resumed.
    pub(super) fn abandon(&mut self) {
        self.under_way.abort_all();
    }
}

/// Whether an effect brings something to its end that was begun before: a machine that is out of
/// the rotation, or a message.
fn finishes_something(effect: &EffectId) -> bool {
    match effect {
        EffectId::Message { .. } | EffectId::Delivery { .. } => true,
        EffectId::Step { .. } => false,
        EffectId::Machine { phase, .. } => match phase {
            MachinePhase::Cordon
            | MachinePhase::Update
            | MachinePhase::Health
            | MachinePhase::Uncordon
            | MachinePhase::Release => true,
            MachinePhase::Lease
            | MachinePhase::Create
            | MachinePhase::Stop
            | MachinePhase::Done => false,
        },
    }
}
