//! Holds every answer of the Machines API to the structure of Fly's OpenAPI file, apart from the
//! deviations that are listed. A property that the file does not know is a violation as well.

#![expect(clippy::indexing_slicing, reason = "what JSON lacks is null")]

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::deviations;

/// The statuses that the file rarely lists, each with the usual error body.
const ERRORS: std::ops::RangeInclusive<u16> = 400..=599;

struct Schemas {
    whole: Value,
    deviations: Vec<(&'static str, &'static str, u16, Value)>,
}

/// Whether the answer to this call has the right shape; otherwise what is wrong with it.
pub fn check(method: &str, path: &str, status: u16, body: &[u8]) -> Result<(), String> {
    let path = path.split('?').next().unwrap_or_default();
    if !path.starts_with("/v1/") {
        return Ok(());
    }
    let schemas = schemas();
    let wrong = |what: String| {
        let body: String = String::from_utf8_lossy(body).chars().take(2000).collect();
        format!("{method} {path} answered {status}, {what}\n{body}")
    };
    let Some((template, operation)) = schemas.operation(method, path) else {
        let is_plain = status == 404 || status == 405;
        return if is_plain { Ok(()) } else { Err(wrong("but no such call is known".to_owned())) };
    };
    let schema = schemas.of(method, template, operation, status);
    match schema {
        Some(Value::Null) => Ok(()),
        Some(schema) => {
            let value: Value = serde_json::from_slice(body)
                .map_err(|error| wrong(format!("but not in JSON: {error}")))?;
            let mut errors = Vec::new();
            schemas.compare(&schema, &value, "", &mut errors);
            if errors.is_empty() { Ok(()) } else { Err(wrong(errors.join("\n"))) }
        }
        None => Err(wrong("which is no status of this call".to_owned())),
    }
}

fn schemas() -> &'static Schemas {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        let text = include_str!("../fixtures/machines-openapi.json");
        let mut whole: Value = serde_json::from_str(text).expect("the fixture is JSON");
        for (schema, property, shape) in deviations::properties() {
            whole["schemas"][schema]["properties"][property] = shape;
        }
        for schema in whole["schemas"].as_object_mut().expect("schemas").values_mut() {
            close(schema);
        }
        Schemas { whole, deviations: deviations::answers() }
    })
}

/// Refuses properties that a schema does not list, if it lists any.
fn close(schema: &mut Value) {
    if schema.get("properties").is_some() && schema.get("additionalProperties").is_none() {
        schema["additionalProperties"] = json!(false);
    }
}

impl Schemas {
    /// The call with its path as the file writes it; one without placeholders goes first.
    fn operation(&self, method: &str, path: &str) -> Option<(&str, &Value)> {
        let paths = self.whole["paths"].as_object()?;
        let mut fitting: Vec<_> = paths.iter().filter(|(known, _)| fits(known, path)).collect();
        fitting.sort_by_key(|(known, _)| known.matches('{').count());
        let method = method.to_lowercase();
        fitting
            .into_iter()
            .find_map(|(known, methods)| Some((known.as_str(), methods.get(&method)?)))
    }

    /// The schema of an answer: null if it may be anything, none if it may not be.
    fn of(&self, method: &str, template: &str, operation: &Value, status: u16) -> Option<Value> {
        let deviation = self.deviations.iter().find(|(of_method, of_path, of_status, _)| {
            of_method.eq_ignore_ascii_case(method) && *of_path == template && *of_status == status
        });
        if let Some((_, _, _, schema)) = deviation {
            return Some(schema.clone());
        }
        let listed = operation.get(status.to_string()).cloned();
        let error = || json!({"$ref": "#/schemas/ErrorResponse"});
        listed.or_else(|| ERRORS.contains(&status).then(error))
    }

    /// Notes where a value is not as its schema says. The fixture uses these few keywords only.
    fn compare(&self, schema: &Value, value: &Value, place: &str, errors: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.trim_start_matches("#/schemas/");
            return self.compare(&self.whole["schemas"][name], value, place, errors);
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.compare(part, value, place, errors);
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            errors.push(format!("{place} is {value}, none of {allowed:?}"));
        }
        let types = match &schema["type"] {
            Value::String(name) => vec![name.as_str()],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
        };
        if !types.is_empty() && !types.iter().any(|name| is_a(name, value)) {
            errors.push(format!("{place} is {value}, but must be {types:?}"));
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if value.get(name).is_none() {
                errors.push(format!("{place} lacks `{name}`"));
            }
        }
        for (name, value) in value.as_object().into_iter().flatten() {
            let place = format!("{place}/{name}");
            match (schema["properties"].get(name), &schema["additionalProperties"]) {
                (Some(property), _) => self.compare(property, value, &place, errors),
                (None, Value::Bool(false)) => errors.push(format!("{place} is not in the schema")),
                (None, any @ Value::Object(_)) => self.compare(any, value, &place, errors),
                (None, _) => {}
            }
        }
        for (index, value) in value.as_array().into_iter().flatten().enumerate() {
            self.compare(&schema["items"], value, &format!("{place}/{index}"), errors);
        }
    }
}

fn is_a(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => false,
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (mut known, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (known.next(), given.next()) {
            (None, None) => return true,
            (Some(known), Some(given)) if known == given => {}
            (Some(known), Some(given)) if known.starts_with('{') && !given.is_empty() => {}
            _ => return false,
        }
    }
}
