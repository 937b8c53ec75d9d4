//! The machines of an app's default process group, as the platform shows them. It changes none.

use machines_api::error::ApiError;
use machines_api::types::Machine;

use super::Platform;
use super::observe::{AppFile, is_of_group};

impl Platform {
    /// The machines of the app's default process group, by id; those that are gone are left out.
    ///
    /// # Errors
    /// When the platform can't be asked or has no such app.
    pub async fn machines_of(&self, file: &AppFile) -> Result<Vec<Machine>, ApiError> {
        let mut machines = self.client.list_machines(file.app.as_str()).await?;
        machines.retain(|machine| is_of_group(machine, file.config.default_group(), true));
        machines.sort_by(|left, right| left.id.cmp(&right.id));
        Ok(machines)
    }
}
