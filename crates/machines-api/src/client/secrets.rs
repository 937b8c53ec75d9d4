//! Calls about an app's secrets.

use std::collections::BTreeMap;

use http::Method;

use super::Client;
use crate::error::{ApiError, ErrorClass};
use crate::types::{Secret, SecretsReply, SetSecrets};

impl Client {
    /// Names and digests of the app's secrets, without their values.
    pub async fn list_secrets(&self, app: &str) -> Result<Vec<Secret>, ApiError> {
        Ok(self.secrets(app, None, false).await?.secrets)
    }

    /// The app's secrets with the version that they are at: now, or as they were at `version`
    /// while the server keeps that. Values only come `with_values`, if the token may see them.
    pub async fn secrets(
        &self,
        app: &str,
        version: Option<u64>,
        with_values: bool,
    ) -> Result<SecretsReply, ApiError> {
        let operation = match version {
            Some(version) => format!("read the secrets of app `{app}` at version {version}"),
            None => format!("list the secrets of app `{app}`"),
        };
        let mut query: Vec<_> = version.iter().map(|it| ("version", it.to_string())).collect();
        if with_values {
            query.push(("show_secrets", true.to_string()));
        }
        let call = self.call(Method::GET, &["apps", app, "secrets"], operation);
        call.query(&query).secret_json().await
    }

    /// Sets secrets, deletes those with `None`, and returns the version that a
    /// machine must be created or updated with (`min_secrets_version`) to see them.
    pub async fn set_secrets(
        &self,
        app: &str,
        values: &BTreeMap<String, Option<String>>,
    ) -> Result<u64, ApiError> {
        let operation = format!("set secrets of app `{app}`");
        let call = self.call(Method::POST, &["apps", app, "secrets"], operation.clone());
        let body = SetSecrets { values: values.clone() };
        let reply: SecretsReply = call.body(&body).secret_json().await?;
        reply.version.or(reply.old_version).ok_or_else(|| ApiError {
            operation,
            status: None,
            message: "the answer names no version".to_owned(),
            class: ErrorClass::Unknown,
        })
    }
}
