//! Waits until a machine is in a state, for a version of it if one is named.

use std::time::Duration;

use axum::http::StatusCode;
use machines_api::types::{MachineEvent, MachineState, WaitReply, WaitState};

use super::{
    machine::{Machine, Snapshot},
    record::MachineRecord,
};
use crate::error::Refusal;

/// What is waited for.
#[derive(Debug)]
pub(crate) struct Awaited {
    pub(crate) states: Vec<WaitState>,
    /// The version that must reach the state; the newest one, if none is named.
    pub(crate) instance_id: Option<String>,
    /// The event after which the state must be reached, by its id; it may be over by now.
    pub(crate) after_event: Option<String>,
    pub(crate) timeout: Duration,
}

impl Machine {
    /// Waits; a machine that does not get there in time is refused with 408.
    pub(crate) async fn wait(&self, awaited: &Awaited) -> Result<WaitReply, Refusal> {
        let mut snapshots = self.subscribe();
        let reached = async {
            loop {
                let snapshot = std::sync::Arc::clone(&snapshots.borrow_and_update());
                if let Some(reply) = awaited.reply(&snapshot) {
                    return Ok(reply);
                }
                if snapshot.record.is_gone() {
                    // It comes to no other state any more.
                    return Err(Refusal::not_found(format!(
                        "machine not found: machine {} is destroyed",
                        self.id
                    )));
                }
                if snapshots.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let outcome = tokio::time::timeout(awaited.timeout, reached).await;
        outcome.unwrap_or_else(|_elapsed| {
            let states: Vec<_> = awaited.states.iter().map(|state| state.as_str()).collect();
            Err(Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                format!(
                    "deadline_exceeded: machine failed to reach desired state, {}, currently {}",
                    states.join(" or "),
                    self.snapshot().record.state
                ),
            ))
        })
    }
}

impl Awaited {
    fn reply(&self, snapshot: &Snapshot) -> Option<WaitReply> {
        let version = snapshot.record.instance_id.clone();
        let Some(after) = &self.after_event else {
            let state = self.reached(&snapshot.record)?;
            let event_id = snapshot.events.first().map(|event| event.id.clone());
            return Some(WaitReply {
                ok: true,
                state,
                version,
                event_id: event_id.unwrap_or_default(),
            });
        };
        // The events stand newest first; one that is no longer kept is older than all.
        let newer = snapshot.events.iter().take_while(|event| event.id != *after);
        let (event, state) = newer.filter_map(|event| Some((event, self.led_to(event)?))).last()?;
        Some(WaitReply { ok: true, state, version, event_id: event.id.clone() })
    }

    /// The state that an event led to, if it is one of those awaited.
    fn led_to(&self, event: &MachineEvent) -> Option<MachineState> {
        let word = serde_json::Value::String(event.status.clone());
        let state = serde_json::from_value(word).ok()?;
        self.states.iter().any(|awaited| is(*awaited, state)).then_some(state)
    }

    /// The state that was reached, if it is one of those awaited.
    fn reached(&self, record: &MachineRecord) -> Option<MachineState> {
        let wanted = self.instance_id.as_ref().unwrap_or(&record.instance_id);
        if *wanted != record.instance_id {
            // An older version: it is over when its program is gone.
            let runs = record.run.as_ref().is_some_and(|run| run.instance_id == *wanted);
            let over = self.states.iter().any(|state| {
                matches!(state, WaitState::Stopped | WaitState::Destroyed | WaitState::Settled)
            });
            return (over && !runs).then_some(MachineState::Replaced);
        }
        let state = record.state;
        self.states.iter().any(|awaited| is(*awaited, state)).then_some(state)
    }
}

fn is(awaited: WaitState, state: MachineState) -> bool {
    match awaited {
        WaitState::Started => state == MachineState::Started,
        WaitState::Stopped => state == MachineState::Stopped,
        WaitState::Suspended => state == MachineState::Suspended,
        WaitState::Destroyed => state == MachineState::Destroyed,
        WaitState::Failed => state == MachineState::Failed,
        WaitState::Settled => matches!(
            state,
            MachineState::Created
                | MachineState::Started
                | MachineState::Stopped
                | MachineState::Suspended
                | MachineState::Failed
                | MachineState::Destroyed
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::record::tests::{machine, run},
        *,
    };

    fn awaited(state: WaitState, version: Option<&str>) -> Awaited {
        Awaited {
            states: vec![state],
            instance_id: version.map(str::to_owned),
            after_event: None,
            timeout: Duration::ZERO,
        }
    }

    #[test]
    fn an_older_version_is_over_when_its_program_is_gone() {
        let stopped = awaited(WaitState::Stopped, Some("v1"));
        let replacing = MachineRecord { run: Some(run("v1")), ..machine() };
        assert_eq!(stopped.reached(&replacing), None);
        let replaced = MachineRecord { run: Some(run("v2")), ..machine() };
        assert_eq!(stopped.reached(&replaced), Some(MachineState::Replaced));
        assert_eq!(awaited(WaitState::Started, Some("v1")).reached(&replaced), None);
        let newest = awaited(WaitState::Started, Some("v2"));
        assert_eq!(newest.reached(&replaced), Some(MachineState::Started));
    }

    #[test]
    fn a_machine_on_its_way_is_not_settled() {
        let at = |state| {
            awaited(WaitState::Settled, None).reached(&MachineRecord { state, ..machine() })
        };
        assert_eq!(at(MachineState::Replacing), None);
        assert_eq!(at(MachineState::Failed), Some(MachineState::Failed));
    }

    #[test]
    fn a_state_that_was_reached_after_an_event_counts_although_it_is_over() {
        let event = |id: &str, status: &str| MachineEvent {
            id: id.to_owned(),
            status: status.to_owned(),
            ..MachineEvent::default()
        };
        let snapshot = Snapshot {
            record: MachineRecord { state: MachineState::Stopped, ..machine() },
            events: vec![event("3", "stopped"), event("2", "started"), event("1", "created")],
            checks: Vec::new(),
            failing: false,
            program: None,
        };
        let after = |id: &str, state| {
            let after_event = Some(id.to_owned());
            Awaited { after_event, ..awaited(state, None) }.reply(&snapshot).map(|it| it.event_id)
        };
        assert_eq!(after("1", WaitState::Started).as_deref(), Some("2"));
        assert_eq!(after("2", WaitState::Started), None);
        assert_eq!(after("1", WaitState::Settled).as_deref(), Some("2"));
        assert_eq!(after("forgotten", WaitState::Stopped).as_deref(), Some("3"));
    }
}
