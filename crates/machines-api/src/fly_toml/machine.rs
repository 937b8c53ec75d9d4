//! The machine config that a file stands for, as Fly's client makes it: new, or from the config
//! that a machine has. What the file manages is made anew; all else stays as it is.

use std::collections::BTreeMap;

use serde_json::Value;

use super::FlyConfig;
use super::group::last_for;
use super::process;
use crate::types::{Init, MachineConfig, Mount};

/// The metadata that names a machine's process group.
const GROUP_KEY: &str = "fly_process_group";

impl FlyConfig {
    /// The config of a new machine of the default process group.
    pub fn machine_config(&self, image: &str) -> MachineConfig {
        self.machine_config_of(self.default_group(), image)
    }

    /// The config of a new machine of one process group.
    pub fn machine_config_of(&self, group: &str, image: &str) -> MachineConfig {
        self.applied(group, image, MachineConfig::default())
    }

    /// What an update makes of a machine's config. The machine stays in its process group; if the
    /// file lacks that, it comes to the default one.
    pub fn updated_config(&self, existing: &MachineConfig, image: &str) -> MachineConfig {
        let own = existing.metadata.get(GROUP_KEY);
        let group = self.groups().find(|group| own.is_some_and(|own| own == group));
        self.applied(group.unwrap_or_else(|| self.default_group()), image, existing.clone())
    }

    fn applied(&self, group: &str, image: &str, mut config: MachineConfig) -> MachineConfig {
        image.clone_into(&mut config.image);
        // Without `[[vm]]` the size stays that was set by other means.
        if let Some(guest) = last_for(&self.guests, group) {
            config.guest = Some(guest.clone());
        }
        config.env.clone_from(&self.env);
        config.env.insert("FLY_PROCESS_GROUP".to_owned(), group.to_owned());
        if let Some(region) = &self.primary_region {
            config.env.insert("PRIMARY_REGION".to_owned(), region.clone());
        }
        config.init = self.init_of(group, config.init.unwrap_or_default());
        for (key, value) in [("fly_platform_version", "v2"), (GROUP_KEY, group)] {
            config.metadata.insert(key.to_owned(), value.to_owned());
        }
        config.services = self.services_of(group).cloned().collect();
        let checks = self.checks.iter().filter(|(_, check)| check.is_for(group));
        config.checks = checks.map(|(name, check)| (name.clone(), check.value.clone())).collect();
        config.restart = last_for(&self.restarts, group).cloned();
        config.stop_config.clone_from(&self.stop_config);
        let mount = last_for(&self.mounts, group).cloned();
        config.mounts =
            mount.map(|mount| on_its_volume(mount, &config.mounts)).into_iter().collect();
        self.apply_rest(group, &mut config.rest);
        config
    }

    /// The parts of the config that this crate only passes on.
    fn apply_rest(&self, group: &str, rest: &mut BTreeMap<String, Value>) {
        let metrics = self.metrics.iter().find(|metrics| metrics.is_for(group));
        let files = self.files.iter().filter(|file| file.is_for(group));
        let files: Vec<Value> = files.filter_map(|file| file.value.json()).collect();
        for (key, value) in [
            ("metrics", metrics.map(|metrics| metrics.value.clone())),
            ("files", (!files.is_empty()).then(|| files.into())),
            ("statics", (!self.statics.is_empty()).then(|| self.statics.clone().into())),
        ] {
            match value {
                Some(value) => drop(rest.insert(key.to_owned(), value)),
                None => drop(rest.remove(key)),
            }
        }
    }

    fn init_of(&self, group: &str, existing: Init) -> Option<Init> {
        let command = self.processes.get(group).and_then(|command| process::words(command));
        let command = command.filter(|words| !words.is_empty());
        let init = Init {
            exec: self.init.exec.clone(),
            entrypoint: self.init.entrypoint.clone(),
            cmd: command.unwrap_or_else(|| self.init.cmd.clone()),
            swap_size_mb: self.init.swap_size_mb,
            rest: existing.rest,
        };
        (init != Init::default()).then_some(init)
    }
}

/// A machine keeps its volume, as long as the file asks for one of that name. A volume that was
/// attached without a name counts as the one that is meant.
fn on_its_volume(mount: Mount, existing: &[Mount]) -> Mount {
    let nameless = |old: &&Mount| old.name.as_deref().unwrap_or_default().is_empty();
    let same = existing.iter().find(|old| old.name == mount.name);
    let own = same.or_else(|| existing.iter().find(nameless));
    Mount { volume: own.and_then(|old| old.volume.clone()), ..mount }
}
