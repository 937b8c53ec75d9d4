//! Makes the events of a machine, in the words that Fly uses.

use jiff::Timestamp;
use machines_api::types::{EventRequest, ExitEvent, MachineEvent, MachineState, MonitorEvent};

use crate::{identity, supervisor::Exit};

/// The exit code of a program whose end nobody saw: none that a program can have.
const CODE_UNKNOWN: i32 = -1;

/// Who caused an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A client of the API.
    User,
    /// The platform itself.
    Flyd,
    /// The proxy, by autostart or autostop.
    Proxy,
}

/// An event of this type that led to this state.
pub(super) fn event(
    event_type: &str,
    status: MachineState,
    source: Source,
    now: Timestamp,
) -> MachineEvent {
    let source = match source {
        Source::User => "user",
        Source::Flyd => "flyd",
        Source::Proxy => "proxy",
    };
    MachineEvent {
        id: identity::version(),
        event_type: event_type.to_owned(),
        status: status.as_str().to_owned(),
        source: source.to_owned(),
        timestamp_ms: now.as_millisecond(),
        request: None,
    }
}

/// The event of a program's end. Fly's client reads how it ended without looking whether that is
/// told, so it always is.
pub(super) fn exit_event(
    exit: Exit,
    status: MachineState,
    requested_stop: bool,
    restarting: bool,
    restart_count: u32,
    now: Timestamp,
) -> MachineEvent {
    let code = exit.code().unwrap_or(CODE_UNKNOWN);
    let exit_event = ExitEvent {
        exit_code: code,
        guest_exit_code: code,
        guest_signal: exit.signal.unwrap_or(-1),
        signal: exit.signal.unwrap_or(-1),
        oom_killed: exit.oom_killed,
        requested_stop,
        restarting,
        exited_at: Some(now),
    };
    let request = EventRequest {
        exit_event: Some(exit_event.clone()),
        monitor_event: Some(MonitorEvent { exit_event: Some(exit_event) }),
        restart_count: Some(u64::from(restart_count)),
        ..EventRequest::default()
    };
    MachineEvent { request: Some(request), ..event("exit", status, Source::Flyd, now) }
}

/// The event of a start that did not come about, with the reason.
pub(super) fn launch_failed(reason: &str, now: Timestamp) -> MachineEvent {
    let mut request = EventRequest::default();
    request.rest.insert("error".to_owned(), reason.into());
    MachineEvent {
        request: Some(request),
        ..event("launch", MachineState::Failed, Source::Flyd, now)
    }
}
