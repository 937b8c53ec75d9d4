//! Calls about an app's volumes.

use http::Method;

use super::Client;
use crate::error::ApiError;
use crate::types::{CreateVolume, ExtendReply, ExtendVolume, Volume};

impl Client {
    pub async fn list_volumes(&self, app: &str) -> Result<Vec<Volume>, ApiError> {
        let operation = format!("list the volumes of app `{app}`");
        self.call(Method::GET, &["apps", app, "volumes"], operation).json().await
    }

    pub async fn create_volume(
        &self,
        app: &str,
        create: &CreateVolume,
    ) -> Result<Volume, ApiError> {
        let operation = format!("create volume `{}` of app `{app}`", create.name);
        self.call(Method::POST, &["apps", app, "volumes"], operation).body(create).json().await
    }

    pub async fn get_volume(&self, app: &str, id: &str) -> Result<Volume, ApiError> {
        self.volume_call(Method::GET, app, id, &[], "read").json().await
    }

    /// Makes a volume larger; one cannot be made smaller.
    pub async fn extend_volume(
        &self,
        app: &str,
        id: &str,
        size_gb: u64,
    ) -> Result<ExtendReply, ApiError> {
        let call = self.volume_call(Method::PUT, app, id, &["extend"], "extend");
        call.body(&ExtendVolume { size_gb }).json().await
    }

    /// Deletes a volume that no machine mounts.
    pub async fn delete_volume(&self, app: &str, id: &str) -> Result<Volume, ApiError> {
        self.volume_call(Method::DELETE, app, id, &[], "delete").json().await
    }

    fn volume_call(
        &self,
        method: Method,
        app: &str,
        id: &str,
        action: &[&str],
        verb: &str,
    ) -> crate::call::Call {
        let operation = format!("{verb} volume `{id}` of app `{app}`");
        self.call_below(method, ["apps", app, "volumes", id], action, operation)
    }
}
