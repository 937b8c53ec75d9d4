//! The machines of staging as a drill found them, and what must be done so that they are so again.
//! It puts back what a rollback does not: the rotation, and whether a machine runs.

use holdpoint_core::id::{AppName, Environment, ImageDigest, ServiceName};
use machines_api::error::ApiError;
use machines_api::types::{Machine, MachineConfig, MachineState, StopMachine};

use crate::adapter::platform::{AppFile, EFFECT_KEY, Platform, app_file};
use crate::exit_code::ExitCode;
use crate::message::Problem;

use super::Setup;

/// A service in staging.
#[derive(Clone, Debug)]
pub(super) struct Party {
    pub(super) service: ServiceName,
    pub(super) file: AppFile,
    /// The version that its machines say they run.
    pub(super) version: Option<String>,
    pub(super) image: ImageDigest,
    machines: Vec<Machine>,
}

/// All services in staging.
#[derive(Clone, Debug)]
pub(super) struct Fleet(pub(super) Vec<Party>);

impl Fleet {
    /// What runs in staging now.
    pub(super) async fn look(setup: &Setup, platform: &Platform) -> Result<Self, Problem> {
        let mut parties = Vec::new();
        for service in &setup.project.services {
            let placement = service.placement(Environment::Staging);
            let file = app_file(&setup.project_root, placement)
                .map_err(|error| Problem::from(error).exit(ExitCode::Usage))?;
            let machines = platform.machines_of(&file).await.map_err(|error| {
                Problem::because(ExitCode::Refused, "cannot look at staging", &error)
            })?;
            let image = machines.iter().find_map(image_of).ok_or_else(|| {
                let sentence = format!("`{}` has no machines in staging", service.name);
                Problem::new(ExitCode::Refused, sentence)
                    .hint("a drill breaks what runs: deploy it with `holdpoint release VERSION`")
            })?;
            let key = holdpoint_core::planner::VERSION_KEY;
            let version = machines.iter().find_map(|it| it.config.as_ref()?.metadata.get(key));
            let version = version.cloned();
            let service = ServiceName::new(&service.name);
            parties.push(Party { service, file, version, image, machines });
        }
        Ok(Self(parties))
    }

    pub(super) fn party(&self, service: &ServiceName) -> Option<&Party> {
        self.0.iter().find(|party| party.service == *service)
    }

    /// Puts back what is not as it was. Gives what could not be put back, in words.
    pub(super) async fn put_back(&self, platform: &Platform) -> Vec<String> {
        let mut problems = Vec::new();
        for party in &self.0 {
            for before in &party.machines {
                let told = match party.put_back(platform, before).await {
                    Ok(None) => continue,
                    Ok(Some(difference)) => difference,
                    Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
                };
                problems.push(format!("machine `{}` of `{}` {told}", before.id, party.app()));
            }
        }
        problems
    }
}

impl Party {
    pub(super) fn app(&self) -> &AppName {
        &self.file.app
    }

    pub(super) fn first_machine(&self) -> &str {
        self.machines.first().map_or("", |machine| machine.id.as_str())
    }

    /// Out of the rotation first, so that no request starts it again.
    pub(super) async fn take_down(&self, platform: &Platform) -> Result<(), ApiError> {
        let (client, app) = (platform.client(), self.app().as_str());
        for machine in &self.machines {
            client.cordon(app, &machine.id, None).await?;
            client.stop(app, &machine.id, &StopMachine::default(), None).await?;
        }
        Ok(())
    }

    async fn put_back(
        &self,
        platform: &Platform,
        before: &Machine,
    ) -> Result<Option<String>, ApiError> {
        let (client, app, id) = (platform.client(), self.app().as_str(), before.id.as_str());
        let now = client.get_machine(app, id).await?;
        if before.cordoned != Some(true) && now.cordoned == Some(true) {
            client.uncordon(app, id, None).await?;
        }
        let rests = |state| matches!(state, MachineState::Stopped | MachineState::Suspended);
        if before.state == MachineState::Started && rests(now.state) {
            client.start(app, id, None).await?;
        }
        let same = comparable(before) == comparable(&now);
        Ok((!same).then(|| "has another config than before the drill".to_owned()))
    }
}

fn image_of(machine: &Machine) -> Option<ImageDigest> {
    let in_reference = machine.config.as_ref()?.image.split_once('@').map(|(_, digest)| digest);
    let digest = Some(machine.image_ref.digest.as_str()).filter(|digest| !digest.is_empty());
    digest.or(in_reference).map(ImageDigest::new)
}

/// The config without the mark of who wrote it last.
fn comparable(machine: &Machine) -> Option<MachineConfig> {
    let mut config = machine.config.clone()?;
    config.metadata.remove(EFFECT_KEY);
    Some(config)
}
