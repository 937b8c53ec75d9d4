//! `holdpoint up`: serves a platform on this computer until it is told to stop, and writes down
//! where it is so that the other verbs find it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use platform_local::{Platform as LocalPlatform, Runtime, Settings as PlatformSettings, TlsPlace};
use rand::RngExt;

use crate::adapter::build::BuildPlace;
use crate::adapter::platform::{Platform, PlatformAddress};
use crate::cli::arguments::{MachineRuntime, Shared, Up};
use crate::cli::fly_environment;
use crate::daemon::StopSignals;
use crate::exit_code::ExitCode;
use crate::images;
use crate::message::{self, Problem};
use crate::project_file;
use crate::settings::{ADDRESS_FILE, AddressFile, Settings};

/// The folder of the platform's own files, inside the state directory.
const PLATFORM_FOLDER: &str = "platform";

/// The token's file, inside the state directory.
const TOKEN_FILE: &str = "platform-token";

/// How many random bytes a token has: more than anybody can guess.
const TOKEN_BYTES: usize = 32;

/// Only the user who started the platform may know its token.
const OWNER_ONLY: u32 = 0o600;

pub(super) async fn up(shared: &Shared, up: &Up) -> Result<ExitCode, Problem> {
    // a state directory is enough: a platform needs no project
    let state_dir = match &shared.state_dir {
        Some(state_dir) => state_dir.clone(),
        None => Settings::resolve(shared)?.state_dir,
    };
    let mut stop = StopSignals::listen()?;
    let state_dir = made(&state_dir)?;
    let (token_file, token) = token(&state_dir)?;
    let settings = PlatformSettings {
        api_listen: up.listen,
        proxy_listen: up.proxy_listen,
        tls_listen: up.tls_listen,
        allow_faults: up.allow_faults,
        runtime: match up.machines.runtime {
            MachineRuntime::Process => Runtime::Process,
            MachineRuntime::Container => Runtime::Container,
        },
        // another kind of address is told as a socket where no engine answers
        engine_socket: up
            .machines
            .engine
            .as_deref()
            .map(|address| PathBuf::from(address.strip_prefix("unix://").unwrap_or(address))),
        rate_limits: up.rate_limits,
        ..PlatformSettings::new(state_dir.join(PLATFORM_FOLDER), token.clone())
    };
    let local = LocalPlatform::start(settings)
        .await
        .map_err(|error| Problem::from(error).exit(ExitCode::Refused))?;
    let address = AddressFile {
        api: format!("http://{}", local.api_address()),
        // the verbs come to ask a service, and are not to be sent to its TLS
        proxy: format!("http://{}", local.private_address()),
        token_file: token_file.clone(),
    };
    // whoever finds the address finds the apps too
    let platform_address = PlatformAddress::local(&address.api, &address.proxy, &token);
    if let Err(problem) = create_apps(shared, &platform_address).await {
        // the platform serves all the same; the release will say it again
        message::tell(&problem.text());
    }
    let address_file = state_dir.join(ADDRESS_FILE);
    fs::write(&address_file, serde_json::to_vec_pretty(&address)?).map_err(|error| {
        let sentence =
            format!("cannot write the platform's address to `{}`", address_file.display());
        Problem::because(ExitCode::Unexpected, sentence, &error)
            .hint("check that the state directory may be written")
    })?;
    let environment_file = fly_environment::write(&state_dir, &address)?;
    message::print(&format!(
        "platform  {}\nproxy     {} serves each app as `<app>.localhost`\n{}token     in {}\n\
         limits    {}\n\
         fly       `. {}` points Fly's own client here\n\
         use it with `holdpoint release VERSION --state-dir {}`; Ctrl-C stops it\n",
        address.api,
        format_args!("http://{}", local.proxy_address()),
        local.tls().map(tls_line).unwrap_or_default(),
        token_file.display(),
        local.limits(),
        environment_file.display(),
        state_dir.display()
    ));
    tokio::select! {
        _ = stop.next() => {}
        () = end_of_input(), if up.attached => {}
    }
    local.stop(up.stop_machines || up.attached).await;
    if let Err(error) = fs::remove_file(&address_file) {
        tracing::debug!(%error, "the address file was gone already");
    }
    Ok(ExitCode::Done)
}

/// What people must know who want to reach an app by TLS.
fn tls_line(tls: &TlsPlace) -> String {
    let (port, ca_file) = (tls.address.port(), tls.ca_file.display());
    format!("tls       https://<app>.localhost:{port} for clients that trust {ca_file}\n")
}

/// Makes the apps of the project that is here, if one is: a platform on this computer has none
/// unless somebody makes them.
async fn create_apps(shared: &Shared, address: &PlatformAddress) -> Result<(), Problem> {
    let Ok(settings) = Settings::resolve(shared) else {
        return Ok(());
    };
    let project = project_file::load(&settings.project_file)?;
    let place =
        BuildPlace { project_root: settings.project_dir(), state_dir: settings.state_dir.clone() };
    let platform = Platform::new(address)?;
    for app in images::create_missing_apps(&place, &project, &platform).await? {
        message::print(&format!("app       {app} created\n"));
    }
    Ok(())
}

fn made(state_dir: &Path) -> Result<PathBuf, Problem> {
    let made = fs::create_dir_all(state_dir).and_then(|()| state_dir.canonicalize());
    made.map_err(|error| {
        let sentence = format!("cannot use the state directory `{}`", state_dir.display());
        Problem::because(ExitCode::Refused, sentence, &error)
            .hint("choose another with `--state-dir`")
    })
}

/// The platform's token: the one of before, so that clients that know it go on.
fn token(state_dir: &Path) -> Result<(PathBuf, String), Problem> {
    let path = state_dir.join(TOKEN_FILE);
    if let Ok(token) = fs::read_to_string(&path)
        && !token.trim().is_empty()
    {
        return Ok((path, token.trim().to_owned()));
    }
    let token = hex::encode(rand::rng().random::<[u8; TOKEN_BYTES]>());
    let mut options = fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(OWNER_ONLY).open(&path);
    opened.and_then(|mut file| file.write_all(token.as_bytes())).map_err(|error| {
        let sentence = format!("cannot write the platform's token to `{}`", path.display());
        Problem::because(ExitCode::Refused, sentence, &error)
            .hint("check that the state directory may be written")
    })?;
    Ok((path, token))
}

/// Waits until whoever holds the other end of standard input is gone. The thread that reads is
/// left to the end of the process: nothing can wake it.
async fn end_of_input() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let read = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        tracing::debug!(?read, "standard input has ended");
        // nobody waits any more when the platform was stopped by a signal
        if ended.send(()).is_err() {
            tracing::debug!("the platform is stopping already");
        }
    });
    if end.await.is_err() {
        tracing::warn!("standard input can't be watched");
    }
}
