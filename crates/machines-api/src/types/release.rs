//! One version of a machine in its history, as `GET …/versions` lists them, newest first.

use serde::{Deserialize, Serialize};

use super::machine_config::MachineConfig;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineVersion {
    /// The `instance_id` that the machine had.
    pub version: String,
    pub user_config: MachineConfig,
}
