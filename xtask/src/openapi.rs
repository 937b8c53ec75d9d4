//! Makes the fixture that every answer of a Machines API is validated against: the structure of
//! Fly's OpenAPI file without its prose. What its schemas mean is not known here.

use std::{fs, path::Path};

use serde_json::{Map, Value};

use crate::failure::Failure;

/// What a schema says about the shape of a value; everything else in it is prose or a tool's own.
const STRUCTURE: [&str; 7] =
    ["$ref", "additionalProperties", "allOf", "enum", "items", "required", "type"];

/// Reduces the file at `source` and writes the result to `target`.
pub(crate) fn reduce(source: &Path, target: &Path) -> Result<(), Failure> {
    let unreadable = |error: String| {
        let what = format!("cannot read the OpenAPI file `{}`", source.display());
        Failure::new(what, "name a JSON file of OpenAPI 3").because(error)
    };
    let text = fs::read_to_string(source).map_err(|error| unreadable(error.to_string()))?;
    let whole: Value =
        serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
    let mut text = format!("{:#}", reduced(&whole));
    text.push('\n');
    fs::write(target, text).map_err(|error| {
        let what = format!("cannot write `{}`", target.display());
        Failure::new(what, "name a file in a folder that exists").because(error)
    })
}

fn reduced(whole: &Value) -> Value {
    let at = |place| whole.pointer(place).unwrap_or(&Value::Null);
    let schemas = entries(at("/components/schemas"), |_, schema| Some(structure(schema)));
    let paths = entries(at("/paths"), |_, methods| {
        Some(entries(methods, |_, operation| {
            operation.get("responses").map(|responses| {
                entries(responses, |_, response| {
                    let schema = response.pointer("/content/application~1json/schema");
                    Some(schema.map_or(Value::Null, structure))
                })
            })
        }))
    });
    let mut all = Map::new();
    all.insert("paths".to_owned(), paths);
    all.insert("schemas".to_owned(), schemas);
    Value::Object(all)
}

/// The structure of a schema. The names under `properties` are the API's own: all of them stay.
fn structure(schema: &Value) -> Value {
    match schema {
        Value::Object(_) => {
            let mut kept =
                entries(schema, |name, value| STRUCTURE.contains(&name).then(|| structure(value)));
            if let (Value::Object(kept), Some(properties)) = (&mut kept, schema.get("properties")) {
                let properties = entries(properties, |_, property| Some(structure(property)));
                kept.insert("properties".to_owned(), properties);
            }
            kept
        }
        Value::Array(items) => Value::Array(items.iter().map(structure).collect()),
        Value::String(text) => Value::String(text.replace("#/components/schemas/", "#/schemas/")),
        Value::Null | Value::Bool(_) | Value::Number(_) => schema.clone(),
    }
}

fn entries(object: &Value, change: impl Fn(&str, &Value) -> Option<Value>) -> Value {
    let entries = object.as_object().into_iter().flatten();
    Value::Object(
        entries
            .filter_map(|(name, value)| change(name, value).map(|value| (name.clone(), value)))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_structure_stays_and_the_prose_goes() {
        let whole = json!({
            "info": {"title": "An API"},
            "paths": {"/v1/apps": {"get": {
                "summary": "Prose",
                "responses": {
                    "200": {"description": "Prose", "content": {"application/json": {
                        "schema": {"$ref": "#/components/schemas/App"}}}},
                    "202": {"description": "Prose"}}}}},
            "components": {"schemas": {"App": {"type": "object", "description": "Prose",
                "properties": {"description": {"type": "string", "example": "Prose"}}}}}
        });
        let expected = json!({
            "paths": {"/v1/apps": {"get": {"200": {"$ref": "#/schemas/App"}, "202": null}}},
            "schemas": {"App": {"type": "object",
                "properties": {"description": {"type": "string"}}}}
        });
        assert_eq!(reduced(&whole), expected);
    }
}
