//! What clients note on a machine, without making a new version of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reading::null_as_default;

/// Body and reply of `…/metadata/{key}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetadataValue {
    pub value: String,
}

/// Body of `PUT` and `PATCH …/metadata`: several keys at once. A `null` or an empty text removes
/// a key; keys that are not named stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateMetadata {
    #[serde(deserialize_with = "null_as_default")]
    pub metadata: BTreeMap<String, Option<String>>,
    /// The `instance_id` that the caller last saw; another one refuses the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_version: Option<String>,
    /// The `updated_at` that the caller last saw, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
}
