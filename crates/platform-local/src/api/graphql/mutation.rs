//! What can be changed: the fields of `mutation`. Fly's client of today changes most things over
//! the Machines API; these are for older ones and for other people's.

use std::collections::BTreeMap;

use machines_api::types::{AssignIp, CreateApp};
use serde_json::{Value, json};

use super::{
    app::text,
    error::GraphqlError,
    example,
    execute::{Answer, Arguments},
    query, view,
};
use crate::{
    api::{account, builds},
    fleet::{Fleet, NewRelease},
};

pub(super) async fn field(
    fleet: &Fleet,
    name: &str,
    arguments: &Arguments,
) -> Result<Answer, GraphqlError> {
    let empty = Arguments::new();
    // Nearly all of them take one object; Fly's client deletes an app by its id alone.
    let input = arguments.get("input").and_then(Value::as_object).unwrap_or(&empty);
    match name {
        "createApp" => create_app(fleet, input).await,
        "deleteApp" => delete_app(fleet, arguments, input).await,
        "setSecrets" | "unsetSecrets" => change_secrets(fleet, name, input).await,
        "createRelease" => create_release(fleet, input).await,
        "updateRelease" => update_release(fleet, input).await,
        "createBuild" => {
            let app = text(input, "appName").or_else(|_| text(input, "appId"))?;
            query::app(fleet, app)?;
            Ok(created_build(&builds::new_id().to_string()))
        }
        "finishBuild" => {
            let id = text(input, "buildId")?;
            let took_ms = id.parse().map_or(0, builds::took_ms);
            let status = input.get("status").cloned().unwrap_or(Value::Null);
            Ok(finished_build(id, &status, took_ms))
        }
        "allocateIpAddress" => allocate_address(fleet, input).await,
        "releaseIpAddress" => release_address(fleet, input).await,
        _ => Err(unknown(name)),
    }
}

/// What the mutation will answer, as far as its form goes; it does nothing.
pub(super) fn example_of(name: &str) -> Result<Answer, GraphqlError> {
    match name {
        "createApp" => Ok(created_app(example::app())),
        "deleteApp" => Ok(deleted_app("")),
        "setSecrets" | "unsetSecrets" => {
            Ok(changed_secrets(name, example::app(), example::release()))
        }
        "createRelease" => Ok(created_release(example::app(), example::release())),
        "updateRelease" => Ok(updated_release(&example::release())),
        "createBuild" => Ok(created_build("")),
        "finishBuild" => Ok(finished_build("", &Value::Null, 0)),
        "allocateIpAddress" => Ok(allocated_address(example::app(), example::address())),
        "releaseIpAddress" => Ok(released_address(example::app())),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> GraphqlError {
    let unsupported = query::unsupported(name).map(|why| GraphqlError::unsupported(name, why));
    unsupported.unwrap_or_else(|| GraphqlError::unknown_field(name, "Mutation"))
}

fn created_build(id: &str) -> Answer {
    payload("CreateBuildPayload", json!({"id": id, "status": "started"}))
}

fn finished_build(id: &str, status: &Value, took_ms: i64) -> Answer {
    let fields = json!({"id": id, "status": status, "wallclockTimeMs": took_ms});
    payload("FinishBuildPayload", fields)
}

fn payload(type_name: &str, mut fields: Value) -> Answer {
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("__typename".to_owned(), type_name.into());
        fields.insert("clientMutationId".to_owned(), Value::Null);
    }
    Answer::Json(fields)
}

async fn create_app(fleet: &Fleet, input: &Arguments) -> Result<Answer, GraphqlError> {
    let organization = text(input, "organizationId").unwrap_or_default().to_owned();
    if !organization.is_empty() {
        account::check_organization(fleet, &organization)?;
    }
    let order = CreateApp {
        name: text(input, "name")?.to_owned(),
        org_slug: organization,
        network: text(input, "network").ok().map(str::to_owned),
    };
    let app = fleet.create_app(order).await?;
    Ok(created_app(Answer::App(Box::new(app))))
}

fn created_app(app: Answer) -> Answer {
    Answer::Object("CreateAppPayload", vec![("app", app)])
}

async fn delete_app(
    fleet: &Fleet,
    arguments: &Arguments,
    input: &Arguments,
) -> Result<Answer, GraphqlError> {
    let name = text(arguments, "appId").or_else(|_| text(input, "appId"))?;
    let app = query::app(fleet, name)?;
    fleet.delete_app(&app.name, true).await?;
    Ok(deleted_app(&app.organization))
}

fn deleted_app(organization: &str) -> Answer {
    payload("DeleteAppPayload", json!({"organization": view::organization(organization)}))
}

async fn change_secrets(
    fleet: &Fleet,
    name: &str,
    input: &Arguments,
) -> Result<Answer, GraphqlError> {
    let app = query::app(fleet, text(input, "appId")?)?;
    let list = |name: &str| input.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut values = BTreeMap::new();
    if name == "setSecrets" {
        for secret in list("secrets") {
            let part = |name: &str| secret.get(name).and_then(Value::as_str).map(str::to_owned);
            let (Some(key), Some(value)) = (part("key"), part("value")) else {
                return Err(GraphqlError::new("INVALID", "a secret has a `key` and a `value`"));
            };
            values.insert(key, Some(value));
        }
    } else {
        let keys = list("keys");
        values.extend(keys.iter().filter_map(|key| Some((key.as_str()?.to_owned(), None))));
    }
    let app = fleet.set_secrets(&app.name, values).await?;
    // Machines see the new secrets at their next start; no release is made of it here.
    let newest = fleet.newest_release(&app).await?;
    let release = newest.as_ref().map_or(Value::Null, view::release);
    Ok(changed_secrets(name, Answer::App(Box::new(app)), release))
}

fn changed_secrets(name: &str, app: Answer, release: Value) -> Answer {
    let type_name = if name == "setSecrets" { "SetSecretsPayload" } else { "UnsetSecretsPayload" };
    let fields = vec![
        ("app", app),
        ("release", Answer::Json(release)),
        ("clientMutationId", Answer::Json(Value::Null)),
    ];
    Answer::Object(type_name, fields)
}

async fn allocate_address(fleet: &Fleet, input: &Arguments) -> Result<Answer, GraphqlError> {
    let app = query::app(fleet, text(input, "appId")?)?;
    let order = AssignIp {
        ip_type: text(input, "type")?.to_owned(),
        region: text(input, "region").unwrap_or_default().to_owned(),
        service_name: text(input, "serviceName").unwrap_or_default().to_owned(),
    };
    let address = fleet.assign_address(&app.name, order).await?;
    Ok(allocated_address(Answer::App(Box::new(app)), view::address(&address)))
}

fn allocated_address(app: Answer, address: Value) -> Answer {
    let fields = vec![
        ("app", app),
        ("ipAddress", Answer::Json(address)),
        ("clientMutationId", Answer::Json(Value::Null)),
    ];
    Answer::Object("AllocateIPAddressPayload", fields)
}

async fn release_address(fleet: &Fleet, input: &Arguments) -> Result<Answer, GraphqlError> {
    let app = query::app(fleet, text(input, "appId")?)?;
    // Clients of today name the address, older ones its id, which is the same here.
    let address = text(input, "ip").or_else(|_| text(input, "ipAddressId"))?;
    fleet.release_address(&app.name, address).await?;
    Ok(released_address(Answer::App(Box::new(query::app(fleet, &app.name)?))))
}

fn released_address(app: Answer) -> Answer {
    let fields = vec![("app", app), ("clientMutationId", Answer::Json(Value::Null))];
    Answer::Object("ReleaseIPAddressPayload", fields)
}

async fn create_release(fleet: &Fleet, input: &Arguments) -> Result<Answer, GraphqlError> {
    let app = query::app(fleet, text(input, "appId")?)?;
    let release = NewRelease {
        strategy: text(input, "strategy").unwrap_or_default().to_owned(),
        image_ref: text(input, "image").unwrap_or_default().to_owned(),
        definition: input.get("definition").cloned().unwrap_or_default(),
        user: account::USER_EMAIL.to_owned(),
    };
    let made = view::release(&fleet.add_release(&app.name, release).await?);
    Ok(created_release(Answer::App(Box::new(app)), made))
}

fn created_release(app: Answer, release: Value) -> Answer {
    let fields = vec![("app", app), ("release", Answer::Json(release))];
    Answer::Object("CreateReleasePayload", fields)
}

async fn update_release(fleet: &Fleet, input: &Arguments) -> Result<Answer, GraphqlError> {
    let metadata = input.get("metadata").cloned().unwrap_or_default();
    let (id, status) = (text(input, "releaseId")?, text(input, "status")?);
    let release = fleet.update_release(id, status, metadata).await?;
    Ok(updated_release(&view::release(&release)))
}

fn updated_release(release: &Value) -> Answer {
    payload("UpdateReleasePayload", json!({"release": release}))
}
