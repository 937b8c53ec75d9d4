//! Finds a machine for a request, and holds the request while one is coming: while it starts, is
//! replaced, or has no room. Where nothing is coming, the request is not held.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use super::{
    forward::Forwarder,
    route::{Choice, Instance, Visit},
};
use crate::{
    clock,
    fleet::{Fleet, Outlook},
};

/// A held request looks again so often, even if nobody announced a change.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A program that was just started is asked so soon whether it accepts connections now; nothing
/// announces that. Later it is asked less often, see `pause_for`.
const LOOK_SOON: Duration = Duration::from_millis(1);

/// Why no machine took the request.
#[derive(Debug)]
pub(super) enum NoMachine {
    /// None is running, and none will be.
    Nobody,
    /// None became ready in time.
    TooLate,
    /// The machines were at their hard limit all the time: such as this one.
    Full(std::sync::Arc<Instance>),
    /// Too many requests are held already.
    Crowded,
}

/// Waits until the deadline for a machine that takes the request. `refused_at_age` is the age of
/// the program that refused the last connection.
pub(super) async fn find(
    forwarder: &Forwarder,
    app: &str,
    choice: &mut Choice,
    deadline: Instant,
    refused_at_age: Option<Duration>,
) -> Result<Visit, NoMachine> {
    match forwarder.fleet.routes().enter(app, choice) {
        Some(visit) => {
            wake_another(forwarder, &visit);
            Ok(visit)
        }
        // Rare and large, so that it does not make every request large.
        None => Box::pin(hold(forwarder, app, choice, deadline, refused_at_age)).await,
    }
}

async fn hold(
    forwarder: &Forwarder,
    app: &str,
    choice: &mut Choice,
    deadline: Instant,
    refused_at_age: Option<Duration>,
) -> Result<Visit, NoMachine> {
    let fleet = &forwarder.fleet;
    let routes = fleet.routes();
    let waiting = routes.wait(app);
    // Subscribed before the first look, so that no change between look and wait is missed.
    let mut changed = routes.subscribe();
    let mut held = None;
    // Who comes last stands behind those who wait already.
    let mut may_look = !waiting.has_company();
    let pause = pause_for(refused_at_age);
    loop {
        let mut freed = pin!(waiting.freed().notified());
        freed.as_mut().enable();
        if may_look && let Some(visit) = routes.enter(app, choice) {
            wake_another(forwarder, &visit);
            return Ok(visit);
        }
        may_look = true;
        if wake(forwarder, app, choice.only.as_deref()).await == Outlook::Nobody {
            return Err(NoMachine::Nobody);
        }
        if clock::instant() >= deadline {
            return Err(routes.full(app, choice).map_or(NoMachine::TooLate, NoMachine::Full));
        }
        if held.is_none() {
            held = Some(fleet.hold_permit().ok_or(NoMachine::Crowded)?);
        }
        // Whatever ends the wait means the same: look again.
        tokio::select! {
            () = freed => {}
            changed = changed.changed() => drop(changed),
            () = clock::pause(pause) => {}
        }
        // A machine that refused the connection a moment ago may listen by now.
        choice.excluded.clear();
    }
}

/// An eighth of the program's age: a start that takes longer is noticed less exactly.
fn pause_for(refused_at_age: Option<Duration>) -> Duration {
    refused_at_age.map_or(LOOK_AGAIN, |age| (age / 8).clamp(LOOK_SOON, LOOK_AGAIN))
}

/// Asks the fleet, in a task of its own: a client that leaves must not break off what it does.
async fn wake(forwarder: &Forwarder, app: &str, only: Option<&str>) -> Outlook {
    let (fleet, app, only): (Fleet, _, _) =
        (forwarder.fleet.clone(), app.to_owned(), only.map(str::to_owned));
    let woken = forwarder.runtime.spawn(async move { fleet.wake(&app, only.as_deref()).await });
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
        assert_eq!(pause_for(Some(Duration::ZERO)), LOOK_SOON);
        assert_eq!(pause_for(Some(Duration::from_millis(80))), Duration::from_millis(10));
        assert_eq!(pause_for(Some(Duration::from_secs(9))), LOOK_AGAIN);
        assert_eq!(pause_for(None), LOOK_AGAIN);
    }
}
