//! Looks at the platform and at the apps' files, and gathers the facts from which a plan is made.
//! It asks for no secret's value and changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use futures::future::try_join_all;
use holdpoint_core::id::{AppName, Environment, ImageDigest, InstanceId, MachineId, ServiceName};
use holdpoint_core::observation::{ObservedMachine, ServiceFacts};
use holdpoint_core::project::{Placement, Project, Service};
use machines_api::error::ApiError;
use machines_api::fly_toml::{self, Diagnostic, FlyConfig};
use machines_api::types::{Machine, MachineState};
use serde_json::Value;
use thiserror::Error;

use super::Platform;

/// The metadata key by which Fly tells an app's groups of machines apart.
const GROUP_KEY: &str = "fly_process_group";

/// An app's `fly.toml`, read.
#[derive(Clone, Debug)]
pub struct AppFile {
    /// The file.
    pub path: PathBuf,
    /// The app that it names.
    pub app: AppName,
    /// What it asks for.
    pub config: FlyConfig,
}

/// Why an app's `fly.toml` can't be used.
#[derive(Debug, Error)]
pub enum AppFileError {
    /// It can't be read.
    #[error(
        "could not read `{path}`: {source}\nhint: check `config` of the service in `holdpoint.toml`"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is wrong.
    #[error("{path}:{}", listed(problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Its text, for excerpts.
        text: String,
        /// What is wrong with it; at least one.
        problems: Vec<Diagnostic>,
    },
    /// It names no app.
    #[error("`{path}` names no app\nhint: add `app = \"NAME\"` to it")]
    NoApp {
        /// The file.
        path: PathBuf,
    },
}

/// Why the facts could not be gathered.
#[derive(Debug, Error)]
pub enum ObserveError {
    /// An app's file can't be used.
    #[error(transparent)]
    AppFile(#[from] AppFileError),
    /// The platform has no such app.
    #[error(
        "the platform has no app `{app}` for {environment}\nhint: create it with `fly apps create {app}`"
    )]
    NoApp {
        /// The app.
        app: AppName,
        /// Its environment.
        environment: Environment,
    },
    /// The platform could not be asked.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The platform does not show a machine's config.
    #[error(
        "the platform does not show the whole config of machine `{machine}` of app `{app}`, so it could not be put back\nhint: wait until its host answers again, then repeat"
    )]
    HiddenConfig {
        /// The machine.
        machine: String,
        /// Its app.
        app: AppName,
    },
    /// A machine's config can't be written as JSON.
    #[error("the config of app `{app}` can't be written as JSON: {message}")]
    Config {
        /// The app.
        app: AppName,
        /// What is wrong.
        message: String,
    },
    /// There is no image for a service.
    #[error(
        "no image of service `{service}` was built\nhint: build it before the release is planned"
    )]
    NoImage {
        /// The service.
        service: String,
    },
}

/// Reads the `fly.toml` of one service in one environment.
pub fn app_file(project_root: &Path, placement: &Placement) -> Result<AppFile, AppFileError> {
    let path = project_root.join(&placement.config);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(AppFileError::Read { path, source }),
    };
    let config = match fly_toml::parse(&text) {
        Ok(config) => config,
        Err(problems) => return Err(AppFileError::Invalid { path, text, problems }),
    };
    match config.app.clone().filter(|app| !app.is_empty()) {
        Some(app) => Ok(AppFile { path, app: AppName::new(app), config }),
        None => Err(AppFileError::NoApp { path }),
    }
}

/// The paths of the health checks that the apps' files name, for whoever probes health.
pub fn health_paths(
    project: &Project,
    project_root: &Path,
) -> Result<BTreeMap<AppName, String>, AppFileError> {
    let mut paths = BTreeMap::new();
    for service in &project.services {
        for environment in [Environment::Staging, Environment::Production] {
            let file = app_file(project_root, service.placement(environment))?;
            if let Some(path) = file.config.health_check_path() {
                paths.insert(file.app, path.to_owned());
            }
        }
    }
    Ok(paths)
}

impl Platform {
    /// The facts about every service in every environment. `images` are the images to be
    /// released, by service; they must have been pushed.
    pub async fn observe(
        &self,
        project: &Project,
        project_root: &Path,
        images: &BTreeMap<ServiceName, ImageDigest>,
    ) -> Result<Vec<ServiceFacts>, ObserveError> {
        let mut looks = Vec::new();
        for environment in [Environment::Staging, Environment::Production] {
            for service in &project.services {
                looks.push(self.observe_one(project_root, service, environment, images));
            }
        }
        try_join_all(looks).await
    }

    async fn observe_one(
        &self,
        project_root: &Path,
        service: &Service,
        environment: Environment,
        images: &BTreeMap<ServiceName, ImageDigest>,
    ) -> Result<ServiceFacts, ObserveError> {
        let placement = service.placement(environment);
        let AppFile { app, config: file, .. } = app_file(project_root, placement)?;
        let name = ServiceName::new(&service.name);
        let image_digest = images
            .get(&name)
            .cloned()
            .ok_or_else(|| ObserveError::NoImage { service: service.name.clone() })?;
        let config = json_config(&app, &file)?;
        let group = config.pointer(&format!("/metadata/{GROUP_KEY}")).and_then(Value::as_str);
        let machines = match self.client.list_machines(app.as_str()).await {
            Ok(machines) => machines,
            Err(error) if error.is_not_found() => {
                return Err(ObserveError::NoApp { app, environment });
            }
            Err(error) => return Err(error.into()),
        };
        let mut observed = Vec::new();
        for machine in machines.iter().filter(|machine| is_of_group(machine, group)) {
            observed.push(observe_machine(&app, machine)?);
        }
        // Plans must not depend on the order in which the platform answers.
        observed.sort_by(|left, right| left.id.cmp(&right.id));
        let secrets_version = self.secrets_version(&app).await?;
        Ok(ServiceFacts {
            service: name,
            environment,
            region: file.primary_region.clone().unwrap_or_default(),
            machines_wanted: placement.machines,
            image_reference: self.address.image_reference(app.as_str(), image_digest.as_str()),
            config,
            image_digest,
            secrets_version,
            machines: observed,
            app,
        })
    }
}

/// The config that the app's file asks for, without an image.
fn json_config(app: &AppName, file: &FlyConfig) -> Result<Value, ObserveError> {
    let mut config = serde_json::to_value(file.machine_config(""))
        .map_err(|error| ObserveError::Config { app: app.clone(), message: error.to_string() })?;
    if let Some(fields) = config.as_object_mut() {
        fields.remove("image");
    }
    Ok(config)
}

/// Machines of other groups (release commands, consoles) and those that are gone are not ours.
fn is_of_group(machine: &Machine, group: Option<&str>) -> bool {
    if matches!(machine.state, MachineState::Destroyed | MachineState::Destroying) {
        return false;
    }
    let config = machine.config.as_ref().or(machine.incomplete_config.as_ref());
    let own = config.and_then(|config| config.metadata.get(GROUP_KEY)).map(String::as_str);
    own.is_none() || group.is_none() || own == group
}

fn observe_machine(app: &AppName, machine: &Machine) -> Result<ObservedMachine, ObserveError> {
    let config = machine.config.as_ref().ok_or_else(|| ObserveError::HiddenConfig {
        machine: machine.id.clone(),
        app: app.clone(),
    })?;
    let in_reference = config.image.split_once('@').map(|(_, digest)| digest);
    let digest = Some(machine.image_ref.digest.as_str()).filter(|digest| !digest.is_empty());
    Ok(ObservedMachine {
        id: MachineId::new(&machine.id),
        state: machine.state.to_string(),
        instance_id: InstanceId::new(&machine.instance_id),
        image_digest: digest.or(in_reference).map(ImageDigest::new),
        config: serde_json::to_value(config).map_err(|error| ObserveError::Config {
            app: app.clone(),
            message: error.to_string(),
        })?,
    })
}

fn listed(problems: &[Diagnostic]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(config: &str) -> Placement {
        Placement { config: config.to_owned(), machines: 1 }
    }

    #[test]
    fn an_app_file_is_read_and_its_config_has_no_image() {
        let directory = tempfile::tempdir().expect("directory");
        let text = "app = \"shop-staging\"\nprimary_region = \"ord\"\n[http_service]\ninternal_port = 8080\n";
        fs::write(directory.path().join("fly.toml"), text).expect("written");
        let file = app_file(directory.path(), &placement("fly.toml")).expect("read");
        assert_eq!(file.app, AppName::new("shop-staging"));
        let config = json_config(&file.app, &file.config).expect("config");
        assert_eq!(config.get("image"), None);
        assert!(config.get("services").is_some(), "{config}");
    }

    #[test]
    fn broken_app_files_are_told_with_their_mend() {
        let directory = tempfile::tempdir().expect("directory");
        fs::write(directory.path().join("nameless.toml"), "").expect("written");
        fs::write(directory.path().join("broken.toml"), "app = ").expect("written");
        for name in ["missing.toml", "nameless.toml", "broken.toml"] {
            let error = app_file(directory.path(), &placement(name)).expect_err("refused");
            let text = error.to_string();
            assert!(text.contains(name) && text.contains("hint: "), "{text}");
        }
    }
}
