//! JSON schemas of the tools' inputs and outputs, made from their types.
//!
//! References are inlined and Rust's number formats left out: some clients refuse both.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, transform};

/// The schema of `T`, an object.
pub(super) fn of<T: JsonSchema>() -> Arc<JsonObject> {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let settings = settings.with_transform(plain_numbers);
    let schema = settings.into_generator().into_root_schema_for::<T>();
    Arc::new(schema.to_value().as_object().cloned().unwrap_or_default())
}

fn plain_numbers(schema: &mut Schema) {
    schema.remove("format");
    transform::transform_subschemas(&mut plain_numbers, schema);
}
