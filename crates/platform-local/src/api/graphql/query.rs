//! What can be asked for: the fields of `query`.

use serde_json::{Value, json};

use super::{
    app::text,
    error::GraphqlError,
    execute::{Answer, Arguments},
    view,
};
use crate::{
    api::account,
    fleet::{AppRecord, Fleet},
};

/// What Fly answers to somebody who asks for an app that is not there; clients compare it.
const NO_APP: &str = "Could not find App";

pub(super) fn field(
    fleet: &Fleet,
    name: &str,
    arguments: &Arguments,
) -> Result<Answer, GraphqlError> {
    let json = match name {
        "viewer" | "currentUser" => view::user(),
        "app" => return Ok(Answer::App(Box::new(app(fleet, text(arguments, "name")?)?))),
        "apps" => return Ok(apps(fleet, arguments)),
        "appNameAvailable" => Value::Bool(!fleet.has_app(text(arguments, "name")?)),
        "machine" => machine(fleet, arguments)?,
        "organization" => {
            let named = text(arguments, "slug").or_else(|_| text(arguments, "id"))?;
            account::check_organization(fleet, named)?;
            view::organization(named)
        }
        "organizations" => {
            let slugs = account::organizations(fleet);
            let nodes: Vec<_> = slugs.iter().map(|slug| view::organization(slug)).collect();
            view::connection("OrganizationConnection", &nodes)
        }
        "personalOrganization" => view::organization("personal"),
        "platform" => {
            let region = fleet.settings().region;
            json!({
                "__typename": "PlatformContext",
                "requestRegion": region,
                "regions": [view::region(&region)],
                "vmSizes": view::vm_sizes(),
            })
        }
        "nearestRegion" => view::region(&fleet.settings().region),
        "canPerformBluegreenDeployment" => {
            app(fleet, text(arguments, "name")?)?;
            Value::Bool(true)
        }
        "latestImageDetails" | "latestImageTag" => {
            // Fly's client takes these words for "an image of your own", which all are here.
            return Err(GraphqlError::new("NOT_FOUND", "Unknown repository"));
        }
        _ => {
            let unsupported = unsupported(name).map(|why| GraphqlError::unsupported(name, why));
            return Err(unsupported.unwrap_or_else(|| GraphqlError::unknown_field(name, "Query")));
        }
    };
    Ok(Answer::Json(json))
}

pub(super) fn app(fleet: &Fleet, name: &str) -> Result<AppRecord, GraphqlError> {
    fleet.app(name).map_err(|_missing| GraphqlError::new("NOT_FOUND", NO_APP))
}

/// Why a part of Fly's API is not here, for the parts that a client may ask for.
pub(super) fn unsupported(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["wireguard", "sshkey", "issuecertificate", "delegated"]) {
        Some("machines run on this computer, and there is no private network to tunnel into")
    } else if has(&["addon", "extension", "postgres", "redis", "consul"]) {
        Some("it runs machines and nothing else; start the service as an app of its own")
    } else if has(&["certificate", "domain", "dns"]) {
        Some("apps are reached as `APP.localhost`, which needs no name of its own")
    } else if has(&["egressip", "ipaddress"]) {
        Some("all apps share the address of this computer's loopback interface")
    } else if has(&["remotebuilder", "machineremotebuilder"]) {
        Some("it builds no images; push one to its registry and deploy that")
    } else if has(&["organizationinvitation", "createorganization", "deleteorganization", "token"])
    {
        Some("it has one user, who has the token")
    } else if has(&["volume", "snapshot", "checkjob", "healthcheckhandler", "doctor", "lockapp"]) {
        Some("use the Machines API at this address instead")
    } else {
        None
    }
}

fn apps(fleet: &Fleet, arguments: &Arguments) -> Answer {
    let organization = arguments.get("organizationId").and_then(Value::as_str);
    let role = arguments.get("role").and_then(Value::as_str).filter(|role| !role.is_empty());
    let mut apps = fleet.apps();
    // No app here has a role, such as that of a database cluster.
    apps.retain(|app| role.is_none() && organization.is_none_or(|slug| slug == app.organization));
    let count = apps.len();
    let nodes = apps.into_iter().map(|app| Answer::App(Box::new(app))).collect();
    let fields = vec![
        ("nodes", Answer::List(nodes)),
        ("totalCount", Answer::Json(Value::from(count))),
        ("pageInfo", Answer::Json(view::page_info())),
    ];
    Answer::Object("AppConnection", fields)
}

fn machine(fleet: &Fleet, arguments: &Arguments) -> Result<Value, GraphqlError> {
    let id = text(arguments, "machineId").or_else(|_| text(arguments, "id"))?;
    let missing = || GraphqlError::new("NOT_FOUND", "Could not find Machine");
    let machine = fleet.machine(id).ok_or_else(missing)?;
    let app = app(fleet, &machine.app)?;
    let snapshot = machine.snapshot();
    let found = snapshot.record.view(&snapshot.events, &snapshot.checks, None);
    Ok(view::machine(&found, &app.name, &app.organization))
}
