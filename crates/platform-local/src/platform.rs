//! Starts a platform and stops it: takes hold of the state directory, listens, brings the fleet
//! back to life, serves.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use oci_image::layout::Layout;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    api, clock,
    error::StartError,
    fault::{self, Faults},
    fleet::{Context, Fleet, UnpackedImages},
    identity, log,
    metrics::Metrics,
    proxy::{Listeners, Proxy, Routes, TlsListener},
    settings::Settings,
    store::Store,
    supervisor::{Limiter, PortPool},
    tls::{self, Authority},
};

/// So long requests to the API may finish when the platform stops; waits are broken off.
const API_FINISH_MAX: Duration = Duration::from_secs(5);

/// A platform that is killed while it starts a program leaves the state directory held till that
/// program runs: so often it is tried to take hold of it, with this pause.
const HOLD_TRIES: u32 = 20;
const HOLD_PAUSE: Duration = Duration::from_millis(50);

/// A platform that serves. Dropped without [`Platform::stop`], it serves until its runtime ends.
#[derive(Debug)]
pub struct Platform {
    fleet: Fleet,
    proxy: Proxy,
    api: JoinHandle<()>,
    api_stop: CancellationToken,
    api_address: SocketAddr,
    proxy_address: SocketAddr,
    private_address: SocketAddr,
    tls: Option<TlsPlace>,
    limits: String,
    /// Held until the platform has ended.
    _lock: File,
}

/// Where the apps are served by TLS, and what clients must trust there.
#[derive(Debug, Clone)]
pub struct TlsPlace {
    /// Where the proxy's TLS port is.
    pub address: SocketAddr,
    /// The certificate of the platform's own authority, as PEM.
    pub ca_file: PathBuf,
}

impl Platform {
    /// Starts a platform. Machines that an earlier one left running are taken over; those that
    /// ended meanwhile follow their restart policy.
    pub async fn start(mut settings: Settings) -> Result<Self, StartError> {
        if settings.token.trim().is_empty() {
            return Err(StartError::EmptyToken);
        }
        let (state, lock) = hold(&settings.state_dir).await?;
        // Machines run in other directories: every path must hold there too.
        settings.state_dir.clone_from(&state);
        let store = open_store(&state).await?;
        let (api_listener, api_address) =
            listen(&store, "API", "api_port", settings.api_listen).await?;
        let (proxy_listener, proxy_address) =
            listen(&store, "proxy", "proxy_port", settings.proxy_listen).await?;
        let platform_id = identify(&store).await?;
        let tls = listen_secretly(&store, &settings, &platform_id).await?;
        let (tls_listener, tls) = tls.unzip();
        let private = if tls.is_some() { Some(listen_privately(&store).await?) } else { None };
        let (private_listener, private_address) = private.unzip();
        let private_address = private_address.unwrap_or(proxy_address);
        fault::clear_leftovers(&state);
        let faults = Faults::open(store.clone(), settings.allow_faults).await?;
        let context = Context {
            images: Layout::open(state.join("images"))?,
            unpacked: UnpackedImages::begin(state.join("unpacked")),
            store,
            routes: Routes::new(),
            metrics: Metrics::default(),
            faults,
            logs: log::AppLogs::default(),
            ports: PortPool::new(),
            limiter: Limiter::find(&platform_id),
            platform_id,
            proxy_port: proxy_address.port(),
            private_port: private_address.port(),
            stop: CancellationToken::new(),
            apps: std::sync::RwLock::default(),
            settings,
        };
        let limits = context.limiter.description();
        let fleet = Fleet::open(context).await?;
        fleet.spawn(log::collect(fleet.clone()));
        let listeners = Listeners {
            plain: proxy_listener,
            plain_port: proxy_address.port(),
            private: private_listener,
            tls: tls_listener,
        };
        let proxy = Proxy::serve(listeners, fleet.clone())
            .map_err(|source| StartError::Workers { source })?;
        let api_stop = CancellationToken::new();
        let router = api::router(fleet.clone());
        let pause_max = Duration::from_millis(fleet.context.settings.api_pause_max_ms);
        let api = tokio::spawn(api::serve(api_listener, router, pause_max, api_stop.clone()));
        tracing::info!(%api_address, %proxy_address, limits, "the platform serves");
        Ok(Self {
            fleet,
            proxy,
            api,
            api_stop,
            api_address,
            proxy_address,
            private_address,
            tls,
            limits,
            _lock: lock,
        })
    }

    /// Where the Machines API, the registry and the metrics are served.
    pub fn api_address(&self) -> SocketAddr {
        self.api_address
    }

    /// Where the apps are served.
    pub fn proxy_address(&self) -> SocketAddr {
        self.proxy_address
    }

    /// Where this computer's own programs reach the apps, which need no TLS here whatever an app
    /// says.
    pub fn private_address(&self) -> SocketAddr {
        self.private_address
    }

    /// Where the apps are served by TLS, if they are.
    pub fn tls(&self) -> Option<&TlsPlace> {
        self.tls.as_ref()
    }

    /// How machines are held to their memory and processor time on this computer.
    pub fn limits(&self) -> &str {
        &self.limits
    }

    /// Ends the platform: requests that are there finish first. The machines run on, to be taken
    /// over at the next start, unless `stop_machines` says to stop them.
    pub async fn stop(self, stop_machines: bool) {
        self.api_stop.cancel();
        let mut api = self.api;
        if tokio::time::timeout(API_FINISH_MAX, &mut api).await.is_err() {
            api.abort();
        }
        self.proxy.stop().await;
        if stop_machines {
            self.fleet.stop_machines().await;
        }
        self.fleet.close().await;
    }
}

/// Listens for TLS, if that is wanted, with an authority that is made on first use.
async fn listen_secretly(
    store: &Store,
    settings: &Settings,
    platform_id: &str,
) -> Result<Option<(TlsListener, TlsPlace)>, StartError> {
    let Some(wanted) = settings.tls_listen else { return Ok(None) };
    let authority = Authority::open(&settings.state_dir.join("tls"), platform_id, clock::now())?;
    let ca_file = authority.certificate_file().to_owned();
    let config = tls::server_config(authority)?;
    let (listener, address) = listen(store, "TLS port", "tls_port", wanted).await?;
    let listener = TlsListener { listener, port: address.port(), config };
    Ok(Some((listener, TlsPlace { address, ca_file })))
}

/// The id of the state directory, which is made with it.
async fn identify(store: &Store) -> Result<String, StartError> {
    if let Some(id) = store.meta("platform_id").await? {
        return Ok(id);
    }
    let id = identity::version();
    store.set_meta("platform_id", &id).await?;
    Ok(id)
}

/// Takes hold of the state directory for this process alone.
async fn hold(state: &Path) -> Result<(PathBuf, File), StartError> {
    let failed = |operation| state_error(operation, state);
    let is_new = !state.exists();
    fs::create_dir_all(state).map_err(failed("create"))?;
    if is_new {
        let only_owner = fs::Permissions::from_mode(0o700);
        fs::set_permissions(state, only_owner).map_err(failed("protect"))?;
    }
    let state = &state.canonicalize().map_err(failed("find"))?;
    let path = state.join("platform.lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed("write to"))?;
    let mut tries = 0;
    let locked = loop {
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) if tries < HOLD_TRIES => tries += 1,
            locked => break locked,
        }
        clock::pause(HOLD_PAUSE).await;
    };
    match locked {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            if file.read_to_string(&mut holder).is_err() {
                holder.clear();
            }
            let holder = holder.trim();
            let holder =
                if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
            return Err(StartError::Held { path: state.to_owned(), holder });
        }
        Err(fs::TryLockError::Error(error)) => return Err(failed("lock")(error)),
    }
    file.set_len(0).map_err(failed("write to"))?;
    file.rewind().map_err(failed("write to"))?;
    writeln!(file, "{}", std::process::id()).map_err(failed("write to"))?;
    Ok((state.clone(), file))
}

/// Opens the store, whose file only its owner may read: it holds secrets.
async fn open_store(state: &Path) -> Result<Store, StartError> {
    let path = state.join("platform.sqlite");
    let file = File::options().append(true).create(true).open(&path);
    let file = file.map_err(state_error("write to", state))?;
    let only_owner = fs::Permissions::from_mode(0o600);
    file.set_permissions(only_owner).map_err(state_error("protect", state))?;
    drop(file);
    Ok(Store::open(&path).await?)
}

fn state_error(
    operation: &'static str,
    state: &Path,
) -> impl FnOnce(io::Error) -> StartError + use<> {
    let path = state.to_owned();
    move |source| StartError::StateDirectory { operation, path, source }
}

/// Listens for the machines alone.
async fn listen_privately(store: &Store) -> Result<(TcpListener, SocketAddr), StartError> {
    listen(store, "private port", "private_port", (Ipv4Addr::LOCALHOST, 0).into()).await
}

/// Listens. With port 0 the port of the last run is tried first: machines that still run know it.
async fn listen(
    store: &Store,
    purpose: &'static str,
    key: &str,
    wanted: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let last: Option<u16> = store.meta(key).await?.and_then(|port| port.parse().ok());
    let mut bound = None;
    if let Some(port) = last.filter(|_| wanted.port() == 0) {
        bound = TcpListener::bind(SocketAddr::new(wanted.ip(), port)).await.ok();
    }
    let listener = match bound {
        Some(listener) => listener,
        None => TcpListener::bind(wanted).await.map_err(|source| {
            if source.kind() == io::ErrorKind::AddrInUse {
                StartError::PortTaken { purpose, address: wanted }
            } else {
                StartError::Listen { purpose, address: wanted, source }
            }
        })?,
    };
    let address = listener.local_addr().map_err(|source| StartError::Listen {
        purpose,
        address: wanted,
        source,
    })?;
    if last != Some(address.port()) {
        store.set_meta(key, &address.port().to_string()).await?;
    }
    Ok((listener, address))
}
