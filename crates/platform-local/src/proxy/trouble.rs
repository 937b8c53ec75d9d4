//! Why the proxy could not have a request answered: each cause with the code that Fly gives it,
//! its words for the app's log, and what the client gets. Finding the cause is done elsewhere.

use std::{io, time::Duration};

use http::StatusCode;

use super::{
    body::{REPLAY_BYTES_MAX, RETRY_BYTES_MAX},
    connections::SendError,
    replay::REPLAYS_MAX,
    route::Instance,
};
use crate::fleet::Obstacle;

/// Why a request was not answered by a machine.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) cause: Cause,
    /// The machine that it is about, if there is one.
    pub(super) machine: Option<String>,
}

/// The causes, in Fly's words as far as they are public; ours say the rest.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Cause {
    /// No machine can be tried, and none is coming.
    #[error("no known healthy instances found for route: {about}")]
    NoMachine { about: String },
    /// Fly takes no connection there.
    #[error(
        "no known healthy instances found for route: `{app}` has no service on port {external}"
    )]
    NotOffered { app: String, external: u16 },
    #[error("could not find local instance for route: `{app}` has no machine `{wanted}`")]
    MachineMissing { app: String, wanted: String },
    /// Machines were tried or waited for, in vain.
    #[error(
        "could not find a good candidate within {attempts} attempts at load balancing. last error: {}",
        last.text()
    )]
    NoCandidate { attempts: u32, last: Box<Trouble> },
    #[error(
        "could not find a good candidate within 1 attempts at load balancing: too many requests \
         already wait for machines of `{app}`"
    )]
    Crowded { app: String },
    #[error(
        "instance refused connection. is your app listening on 0.0.0.0:{port}, the port that \
         `PORT` names?"
    )]
    ConnectionRefused { port: u16 },
    #[error("could not connect to instance on port {port}: {error}")]
    NotConnected { code: &'static str, port: u16, error: String },
    /// A machine that was started for this request did not listen.
    #[error("failed to connect to machine: gave up after {attempts} attempts (in {took:.1?}): {}", cause.text())]
    StartedInVain { attempts: u32, took: Duration, cause: Box<Trouble> },
    /// A machine that was started for this request did not become healthy.
    #[error("could not wake up machine due to a timeout: it was not ready after {took:.1?}")]
    NotAwake { took: Duration },
    #[error("{0}")]
    NotStarted(Obstacle),
    /// A machine was started for this request, and somebody stopped it.
    #[error("machine start was canceled: the machine is no longer meant to run")]
    StartCancelled,
    #[error("could not complete HTTP request to instance: {error}")]
    Broken { error: String },
    #[error(
        "could not complete HTTP request to instance: it did not begin its answer within {within:?}"
    )]
    NoAnswer { within: Duration },
    #[error("instance is at its hard limit of {limit} concurrent connections")]
    ConnectionsFull { limit: usize },
    #[error("instance is at its hard limit of {limit} concurrent requests")]
    RequestsFull { limit: usize },
    #[error(
        "cannot retry request because its body is larger than the {} MB that are kept for that",
        RETRY_BYTES_MAX >> 20
    )]
    TooLargeForRetry,
    #[error(
        "cannot replay request because its body is larger than the {} MB that are replayed",
        REPLAY_BYTES_MAX >> 20
    )]
    TooLargeForReplay,
    #[error(
        "`fly-replay` response header was returned more than {REPLAYS_MAX} times, stopping there"
    )]
    ReplayedTooOften,
    #[error(
        "`fly-replay` response header was returned by the fallback of a replay, stopping there"
    )]
    FallbackReplayed,
    #[error("could not parse `fly-replay` response returned by app: {reason}")]
    BadReplay { reason: String },
    #[error("app `{source_app}` used `fly-replay` to target app `{target}`, which cannot be found")]
    ReplayToNoApp { source_app: String, target: String },
    #[error(
        "app `{source_app}` used `fly-replay` to target app `{target}`, which belongs to another \
         organization"
    )]
    ReplayToForeignApp { source_app: String, target: String },
}

impl Trouble {
    /// Something that is about no machine.
    pub(super) fn of_app(cause: Cause) -> Self {
        Self { cause, machine: None }
    }

    pub(super) fn of_machine(machine: &str, cause: Cause) -> Self {
        Self { cause, machine: Some(machine.to_owned()) }
    }

    /// What a failure to get an answer over a connection is.
    pub(super) fn of_connection(instance: &Instance, error: &SendError) -> Self {
        let port = instance.connections().port();
        let not_connected = |code| Cause::NotConnected { code, port, error: error.to_string() };
        let cause = match error {
            SendError::Connect(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => {
                Cause::ConnectionRefused { port }
            }
            SendError::Connect(cause) => not_connected(code_of(cause.kind())),
            SendError::Closed | SendError::Unsent(_) => not_connected("PC04"),
            SendError::Broken(_) => Cause::Broken { error: error.to_string() },
        };
        Self::of_machine(&instance.machine, cause)
    }

    /// Fly's code.
    pub(super) fn code(&self) -> &'static str {
        match &self.cause {
            Cause::NoMachine { .. } | Cause::NotOffered { .. } => "PR01",
            Cause::MachineMissing { .. } => "PR02",
            Cause::NoCandidate { .. } => "PR03",
            Cause::Crowded { .. } => "PR04",
            Cause::ConnectionRefused { .. } => "PC01",
            Cause::NotConnected { code, .. } => code,
            Cause::NotStarted(Obstacle::Api(_)) => "PM01",
            Cause::NotAwake { .. } => "PM03",
            Cause::StartedInVain { .. } => "PM05",
            Cause::NotStarted(Obstacle::State(_)) => "PM07",
            Cause::NotStarted(Obstacle::NotStartable(_)) => "PM08",
            Cause::StartCancelled => "PM10",
            Cause::Broken { .. } | Cause::NoAnswer { .. } => "PU02",
            Cause::ConnectionsFull { .. } => "PL01",
            Cause::RequestsFull { .. } => "PL02",
            Cause::TooLargeForRetry | Cause::TooLargeForReplay => "PA01",
            Cause::ReplayedTooOften | Cause::FallbackReplayed => "PA02",
            Cause::BadReplay { .. } => "PA03",
            Cause::ReplayToNoApp { .. } => "PA04",
            Cause::ReplayToForeignApp { .. } => "PA05",
        }
    }

    /// One line, with the code.
    pub(super) fn text(&self) -> String {
        format!("[{}] {}", self.code(), self.cause)
    }

    /// What the client is told.
    pub(super) fn answer(&self) -> String {
        let about = self.machine.as_ref().map(|machine| format!(" (machine `{machine}`)"));
        let hint = self.cause.hint().map(|hint| format!("\nhint: {hint}"));
        [self.text(), about.unwrap_or_default(), hint.unwrap_or_default()].concat()
    }

    /// 502 where a machine or what it asked for failed, 503 where there was none, 504 where it said
    /// nothing.
    pub(super) fn status(&self) -> StatusCode {
        match &self.cause {
            Cause::NoCandidate { last, .. } => last.status(),
            Cause::NoAnswer { .. } => StatusCode::GATEWAY_TIMEOUT,
            Cause::NoMachine { .. }
            | Cause::NotOffered { .. }
            | Cause::MachineMissing { .. }
            | Cause::Crowded { .. }
            | Cause::NotAwake { .. }
            | Cause::NotStarted(_)
            | Cause::StartCancelled
            | Cause::ConnectionsFull { .. }
            | Cause::RequestsFull { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Cause::ConnectionRefused { .. }
            | Cause::NotConnected { .. }
            | Cause::StartedInVain { .. }
            | Cause::Broken { .. }
            | Cause::TooLargeForRetry
            | Cause::TooLargeForReplay
            | Cause::ReplayedTooOften
            | Cause::FallbackReplayed
            | Cause::BadReplay { .. }
            | Cause::ReplayToNoApp { .. }
            | Cause::ReplayToForeignApp { .. } => StatusCode::BAD_GATEWAY,
        }
    }
}

impl Cause {
    fn hint(&self) -> Option<&'static str> {
        let last = if let Self::NoCandidate { last, .. } = self { &last.cause } else { self };
        if matches!(last, Self::ConnectionRefused { .. } | Self::StartedInVain { .. }) {
            Some("let the program listen on the port that its environment names as `PORT`")
        } else if matches!(last, Self::ConnectionsFull { .. } | Self::RequestsFull { .. }) {
            Some("raise `hard_limit`, or add machines")
        } else if matches!(last, Self::NotOffered { external: 443, .. }) {
            Some("give a service a port 443 with the handlers `tls` and `http`")
        } else if matches!(last, Self::NotOffered { .. }) {
            Some("give a service a port 80 with the handler `http`")
        } else if matches!(last, Self::NoMachine { .. } | Self::NotStarted(_)) {
            Some("`holdpoint logs APP` tells what became of its machines")
        } else {
            None
        }
    }
}

fn code_of(kind: io::ErrorKind) -> &'static str {
    let codes = [
        (io::ErrorKind::ConnectionReset, "PC03"),
        (io::ErrorKind::ConnectionAborted, "PC04"),
        (io::ErrorKind::TimedOut, "PC05"),
    ];
    codes.iter().find(|(known, _)| *known == kind).map_or("PC06", |(_, code)| code)
}
