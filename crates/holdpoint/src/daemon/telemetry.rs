//! Looks at the watched services again and again, beside the loop, and hands over what was
//! measured. How often is a matter of real time: platforms and probes don't run faster because a
//! clock is scaled.

use std::collections::BTreeMap;
use std::time::Duration;

use holdpoint_core::id::{AppName, Environment, ServiceName};
use holdpoint_core::observation::Observation;
use holdpoint_core::project::GatePolicy;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::adapter::clock::Clock;
use crate::adapter::telemetry::Telemetry as Scraper;

/// The shortest time between two looks: what a platform can be asked for without being a burden.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(100);

/// The longest time between two looks: how often Fly measures.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(15);

/// How many looks fit into the time after which signals are stale: one or two may fail.
const LOOKS_UNTIL_STALE: u32 = 8;

/// With fewer looks than this before signals are stale, a busy computer makes every soak begin
/// anew.
const LOOKS_AT_LEAST: u128 = 4;

/// Observations that wait for the loop; it takes them faster than they come.
const WAITING_MAX: usize = 16;

/// The fastest clock at which signals are not stale before the next look, for this policy.
pub fn speed_max(policy: &GatePolicy) -> u32 {
    let stale_after = Duration::from_secs(policy.stale_after_secs);
    let speed = stale_after.as_millis() / (LOOK_EVERY_MIN.as_millis() * LOOKS_AT_LEAST);
    u32::try_from(speed).unwrap_or(u32::MAX).max(1)
}

type Watched = Vec<(Environment, Vec<(ServiceName, AppName)>)>;

/// The telemetry of one conductor.
#[derive(Debug)]
pub struct Telemetry {
    watched: watch::Sender<Watched>,
    task: JoinHandle<()>,
}

impl Telemetry {
    /// Starts to look. Nothing is measured until [`Self::watch`] says what.
    pub fn start(
        scraper: Scraper,
        health_paths: BTreeMap<AppName, String>,
        policy: &GatePolicy,
        clock: Clock,
    ) -> (Self, mpsc::Receiver<Observation>) {
        let stale_after = Duration::from_secs(policy.stale_after_secs) / clock.speed();
        let every = (stale_after / LOOKS_UNTIL_STALE).clamp(LOOK_EVERY_MIN, LOOK_EVERY_MAX);
        let (watched, watching) = watch::channel(Watched::new());
        let (sender, observations) = mpsc::channel(WAITING_MAX);
        let looker = Looker { scraper, health_paths, clock, watching, sender };
        let task = tokio::spawn(looker.run(every));
        (Self { watched, task }, observations)
    }

    /// What must be measured from now on.
    pub(super) fn watch(&self, watched: Watched) {
        self.watched.send_if_modified(|current| {
            let changed = *current != watched;
            *current = watched;
            changed
        });
    }

    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

struct Looker {
    scraper: Scraper,
    health_paths: BTreeMap<AppName, String>,
    clock: Clock,
    watching: watch::Receiver<Watched>,
    sender: mpsc::Sender<Observation>,
}

impl Looker {
    async fn run(mut self, every: Duration) {
        let mut due = tokio::time::interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            let watched = self.watching.borrow().clone();
            if watched.is_empty() {
                continue;
            }
            let now = self.clock.now();
            let observations = match self.scraper.look(now, &watched, &self.health_paths).await {
                Ok(observations) => observations,
                Err(error) => {
                    // no data is what the gates see then, and they wait
                    tracing::warn!(%error, "nothing was measured");
                    continue;
                }
            };
            for observation in observations {
                if self.sender.send(observation).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_bounds_the_speed_of_a_rehearsal() {
        let policy = GatePolicy { stale_after_secs: 120, ..GatePolicy::default() };
        assert_eq!(speed_max(&policy), 300);
        let policy = GatePolicy { stale_after_secs: 0, ..policy };
        assert_eq!(speed_max(&policy), 1);
    }
}
