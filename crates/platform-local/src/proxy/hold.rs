//! Finds a machine for a request, and holds the request while one is coming: while it starts, is
//! replaced, or has no room. Where nothing is coming, the request is not held.

use std::time::{Duration, Instant};

use super::route::{Choice, Visit};
use crate::{
    clock,
    fleet::{Fleet, Outlook},
};

/// A held request looks again so often, even if nobody announced a change.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Why no machine took the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoMachine {
    /// None is running, and none will be.
    Nobody,
    /// None became ready in time.
    TooLate,
    /// Too many requests are held already.
    Crowded,
}

/// Waits until the deadline for a machine that takes the request.
pub(super) async fn find(
    fleet: &Fleet,
    app: &str,
    choice: &mut Choice,
    deadline: Instant,
) -> Result<Visit, NoMachine> {
    let routes = fleet.routes();
    // Subscribed before the first look, so that no change between look and wait is missed.
    let mut changed = routes.subscribe();
    let mut held = None;
    loop {
        if let Some(visit) = routes.enter(app, choice) {
            wake_another(fleet, &visit);
            return Ok(visit);
        }
        if fleet.wake(app, choice.only.as_deref()).await == Outlook::Nobody {
            return Err(NoMachine::Nobody);
        }
        if clock::instant() >= deadline {
            return Err(NoMachine::TooLate);
        }
        if held.is_none() {
            held = Some(fleet.hold_permit().ok_or(NoMachine::Crowded)?);
        }
        // Either outcome means the same: look again.
        drop(tokio::time::timeout(LOOK_AGAIN, changed.changed()).await);
        // A machine that refused the connection a moment ago may listen by now.
        choice.excluded.clear();
    }
}

/// Starts a stopped machine when the one that took the request is over its soft limit.
fn wake_another(fleet: &Fleet, visit: &Visit) {
    let instance = visit.instance();
    if instance.in_flight() > instance.soft_limit {
        fleet.wake_in_background(&instance.app);
    }
}
