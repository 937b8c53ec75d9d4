//! Asks the questions of invariants again and again, beside the loop, and hands over the answers.
//! How often goes by the release's clock, as far as it makes sense to ask in real time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use holdpoint_core::id::Environment;
use holdpoint_core::observation::{InvariantReading, Observation};
use holdpoint_core::project::Invariant;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::adapter::clock::{Clock, pause};
use crate::adapter::invariant;

/// The shortest time between two questions, whatever the pace of a rehearsal's clock.
const ASK_EVERY_MIN: Duration = Duration::from_millis(250);

/// Answers that wait for the loop; it takes them faster than they come.
const WAITING_MAX: usize = 16;

type Key = (Environment, String);

/// The invariants of one conductor.
#[derive(Debug)]
pub struct Invariants {
    project_root: PathBuf,
    clock: Clock,
    sender: mpsc::Sender<Observation>,
    asked: BTreeMap<Key, JoinHandle<()>>,
}

impl Invariants {
    /// Nothing is asked until [`Self::watch`] says what.
    pub fn start(project_root: PathBuf, clock: Clock) -> (Self, mpsc::Receiver<Observation>) {
        let (sender, answers) = mpsc::channel(WAITING_MAX);
        (Self { project_root, clock, sender, asked: BTreeMap::new() }, answers)
    }

    /// What must be asked from now on.
    pub(super) fn watch(&mut self, watched: Vec<(Environment, Invariant)>) {
        self.asked.retain(|(environment, name), asking| {
            let is_watched =
                watched.iter().any(|(where_, one)| where_ == environment && one.name == *name);
            if !is_watched {
                asking.abort();
            }
            is_watched
        });
        for (environment, invariant) in watched {
            self.asked.entry((environment, invariant.name.clone())).or_insert_with(|| {
                let root = self.project_root.clone();
                let (clock, sender) = (self.clock.clone(), self.sender.clone());
                tokio::spawn(ask_on(root, clock, sender, environment, invariant))
            });
        }
    }

    pub(super) fn stop(&mut self) {
        self.watch(Vec::new());
    }
}

async fn ask_on(
    root: PathBuf,
    clock: Clock,
    sender: mpsc::Sender<Observation>,
    environment: Environment,
    invariant: Invariant,
) {
    let every = Duration::from_secs(invariant.every_secs) / clock.speed();
    loop {
        let from = clock.now();
        let answer = invariant::ask(&root, &invariant, environment).await;
        if let Err(problem) = &answer {
            tracing::warn!(invariant = invariant.name, %environment, %problem, "no answer");
        }
        let invariants = vec![InvariantReading { name: invariant.name.clone(), answer }];
        let to = clock.now();
        let observation = Observation { environment, from, to, samples: Vec::new(), invariants };
        if sender.send(observation).await.is_err() {
            return;
        }
        pause(every.max(ASK_EVERY_MIN)).await;
    }
}
