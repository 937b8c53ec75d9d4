//! `holdpoint fault`: sets, lists and removes faults of the platform that `holdpoint up` serves.
//! What a fault may say is the platform's to judge; here its fields are only passed on.

use serde_json::{Map, Value};

use crate::adapter::faults::{Faults, FaultsError};
use crate::adapter::platform::PlatformAddress;
use crate::cli::arguments::{Fault, Shared};
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};
use crate::settings::Settings;

pub(super) async fn fault(shared: &Shared, fault: Fault) -> Result<ExitCode, Problem> {
    let address = address(shared)?;
    let unusable = |error| problem("cannot ask for faults", &error);
    let faults = Faults::of(&address).map_err(unusable)?;
    match fault {
        Fault::Add { kind, fields } => {
            let set = faults.set(&order(kind, &fields)?).await;
            let set = set.map_err(|error| problem("cannot set the fault", &error))?;
            message::print(&format!("fault {} is set\n", line(&set)));
        }
        Fault::List(reading) => {
            let faults = faults.list().await;
            let faults = faults.map_err(|error| problem("cannot list the faults", &error))?;
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
            let removed = faults.remove(id.as_deref()).await;
            let count = removed.map_err(|error| problem("cannot remove the fault", &error))?;
            message::print(&format!("removed {count}\n"));
        }
    }
    Ok(ExitCode::Done)
}

fn problem(refusal: &str, error: &FaultsError) -> Problem {
    let exit = match error {
        FaultsError::Unreached { .. } => ExitCode::Unexpected,
        FaultsError::NotAllowed | FaultsError::Refused { .. } => ExitCode::Refused,
    };
    Problem::because(exit, refusal, error)
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
