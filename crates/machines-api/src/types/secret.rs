//! Secrets of an app. Values go in and, unless asked for, never come out; no
//! debug text shows one.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::reading::{null_as_default, text_or_milliseconds};

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Secret {
    pub name: String,
    /// Tells two values apart without showing them.
    pub digest: String,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text_or_milliseconds")]
    pub created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text_or_milliseconds")]
    pub updated_at: Option<Timestamp>,
    /// Only given when asked with `show_secrets`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Secret")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// Reply to `GET` and `POST …/secrets`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretsReply {
    #[serde(deserialize_with = "null_as_default")]
    pub secrets: Vec<Secret>,
    /// Grows with every write; a machine created with it as
    /// `min_secrets_version` sees this write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The same under the name that older clients read.
    #[serde(rename = "Version", skip_serializing_if = "Option::is_none")]
    pub old_version: Option<u64>,
}

/// Body of `POST …/secrets/{name}`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretValue {
    pub value: String,
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SecretValue").finish_non_exhaustive()
    }
}

/// Reply to `POST` and `DELETE …/secrets/{name}`; after a deletion without the secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretReply {
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    pub version: u64,
    /// The same under the name that older clients read.
    #[serde(rename = "Version")]
    pub old_version: u64,
}

/// Body of `POST …/secrets`; `null` deletes a secret.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SetSecrets {
    #[serde(deserialize_with = "null_as_default")]
    pub values: BTreeMap<String, Option<String>>,
}

impl fmt::Debug for SetSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_text_never_shows_a_value() {
        let secret = Secret { value: Some("hunter2".to_owned()), ..Secret::default() };
        let values = BTreeMap::from([("KEY".to_owned(), Some("hunter2".to_owned()))]);
        let shown = format!("{secret:?} {:?}", SetSecrets { values });
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("KEY"), "{shown}");
    }
}
