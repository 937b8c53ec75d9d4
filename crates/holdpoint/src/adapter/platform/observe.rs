//! Looks at the platform and at the apps' files, and gathers the facts from which a plan is made.
//! It asks for no secret's value and changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use futures::future::try_join_all;
use holdpoint_core::id::{AppName, Environment, ImageDigest, InstanceId, MachineId, ServiceName};
use holdpoint_core::observation::{GroupFacts, ObservedMachine, ServiceFacts};
use holdpoint_core::project::{Placement, Project, Service};
use machines_api::error::ApiError;
use machines_api::fly_toml::{self, Diagnostic, FlyConfig, LocalFileError};
use machines_api::types::{Machine, MachineConfig, MachineState};
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
    /// A file that it wants to send along can't be read.
    #[error("{path}: {source}")]
    LocalFile {
        /// The file.
        path: PathBuf,
        /// Which one, and why.
        source: LocalFileError,
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
    let mut config = match fly_toml::parse(&text) {
        Ok(config) => config,
        Err(problems) => return Err(AppFileError::Invalid { path, text, problems }),
    };
    if let Err(source) = config.read_local_files(path.parent().unwrap_or(project_root)) {
        return Err(AppFileError::LocalFile { path, source });
    }
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
        let machines = match self.client.list_machines(app.as_str()).await {
            Ok(machines) => machines,
            Err(error) if error.is_not_found() => {
                return Err(ObserveError::NoApp { app, environment });
            }
            Err(error) => return Err(error.into()),
        };
        let mut default = None;
        let mut other_groups = Vec::new();
        for group in file.groups() {
            let is_default = group == file.default_group();
            let facts = group_facts(&app, &file, group, &machines)?;
            if is_default {
                default = Some(facts);
            } else {
                other_groups.push(facts);
            }
        }
        let GroupFacts { config, machines, .. } =
            default.ok_or_else(|| ObserveError::NoApp { app: app.clone(), environment })?;
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
            machines,
            other_groups,
            app,
        })
    }
}

/// One process group: its machines, each with what the file makes of its config. A group beside
/// the default one keeps as many machines as it has, and has one at least.
fn group_facts(
    app: &AppName,
    file: &FlyConfig,
    group: &str,
    machines: &[Machine],
) -> Result<GroupFacts, ObserveError> {
    let is_default = group == file.default_group();
    let mut observed = Vec::new();
    for machine in machines.iter().filter(|machine| is_of_group(machine, group, is_default)) {
        observed.push(observe_machine(app, file, machine)?);
    }
    // Plans must not depend on the order in which the platform answers.
    observed.sort_by(|left: &ObservedMachine, right| left.id.cmp(&right.id));
    Ok(GroupFacts {
        name: group.to_owned(),
        machines_wanted: u32::try_from(observed.len()).unwrap_or(u32::MAX).max(1),
        config: without_image(app, &file.machine_config_of(group, ""))?,
        machines: observed,
    })
}

/// Machines of other groups (release commands, consoles) and those that are gone are not ours.
pub(super) fn is_of_group(machine: &Machine, group: &str, is_default: bool) -> bool {
    if matches!(machine.state, MachineState::Destroyed | MachineState::Destroying) {
        return false;
    }
    let config = machine.config.as_ref().or(machine.incomplete_config.as_ref());
    let own = config.and_then(|config| config.metadata.get(GROUP_KEY)).map(String::as_str);
    own.map_or(is_default, |own| own == group)
}

fn observe_machine(
    app: &AppName,
    file: &FlyConfig,
    machine: &Machine,
) -> Result<ObservedMachine, ObserveError> {
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
        config: json_config(app, config)?,
        updated_config: without_image(app, &file.updated_config(config, ""))?,
    })
}

fn without_image(app: &AppName, config: &MachineConfig) -> Result<Value, ObserveError> {
    let mut config = json_config(app, config)?;
    if let Some(fields) = config.as_object_mut() {
        fields.remove("image");
    }
    Ok(config)
}

fn json_config(app: &AppName, config: &MachineConfig) -> Result<Value, ObserveError> {
    serde_json::to_value(config)
        .map_err(|error| ObserveError::Config { app: app.clone(), message: error.to_string() })
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
        let config = without_image(&file.app, &file.config.machine_config("")).expect("config");
        assert_eq!(config.get("image"), None);
        assert!(config.get("services").is_some(), "{config}");
    }

    fn machine(id: &str, group: &str) -> Machine {
        let machine = serde_json::json!({
            "id": id,
            "state": "started",
            "config": {
                "image": "old@sha256:1",
                "env": {"OLD": "1"},
                "schedule": "daily",
                "metadata": {"fly_process_group": group},
            },
        });
        serde_json::from_value(machine).expect("a machine")
    }

    #[test]
    fn each_process_group_has_its_machines_and_each_machine_its_own_next_config() {
        let text = "[processes]\napp = \"a\"\nmail = \"m\"\nwork = \"b\"\n[env]\nNEW = \"1\"\n";
        let file = fly_toml::parse(text).expect("read");
        let app = AppName::new("shop");
        let machines =
            [machine("m2", "work"), machine("m1", "work"), machine("m3", "fly_app_console")];
        let facts = |group| group_facts(&app, &file, group, &machines).expect("facts");
        let work = facts("work");
        let ids: Vec<&str> = work.machines.iter().map(|machine| machine.id.as_str()).collect();
        assert_eq!((ids.as_slice(), work.machines_wanted), (&["m1", "m2"][..], 2));
        let updated = &work.machines[0].updated_config;
        assert_eq!(updated["init"]["cmd"], serde_json::json!(["b"]));
        assert_eq!(updated["env"], serde_json::json!({"FLY_PROCESS_GROUP": "work", "NEW": "1"}));
        assert_eq!(updated["schedule"], "daily", "the file doesn't manage it");
        assert_eq!(updated.get("image"), None);
        let mail = facts("mail");
        assert_eq!((mail.machines.len(), mail.machines_wanted), (0, 1), "a new group gets one");
        assert_eq!(facts("app").machines, []);
    }

    #[test]
    fn local_files_count_from_the_folder_of_the_app_file() {
        let directory = tempfile::tempdir().expect("directory");
        fs::create_dir(directory.path().join("apps")).expect("made");
        let text = "app = \"shop\"\n[[files]]\nguest_path = \"/a\"\nlocal_path = \"a.conf\"\n";
        fs::write(directory.path().join("apps/fly.toml"), text).expect("written");
        let error = app_file(directory.path(), &placement("apps/fly.toml")).expect_err("refused");
        assert!(error.to_string().contains("a.conf`") && error.to_string().contains("hint: "));
        fs::write(directory.path().join("apps/a.conf"), "hi").expect("written");
        let file = app_file(directory.path(), &placement("apps/fly.toml")).expect("read");
        let files = &file.config.machine_config("").rest["files"];
        assert_eq!(files[0]["raw_value"], "aGk=");
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
