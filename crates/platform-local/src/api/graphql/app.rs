//! The fields of an app.

use machines_api::types::Machine as MachineView;
use serde_json::{Value, json};

use super::{
    error::GraphqlError,
    execute::{Answer, Arguments},
    image, view,
};
use crate::{
    api::account,
    fleet::{AppRecord, Fleet},
};

/// Releases that are given when no number is asked for, and at most.
const RELEASES_DEFAULT: u32 = 25;
const RELEASES_MAX: u64 = 200;

/// Where every app is reached: there is one address for all of them.
const ADDRESS: &str = "127.0.0.1";

/// Looks one field of an app up.
pub(super) async fn field(
    fleet: &Fleet,
    app: &AppRecord,
    name: &str,
    arguments: &Arguments,
) -> Result<Answer, GraphqlError> {
    let json = match name {
        "id" | "name" => Value::from(app.name.clone()),
        "internalNumericId" => Value::from(account::numeric_id(&app.id)),
        "organization" => view::organization(&app.organization),
        "hostname" | "cnameTarget" => Value::from(hostname(app)),
        "appUrl" => Value::from(url(fleet, app)),
        "platformVersion" => Value::from("machines"),
        "network" => Value::from(app.network.clone().unwrap_or_default()),
        "networkId" => Value::from(0),
        "createdAt" => Value::from(app.created_at.to_string()),
        "status" | "state" => Value::from(fleet.app_status(app).await?),
        "deployed" => Value::from(fleet.app_status(app).await? != "pending"),
        "version" => {
            Value::from(fleet.newest_release(app).await?.map_or(0, |release| release.version))
        }
        "currentRelease" | "currentReleaseUnprocessed" | "release" => {
            let newest = fleet.newest_release(app).await?;
            newest.as_ref().map_or(Value::Null, view::release)
        }
        "releases" | "releasesUnprocessed" => {
            let releases = fleet.releases(app, count(arguments)).await?;
            let nodes: Vec<_> = releases.iter().map(view::release).collect();
            view::connection("ReleaseUnprocessedConnection", &nodes)
        }
        "config" => config(fleet, app).await?,
        "image" => image::resolve(fleet, text(arguments, "ref")?).await?,
        "imageDetails" | "latestImageDetails" => newest_image(fleet, app),
        "secrets" => app.secrets.values().map(view::secret).collect(),
        "machines" => {
            let nodes: Vec<_> = machines(fleet, app).iter().map(|m| view_of(m, app)).collect();
            view::connection("MachineConnection", &nodes)
        }
        "machine" => {
            let id = text(arguments, "id")?;
            let found = machines(fleet, app).into_iter().find(|machine| machine.id == id);
            found.as_ref().map_or(Value::Null, |machine| view_of(machine, app))
        }
        "regions" => json!([view::region(&fleet.settings().region)]),
        "backupRegions" | "services" | "allocations" | "taskGroupCounts" | "processGroups"
        | "healthChecks" => json!([]),
        "ipAddresses" => {
            let own = app.addresses.iter().filter(|address| !address.shared);
            let own: Vec<_> = own.map(view::address).collect();
            view::connection("IPAddressConnection", &own)
        }
        "sharedIpAddress" => Value::from(ADDRESS),
        "limitedAccessTokens" => view::connection("LimitedAccessTokenConnection", &[]),
        "certificates" => view::connection("AppCertificateConnection", &[]),
        "hostIssues" => view::connection("IssueConnection", &[]),
        "volumes" => view::connection("VolumeConnection", &[]),
        "role" | "currentLock" | "ipAddress" | "certificate" | "deploymentStatus"
        | "autoscaling" => Value::Null,
        "imageUpgradeAvailable" | "imageVersionTrackingEnabled" => Value::Bool(false),
        _ => return Err(GraphqlError::unknown_field(name, "App")),
    };
    Ok(Answer::Json(json))
}

/// A text that an argument must be.
pub(super) fn text<'a>(arguments: &'a Arguments, name: &str) -> Result<&'a str, GraphqlError> {
    arguments.get(name).and_then(Value::as_str).ok_or_else(|| {
        GraphqlError::new("INVALID", format!("the argument `{name}` is missing or no text"))
    })
}

fn hostname(app: &AppRecord) -> String {
    format!("{}.localhost", app.name)
}

fn url(fleet: &Fleet, app: &AppRecord) -> String {
    format!("http://{}:{}/", hostname(app), fleet.context.proxy_port)
}

fn count(arguments: &Arguments) -> u32 {
    let wanted = arguments.get("first").and_then(Value::as_u64);
    wanted
        .and_then(|wanted| u32::try_from(wanted.min(RELEASES_MAX)).ok())
        .unwrap_or(RELEASES_DEFAULT)
}

/// The `fly.toml` of the newest release.
async fn config(fleet: &Fleet, app: &AppRecord) -> Result<Value, GraphqlError> {
    let definition = fleet.newest_release(app).await?.map_or(json!({}), |newest| newest.definition);
    Ok(json!({
        "__typename": "AppConfig",
        "definition": definition,
        "services": [],
        "valid": true,
        "errors": [],
    }))
}

fn machines(fleet: &Fleet, app: &AppRecord) -> Vec<MachineView> {
    let machines = fleet.machines_of(&app.name);
    machines
        .iter()
        .map(|machine| {
            let snapshot = machine.snapshot();
            snapshot.record.view(&snapshot.events, &snapshot.checks, None)
        })
        .collect()
}

fn view_of(machine: &MachineView, app: &AppRecord) -> Value {
    view::machine(machine, &app.name, &app.organization)
}

/// The image of the machine that was changed last.
fn newest_image(fleet: &Fleet, app: &AppRecord) -> Value {
    let newest = machines(fleet, app).into_iter().max_by_key(|machine| machine.updated_at);
    let image = newest.map(|machine| machine.image_ref).unwrap_or_default();
    json!({
        "__typename": "ImageVersion",
        "registry": image.registry,
        "repository": image.repository,
        "tag": image.tag,
        "version": image.labels.get("fly.version").cloned().unwrap_or_default(),
        "digest": image.digest,
    })
}
