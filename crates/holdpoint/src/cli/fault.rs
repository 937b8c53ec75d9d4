//! `holdpoint fault`: sets, lists and removes faults of the platform that `holdpoint up` serves.
//! What a fault may say is the platform's to judge; here its fields are only passed on.

use reqwest::{Method, StatusCode};
use serde_json::{Map, Value};

use crate::adapter::platform::PlatformAddress;
use crate::cli::arguments::{Fault, Shared};
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};
use crate::settings::Settings;

pub(super) async fn fault(shared: &Shared, fault: Fault) -> Result<ExitCode, Problem> {
    let address = address(shared)?;
    match fault {
        Fault::Add { kind, fields } => {
            let order = order(kind, &fields)?;
            let set = call(&address, Method::POST, "", Some(order), "cannot set the fault").await?;
            message::print(&format!("fault {} is set\n", line(&set)));
        }
        Fault::List(reading) => {
            let listed = call(&address, Method::GET, "", None, "cannot list the faults").await?;
            let faults = listed.get("faults").and_then(Value::as_array).cloned();
            let faults = faults.unwrap_or_default();
            if reading.json {
                message::print(&format!("{}\n", serde_json::to_string_pretty(&faults)?));
            } else if faults.is_empty() {
                message::print("no fault is set\n");
            } else {
                let lines: String = faults.iter().map(|fault| line(fault) + "\n").collect();
                message::print(&lines);
            }
        }
        Fault::Remove { id, all: _ } => {
            let path = id.map_or_else(String::new, |id| format!("/{id}"));
            let refused = "cannot remove the fault";
            let removed = call(&address, Method::DELETE, &path, None, refused).await?;
            let count = removed.get("removed").and_then(Value::as_u64).unwrap_or(1);
            message::print(&format!("removed {count}\n"));
        }
    }
    Ok(ExitCode::Done)
}

/// The platform of the state directory; it needs no project.
fn address(shared: &Shared) -> Result<PlatformAddress, Problem> {
    let settings = match &shared.state_dir {
        Some(state_dir) => Settings {
            project_file: state_dir.join(crate::settings::PROJECT_FILE),
            state_dir: state_dir.clone(),
            actor: String::new(),
        },
        None => Settings::resolve(shared)?,
    };
    settings.local_platform()
}

/// The order that `KIND FIELD=VALUE…` means: numbers are numbers, and `routes` is a list.
fn order(kind: String, fields: &[String]) -> Result<Value, Problem> {
    let mut order = Map::from_iter([("kind".to_owned(), Value::String(kind))]);
    for field in fields {
        let Some((name, text)) = field.split_once('=') else {
            let sentence = format!("`{field}` is no field of a fault");
            return Err(Problem::new(ExitCode::Usage, sentence)
                .hint("write each field as `NAME=VALUE`, such as `share=0.2`"));
        };
        let value = if name == "routes" {
            text.split(',').map(|route| Value::String(route.trim().to_owned())).collect()
        } else {
            let number = serde_json::from_str(text).ok().filter(Value::is_number);
            number.unwrap_or_else(|| Value::String(text.to_owned()))
        };
        order.insert(name.to_owned(), value);
    }
    Ok(Value::Object(order))
}

async fn call(
    address: &PlatformAddress,
    method: Method,
    path: &str,
    body: Option<Value>,
    refused: &str,
) -> Result<Value, Problem> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/admin/faults{path}", address.api_base_url.trim_end_matches('/'));
    let mut request = client.request(method, url).bearer_auth(address.token());
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.map_err(|error| {
        Problem::because(ExitCode::Unexpected, refused, &error)
            .hint("is the platform running? `holdpoint up --allow-faults` starts it")
    })?;
    let status = response.status();
    let body: Value = response.json().await.unwrap_or_default();
    if status.is_success() {
        return Ok(body);
    }
    let cause = body.get("error").and_then(Value::as_str).unwrap_or_default();
    if status == StatusCode::NOT_FOUND && !cause.contains("no fault `") {
        return Err(Problem::new(ExitCode::Refused, refused)
            .cause("the platform was started without faults")
            .hint("start it with `holdpoint up --allow-faults`"));
    }
    Err(Problem::new(ExitCode::Refused, refused).cause(cause))
}

/// A fault in one line: its id, its kind, and its fields as they are written.
fn line(fault: &Value) -> String {
    let Some(fields) = fault.as_object() else { return String::new() };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let passed_over = ["id", "kind", "created_at"];
    let shown = fields
        .iter()
        .filter(|(name, value)| !passed_over.contains(&name.as_str()) && !value.is_null());
    let fields = shown.map(|(name, value)| {
        let plain = value.as_str().map(str::to_owned);
        format!(" {name}={}", plain.unwrap_or_else(|| value.to_string()))
    });
    format!("{} {}{}", text("id"), text("kind"), fields.collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_become_an_order() {
        let fields = ["share=0.2", "app=shop", "routes=POST /v1/apps, /v1/apps/*"];
        let made = order("api_error".to_owned(), &fields.map(str::to_owned)).expect("an order");
        let wanted = json!({"kind": "api_error", "share": 0.2, "app": "shop",
                            "routes": ["POST /v1/apps", "/v1/apps/*"]});
        assert_eq!(made, wanted);
        assert!(order("kill".to_owned(), &["app".to_owned()]).is_err());
    }

    #[test]
    fn a_fault_is_one_line() {
        let fault = json!({"id": "f1", "kind": "error", "status": 500, "ends_at": null});
        assert_eq!(line(&fault), "f1 error status=500");
    }
}
