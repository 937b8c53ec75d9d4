//! Finds a machine for a request, and holds the request while one is coming: while it starts, is
//! replaced, or has no room. Where nothing is coming, the request is not held.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use machines_api::types::MachineState;

use super::{
    choice::Choice,
    connections::Manner,
    forward::Forwarder,
    offer::Entrance,
    route::{Instance, Visit},
    trouble::{Cause, Trouble},
};
use crate::{
    clock,
    fleet::{Fleet, Obstacle, Outlook},
};

/// A held request looks again after this, even if nobody announced a change.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A program that was just started is asked so soon whether it accepts connections now; nothing
/// announces that. Later it is asked less often, see `pause_for`.
const LOOK_SOON: Duration = Duration::from_millis(1);

/// So often a machine is looked for in vain (Fly's number). The pauses grow so that the hold is
/// over before: what ends here would otherwise go round without a pause.
const ATTEMPTS_MAX: u32 = 90;

/// The search for a machine, over all attempts of a request or of its replay.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) choice: Choice,
    begun: Instant,
    deadline: Instant,
    attempts: u32,
    /// The connection that failed last, with the age of its program.
    refused: Option<(Box<Trouble>, Duration)>,
    /// The machine that was started for this request.
    woken: Option<String>,
}

/// Why a search ended, in the words of a replay that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Timeout,
    RetriesExhausted,
    NoCandidate,
}

impl Ending {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::RetriesExhausted => "retries_exhausted",
            Self::NoCandidate => "no_candidate",
        }
    }
}

/// Why no machine took the request.
#[derive(Debug)]
pub(super) struct Fruitless {
    pub(super) ending: Ending,
    pub(super) trouble: Trouble,
}

impl Search {
    pub(super) fn new(choice: Choice, time_max: Duration) -> Self {
        let begun = clock::instant();
        Self { choice, begun, deadline: begun + time_max, attempts: 0, refused: None, woken: None }
    }

    /// Notes that an instance did not take the request, so that another one is asked next.
    pub(super) fn pass_over(&mut self, instance: &Instance) {
        self.attempts += 1;
        self.choice.excluded.insert(instance.start.clone());
    }

    /// The same of one that did not take the connection.
    pub(super) fn note_refusal(&mut self, instance: &Instance, trouble: Trouble) {
        self.pass_over(instance);
        self.refused = Some((Box::new(trouble), instance.age()));
    }

    pub(super) fn took(&self) -> Duration {
        clock::instant().duration_since(self.begun)
    }

    /// Until the next look. For a program that was just started an eighth of its age: a start that
    /// takes longer is noticed less exactly. For all others it grows with the wait.
    fn pause(&self) -> Duration {
        pause_for(self.refused.as_ref().map(|(_, age)| *age), self.took())
    }

    fn nobody(&self, app: &str) -> Fruitless {
        let trouble = match &self.woken {
            Some(woken) => Trouble::of_machine(woken, Cause::StartCancelled),
            None => self.no_machine(app, "started, healthy and uncordoned"),
        };
        self.fruitless(Ending::NoCandidate, trouble)
    }

    fn not_started(&self, machine: String, obstacle: Obstacle) -> Fruitless {
        use MachineState::{Destroying, Stopping, Suspending};
        let is_leaving =
            matches!(obstacle, Obstacle::NotStartable(Stopping | Suspending | Destroying));
        let cause = if is_leaving && self.woken.as_ref() == Some(&machine) {
            Cause::StartCancelled
        } else {
            Cause::NotStarted(obstacle)
        };
        let trouble = Trouble { cause, machine: Some(machine) };
        self.fruitless(Ending::NoCandidate, trouble)
    }

    /// The app has no machine that may answer.
    fn missing(&self, app: &str) -> Fruitless {
        let trouble = match (&self.choice.only, &self.woken) {
            (_, Some(woken)) => Trouble::of_machine(woken, Cause::StartCancelled),
            (Some(only), None) => {
                let (app, wanted) = (app.to_owned(), only.clone());
                Trouble::of_app(Cause::MachineMissing { app, wanted })
            }
            (None, None) => {
                let about = format!("`{app}` has no machine{}", self.choice.described());
                Trouble::of_app(Cause::NoMachine { about })
            }
        };
        self.fruitless(Ending::NoCandidate, trouble)
    }

    fn too_late(&self, app: &str, full: Option<&Instance>) -> Fruitless {
        let ending =
            if self.attempts >= ATTEMPTS_MAX { Ending::RetriesExhausted } else { Ending::Timeout };
        let trouble = match (full, &self.woken) {
            (Some(instance), _) => {
                let limit = instance.hard_limit;
                let counts_connections = instance.connections().manner() == Manner::OneEach;
                let cause = if counts_connections {
                    Cause::ConnectionsFull { limit }
                } else {
                    Cause::RequestsFull { limit }
                };
                Trouble::of_machine(&instance.machine, cause)
            }
            (None, Some(woken)) => {
                Trouble::of_machine(woken, Cause::NotAwake { took: self.took() })
            }
            (None, None) => self.no_machine(app, "ready in time"),
        };
        self.fruitless(ending, trouble)
    }

    fn no_machine(&self, app: &str, not: &str) -> Trouble {
        let which = self.choice.described();
        let about = format!("no machine of `{app}`{which} is {not}");
        Trouble::of_app(Cause::NoMachine { about })
    }

    /// A connection that was refused says more than that there was nobody else.
    fn fruitless(&self, ending: Ending, trouble: Trouble) -> Fruitless {
        let attempts = self.attempts.max(1);
        let last = match (&self.refused, &self.woken) {
            (Some((refusal, _)), Some(woken)) if refusal.machine.as_ref() == Some(woken) => {
                let (took, cause) = (self.took(), refusal.clone());
                let cause = Cause::StartedInVain { attempts, took, cause };
                Trouble::of_machine(woken, cause)
            }
            (Some((refusal, _)), _) => refusal.as_ref().clone(),
            (None, _) => trouble,
        };
        let is_absence =
            matches!(last.cause, Cause::NoMachine { .. } | Cause::MachineMissing { .. });
        if is_absence && self.attempts == 0 {
            // Nothing was tried, nor waited for.
            return Fruitless { ending, trouble: last };
        }
        let machine = last.machine.clone();
        let cause = Cause::NoCandidate { attempts, last: Box::new(last) };
        Fruitless { ending, trouble: Trouble { cause, machine } }
    }
}

/// Waits until the search's deadline for a machine that takes the request.
pub(super) async fn find(
    forwarder: &Forwarder,
    app: &str,
    search: &mut Search,
) -> Result<Visit, Fruitless> {
    match forwarder.fleet.routes().enter(app, &search.choice) {
        Some(visit) => {
            wake_another(forwarder, &visit);
            Ok(visit)
        }
        // Rare and large, so that it does not make every request large.
        None => Box::pin(hold(forwarder, app, search)).await,
    }
}

async fn hold(forwarder: &Forwarder, app: &str, search: &mut Search) -> Result<Visit, Fruitless> {
    let fleet = &forwarder.fleet;
    let entrance = search.choice.entrance;
    if fleet.offers_nothing(app, entrance) {
        let external = if entrance == Entrance::Tls { 443 } else { 80 };
        let trouble = Trouble::of_app(Cause::NotOffered { app: app.to_owned(), external });
        return Err(Fruitless { ending: Ending::NoCandidate, trouble });
    }
    let routes = fleet.routes();
    let waiting = routes.wait(app);
    // Subscribed before the first look, so that no change between look and wait is missed.
    let mut changed = routes.subscribe();
    let mut held = None;
    let mut next_attempt = clock::instant() + search.pause();
    loop {
        let mut freed = pin!(waiting.freed().notified());
        freed.as_mut().enable();
        if let Some(visit) = routes.enter(app, &search.choice) {
            wake_another(forwarder, &visit);
            return Ok(visit);
        }
        match wake(forwarder, app, &search.choice).await {
            Outlook::Coming => {}
            Outlook::Woken(machine) => search.woken = Some(machine),
            Outlook::Refused { machine, obstacle } => {
                return Err(search.not_started(machine, obstacle));
            }
            Outlook::Nobody => return Err(search.nobody(app)),
            Outlook::Missing => return Err(search.missing(app)),
        }
        let now = clock::instant();
        if now >= search.deadline || search.attempts >= ATTEMPTS_MAX {
            let full = routes.full(app, &search.choice);
            return Err(search.too_late(app, full.as_deref()));
        }
        if held.is_none() {
            let Some(permit) = fleet.hold_permit() else {
                let trouble = Trouble::of_app(Cause::Crowded { app: app.to_owned() });
                return Err(Fruitless { ending: Ending::NoCandidate, trouble });
            };
            held = Some(permit);
        }
        // Whatever ends the wait means the same: look again.
        tokio::select! {
            () = freed => {}
            changed = changed.changed() => drop(changed),
            () = clock::pause_until(Some(next_attempt.min(search.deadline))) => {
                // Those that were passed over are counted already; they may listen by now.
                search.attempts += u32::from(search.choice.excluded.is_empty());
                search.choice.excluded.clear();
                next_attempt = clock::instant() + search.pause();
            }
        }
    }
}

fn pause_for(refused_at_age: Option<Duration>, waited: Duration) -> Duration {
    let longest = LOOK_AGAIN.max(waited / 8);
    refused_at_age.map_or(longest, |age| (age / 8).clamp(LOOK_SOON, longest))
}

/// Asks the fleet, in a task of its own: a client that leaves must not break off what it does.
async fn wake(forwarder: &Forwarder, app: &str, choice: &Choice) -> Outlook {
    let (fleet, app, choice): (Fleet, _, _) =
        (forwarder.fleet.clone(), app.to_owned(), choice.clone());
    let woken = forwarder.runtime.spawn(async move { fleet.wake(&app, &choice).await });
    woken.await.unwrap_or(Outlook::Nobody)
}

/// Starts a stopped machine when the one that took the request is over its soft limit: then every
/// other one is at least at its own.
fn wake_another(forwarder: &Forwarder, visit: &Visit) {
    let instance = visit.instance();
    if instance.in_flight() > instance.soft_limit && instance.may_look_for_help() {
        let runtime = forwarder.runtime.enter();
        forwarder.fleet.wake_in_background(&instance.app);
        drop(runtime);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_asked_less_often_the_longer_it_takes_to_listen() {
        let ms = Duration::from_millis;
        assert_eq!(pause_for(Some(Duration::ZERO), ms(0)), LOOK_SOON);
        assert_eq!(pause_for(Some(ms(80)), ms(70)), ms(10));
        assert_eq!(pause_for(Some(ms(9000)), ms(100)), LOOK_AGAIN);
        assert_eq!(pause_for(None, ms(100)), LOOK_AGAIN);
        assert_eq!(pause_for(None, ms(8000)), ms(1000));
    }

    #[test]
    fn a_request_is_held_to_its_end_within_the_attempts_that_there_are() {
        for hold_secs in [1, 30, 60] {
            for is_new in [true, false] {
                let (mut waited, mut attempts) = (Duration::ZERO, 0);
                while waited < Duration::from_secs(hold_secs) {
                    waited += pause_for(is_new.then_some(waited), waited);
                    attempts += 1;
                }
                assert!(attempts <= ATTEMPTS_MAX, "{attempts} attempts in {hold_secs} s");
            }
        }
    }
}
