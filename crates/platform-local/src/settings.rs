//! What a platform is started with. Nothing is read from the environment here.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

/// In what a machine's program runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// A process of this computer.
    #[default]
    Process,
    /// A container of the engine that is on this computer.
    Container,
}

/// How to run a platform. [`Settings::new`] gives the values that people usually want.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where everything is kept that must survive: machines, images, volumes, logs.
    pub state_dir: PathBuf,
    /// Address of the Machines API, the image registry and the metrics. Port 0 takes the port of
    /// the last run, or a free one.
    pub api_listen: SocketAddr,
    /// Address of the reverse proxy; port 0 as above.
    pub proxy_listen: SocketAddr,
    /// Address of the reverse proxy's TLS port; port 0 as above. Without it there is none.
    pub tls_listen: Option<SocketAddr>,
    /// The token that API clients must send.
    pub token: String,
    /// Whether `/admin/faults` is served, by which answers of machines can be broken on purpose.
    pub allow_faults: bool,
    /// Whether calls of the API that come more often than Fly allows are answered 429.
    pub rate_limits: bool,
    /// Milliseconds for which the head of a request to the API, or the next piece of its body, may
    /// be waited for. An idle connection is kept no longer than that.
    pub api_pause_max_ms: u64,
    /// Seconds without a request after which a machine with `autostop` is stopped.
    pub idle_stop_secs: u64,
    /// Milliseconds between two looks for idle machines; each look stops at most one per app and
    /// region.
    pub idle_look_ms: u64,
    /// Milliseconds after its stop for which a machine is not started if another one can serve.
    pub recently_stopped_ms: u64,
    /// Milliseconds for which a request waits for a machine to become ready.
    pub hold_ms: u64,
    /// Milliseconds in which the headers of a client's request must arrive.
    pub head_read_ms: u64,
    /// Milliseconds for which a client may pause in the middle of a request's body.
    pub body_silence_ms: u64,
    /// Connections that clients at one address may have at once.
    pub connections_per_address: usize,
    /// The region of machines whose config names none, and of the proxy.
    pub region: String,
    /// Whether a shared CPU gives no more than the baseline that Fly documents, a sixteenth of a
    /// CPU. Otherwise it gives a whole one.
    pub shared_cpu_baseline: bool,
    /// In what machines run whose config doesn't say.
    pub runtime: Runtime,
    /// The socket of the container engine; without one the usual places are tried.
    pub engine_socket: Option<PathBuf>,
}

impl Settings {
    /// A platform on free ports of the loopback interface.
    pub fn new(state_dir: impl Into<PathBuf>, token: impl Into<String>) -> Self {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            state_dir: state_dir.into(),
            api_listen: loopback,
            proxy_listen: loopback,
            tls_listen: None,
            token: token.into(),
            allow_faults: false,
            rate_limits: false,
            api_pause_max_ms: 30_000,
            // Fly looks every few minutes; with this a machine stops within 5 minutes of idleness.
            idle_stop_secs: 240,
            idle_look_ms: 10_000,
            // Fly's threshold.
            recently_stopped_ms: 300_000,
            // Fly publishes no limit; a browser's user waits no longer than this.
            hold_ms: 30_000,
            // What common servers allow: enough for a bad line, too little to be held up by many.
            head_read_ms: 15_000,
            body_silence_ms: 60_000,
            // On one computer all clients share one address.
            connections_per_address: 2048,
            region: "local".to_owned(),
            shared_cpu_baseline: false,
            runtime: Runtime::Process,
            engine_socket: None,
        }
    }

    /// The region of something that was asked for in this one, or in one of a list: machines are
    /// all here, but are told apart as their clients wish.
    pub(crate) fn region_of(&self, wanted: Option<&str>) -> String {
        let is_code = |code: &str| code.len() == 3 && code.bytes().all(|b| b.is_ascii_lowercase());
        let first =
            wanted.and_then(|wanted| wanted.split(',').map(str::trim).find(|it| is_code(it)));
        first.unwrap_or(&self.region).to_owned()
    }
}
