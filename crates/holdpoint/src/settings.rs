//! Where things are and who acts: flags, environment and files, resolved once. No other module
//! reads the environment.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::adapter::platform::PlatformAddress;
use crate::cli::arguments::{Platform, Shared};
use crate::exit_code::ExitCode;
use crate::message::Problem;

/// The project file's name.
pub const PROJECT_FILE: &str = "holdpoint.toml";

/// Where a local platform writes its addresses, inside the state directory.
pub const ADDRESS_FILE: &str = "platform.json";

/// Fly's public address of the Machines API.
const FLY_API_URL: &str = "https://api.machines.dev";

/// Fly's image registry.
const FLY_REGISTRY_URL: &str = "https://registry.fly.io";

/// Where Fly serves log lines.
const FLY_LOG_URL: &str = "https://api.fly.io";

/// Where the metrics of an organisation are, in its name's place the one of a single person.
const FLY_METRICS_URL: &str = "https://api.fly.io/prometheus/personal/federate";

/// What every verb needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The project's file.
    pub project_file: PathBuf,
    /// The journal, the images, the lock and the socket.
    pub state_dir: PathBuf,
    /// The name of the person who acts.
    pub actor: String,
}

/// What a local platform writes down so that verbs find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressFile {
    /// The Machines API's URL.
    pub api: String,
    /// The proxy's URL.
    pub proxy: String,
    /// The file that holds the token.
    pub token_file: PathBuf,
}

impl Settings {
    /// Settings from the shared flags.
    ///
    /// # Errors
    /// When no project file is found.
    pub fn resolve(shared: &Shared) -> Result<Self, Problem> {
        let project_file = match &shared.project {
            Some(path) if path.is_dir() => path.join(PROJECT_FILE),
            Some(path) => path.clone(),
            None => search_upwards()?,
        };
        let state_dir = shared
            .state_dir
            .clone()
            .unwrap_or_else(|| directory_of(&project_file).join(".holdpoint"));
        Ok(Self { project_file, state_dir, actor: actor(shared) })
    }

    /// The folder that the project's paths are relative to.
    pub fn project_dir(&self) -> PathBuf {
        directory_of(&self.project_file)
    }

    /// The socket on which a running conductor listens.
    pub fn socket(&self) -> PathBuf {
        self.state_dir.join("holdpoint.sock")
    }

    /// How to reach the platform that the flags and the environment name.
    ///
    /// # Errors
    /// When they name none, or the local platform's address file can't be read.
    pub fn platform(&self, flags: &Platform) -> Result<PlatformAddress, Problem> {
        let token = flags.token.as_ref().filter(|_| !flags.local);
        let Some(token) = token else {
            return self.local_platform();
        };
        let api_url = flags.api_url.as_deref().unwrap_or(FLY_API_URL);
        let metrics_url = flags.metrics_url.as_deref();
        if flags.api_url.is_some() && flags.proxy_url.is_some() {
            // a platform behind one proxy serves its registry and metrics beside its API
            let api_url = api_url.trim_end_matches('/');
            let beside = format!("{api_url}/metrics");
            let metrics_url = metrics_url.unwrap_or(&beside);
            let proxy_url = flags.proxy_url.as_deref();
            return Ok(PlatformAddress::new(api_url, api_url, metrics_url, proxy_url, token));
        }
        let address = PlatformAddress::new(
            api_url,
            FLY_REGISTRY_URL,
            metrics_url.unwrap_or(FLY_METRICS_URL),
            flags.proxy_url.as_deref(),
            token,
        );
        // another Machines API serves its logs beside it; Fly has two hosts
        Ok(if flags.api_url.is_some() { address } else { address.with_logs_at(FLY_LOG_URL) })
    }

    /// How to reach the platform that `holdpoint up` serves with this state directory.
    ///
    /// # Errors
    /// When its address file is missing or can't be read.
    pub fn local_platform(&self) -> Result<PlatformAddress, Problem> {
        let path = self.state_dir.join(ADDRESS_FILE);
        let text = fs::read_to_string(&path).map_err(|error| {
            let none = Problem::new(ExitCode::Usage, "no platform is chosen");
            let none = if error.kind() == io::ErrorKind::NotFound {
                none.cause(format!(
                    "`FLY_API_TOKEN` is not set, and no platform on this computer has left its \
                     address in `{}`",
                    path.display()
                ))
            } else {
                none.cause(format!("`{}` can't be read: {error}", path.display()))
            };
            none.hint("start one on this computer with `holdpoint up`")
                .hint("or set `FLY_API_TOKEN` to use Fly.io")
        })?;
        let address: AddressFile = serde_json::from_str(&text).map_err(|error| {
            let sentence = format!("cannot read the platform's address in `{}`", path.display());
            Problem::because(ExitCode::Unexpected, sentence, &error)
                .hint("stop the platform and start it again with `holdpoint up`")
        })?;
        let token = fs::read_to_string(&address.token_file).map_err(|error| {
            let file = address.token_file.display();
            Problem::because(
                ExitCode::Unexpected,
                format!("cannot read the token in `{file}`"),
                &error,
            )
        })?;
        Ok(PlatformAddress::local(&address.api, &address.proxy, token.trim()))
    }
}

/// The project file of this folder or of the nearest one above it.
fn search_upwards() -> Result<PathBuf, Problem> {
    let here = std::env::current_dir().map_err(|error| {
        Problem::because(ExitCode::Unexpected, "cannot tell which folder this is", &error)
    })?;
    let found =
        here.ancestors().map(|folder| folder.join(PROJECT_FILE)).find(|file| file.is_file());
    found.ok_or_else(|| {
        Problem::new(ExitCode::Usage, format!("no `{PROJECT_FILE}` is here or in a folder above"))
            .cause(format!("searched from `{}`", here.display()))
            .hint("name it with `--project PATH`")
    })
}

fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        Some(_) | None => PathBuf::from("."),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
fn actor(shared: &Shared) -> String {
    let named = shared.acting_as.clone().filter(|name| !name.is_empty());
    named.or_else(|| std::env::var("USER").ok()).unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(state_dir: &Path) -> Settings {
        Settings {
            project_file: PathBuf::from("holdpoint.toml"),
            state_dir: state_dir.to_path_buf(),
            actor: "ada".to_owned(),
        }
    }

    #[test]
    fn a_token_means_fly_and_none_means_the_local_platform() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let token_file = folder.path().join("token");
        fs::write(&token_file, "local-token\n").expect("the token is written");
        let address = AddressFile {
            api: "http://127.0.0.1:1".to_owned(),
            proxy: "http://127.0.0.1:2/".to_owned(),
            token_file,
        };
        let text = serde_json::to_string(&address).expect("the address is JSON");
        fs::write(folder.path().join(ADDRESS_FILE), text).expect("the address is written");
        let settings = settings(folder.path());

        let flags = Platform { token: Some("fly-token".to_owned()), ..Platform::default() };
        let fly = settings.platform(&flags).expect("Fly is chosen");
        assert_eq!((fly.api_base_url.as_str(), fly.proxy_url.as_deref()), (FLY_API_URL, None));

        let local = settings.platform(&Platform { local: true, ..flags }).expect("it is there");
        assert_eq!(local.token(), "local-token");
        assert!(local.proxy_url.is_some_and(|url| url.starts_with("http://127.0.0.1:2")));
    }

    #[test]
    fn without_any_platform_both_ways_to_one_are_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let problem = settings(folder.path()).platform(&Platform::default()).expect_err("none");
        assert_eq!(problem.exit, ExitCode::Usage);
        assert_eq!(problem.hints.len(), 2);
    }
}
