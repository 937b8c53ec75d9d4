//! Whether the secrets that a service needs are set, and whether staging and production have
//! values of their own (the runbook's "Required secrets available" and "secrets reference
//! production values"). Names and digests are compared; no value is asked for.

use std::path::Path;

use holdpoint_core::id::{AppName, Environment};
use holdpoint_core::project::{PreflightPolicy, Service};
use machines_api::types::Secret;

use super::app_config::{self, listed};
use super::finding::{Finding, Lack};
use super::skipped;
use crate::adapter::platform::Platform;

/// Whether every secret that the service requires is set.
pub(super) async fn required(
    platform: &Platform,
    root: &Path,
    service: &Service,
    environment: Environment,
) -> Finding {
    if service.required_secrets.is_empty() {
        return Ok(skipped("the service requires none"));
    }
    let app = app_config::read(root, service, environment)?.app;
    let secrets = list(platform, &app).await?;
    let digest = |name: &String| {
        let secret = secrets.iter().find(|secret| secret.name == *name);
        secret.map(|secret| format!("{name} ({})", secret.digest))
    };
    let missing: Vec<&str> = service
        .required_secrets
        .iter()
        .filter(|name| digest(name).is_none())
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        let found: Vec<String> = service.required_secrets.iter().filter_map(digest).collect();
        return Ok(format!("`{app}` has {}", found.join(", ")));
    }
    let assignments: Vec<String> = missing.iter().map(|name| format!("{name}=…")).collect();
    Err(Lack::new(
        format!("`{app}` has no secret {}", missing.join(", ")),
        format!("`fly secrets set --app {app} {}`", assignments.join(" ")),
    ))
}

/// Whether no secret has the same value in both environments.
pub(super) async fn shared(
    platform: &Platform,
    root: &Path,
    policy: &PreflightPolicy,
    service: &Service,
) -> Finding {
    let staging = app_config::read(root, service, Environment::Staging)?.app;
    let production = app_config::read(root, service, Environment::Production)?.app;
    let of_staging = list(platform, &staging).await?;
    let of_production = list(platform, &production).await?;
    judge(policy, service, &of_staging, &of_production).map_err(|shared| {
        let first = shared.first().cloned().unwrap_or_default();
        Lack::new(
            format!("`{staging}` and `{production}` share the value of {}", listed(&shared)),
            format!(
                "give one of them a value of its own: `fly secrets set --app {production} \
                 {first}=…`; or allow it in `[[preflight.allowed]]` with `secret = \"{first}\"`"
            ),
        )
    })
}

async fn list(platform: &Platform, app: &AppName) -> Result<Vec<Secret>, Lack> {
    let secrets = platform.client().list_secrets(app.as_str()).await;
    secrets.map_err(|error| Lack::told(&error, "repeat it"))
}

/// The names of secrets that are shared and not allowed to be.
fn judge(
    policy: &PreflightPolicy,
    service: &Service,
    staging: &[Secret],
    production: &[Secret],
) -> Result<String, Vec<String>> {
    let both = |secret: &&Secret| staging.iter().any(|other| other.name == secret.name);
    let same = |secret: &&Secret| {
        let mut others = staging.iter();
        let has_digest = !secret.digest.is_empty();
        has_digest && others.any(|it| it.name == secret.name && it.digest == secret.digest)
    };
    let (mut shared, mut allowed) = (Vec::new(), Vec::new());
    for secret in production.iter().filter(same) {
        match policy.allows_shared_secret(&service.name, &secret.name) {
            Some(reason) => allowed.push(format!("{} is shared: {reason}", secret.name)),
            None => shared.push(secret.name.clone()),
        }
    }
    if !shared.is_empty() {
        return Err(shared);
    }
    let compared = production.iter().filter(both).count();
    if allowed.is_empty() {
        return Ok(format!("{compared} secrets of one name, none of one value"));
    }
    Ok(format!("{compared} secrets of one name; {}", allowed.join("; ")))
}
