//! Puts an app's secrets back to the values they had at a version. Values are read and written
//! here, and nowhere else; they enter no text.

use std::collections::BTreeMap;

use holdpoint_core::effect::{Evidence, Outcome};
use holdpoint_core::id::AppName;
use machines_api::error::ApiError;
use machines_api::types::SecretsReply;

use super::{Platform, outcome};

impl Platform {
    /// The version of an app's secrets, where the platform tells it.
    pub async fn secrets_version(&self, app: &AppName) -> Result<Option<u64>, ApiError> {
        Ok(self.client.secrets(app.as_str(), None, false).await?.version)
    }

    /// Puts an app's secrets back to the values that they had at `version`: changed ones get
    /// their old value, later ones are removed.
    pub async fn restore_secrets(&self, app: &AppName, version: u64) -> Outcome {
        let name = app.as_str();
        let now = match self.client.secrets(name, None, false).await {
            Ok(now) => now,
            Err(error) => return outcome::of(&error),
        };
        if now.version == Some(version) {
            return Outcome::Done(Evidence::Plain);
        }
        let then = match self.client.secrets(name, Some(version), true).await {
            Ok(then) => then,
            Err(error) => return outcome::of(&error),
        };
        if then.version.is_some_and(|found| found != version) {
            return outcome::refused(format!(
                "the platform no longer knows version {version} of the secrets of app `{app}`"
            ));
        }
        let values = match changes(&now, then) {
            Ok(values) => values,
            Err(missing) => {
                return outcome::refused(format!(
                    "the platform does not give the value of secret `{missing}` of app `{app}`"
                ));
            }
        };
        if values.is_empty() {
            return Outcome::Done(Evidence::Plain);
        }
        match self.client.set_secrets(name, &values).await {
            Ok(_version) => Outcome::Done(Evidence::Plain),
            Err(error) => outcome::of(&error),
        }
    }
}

/// What to write so that `now` becomes `then`; or the name of a secret whose value is not given.
fn changes(
    now: &SecretsReply,
    then: SecretsReply,
) -> Result<BTreeMap<String, Option<String>>, String> {
    let digests: BTreeMap<&str, &str> =
        now.secrets.iter().map(|secret| (secret.name.as_str(), secret.digest.as_str())).collect();
    let mut values: BTreeMap<String, Option<String>> =
        digests.keys().map(|name| ((*name).to_owned(), None)).collect();
    for secret in then.secrets {
        if digests.get(secret.name.as_str()) == Some(&secret.digest.as_str()) {
            values.remove(&secret.name);
            continue;
        }
        match secret.value {
            Some(value) => values.insert(secret.name, Some(value)),
            None => return Err(secret.name),
        };
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use machines_api::types::Secret;

    use super::*;

    fn reply(secrets: &[(&str, &str, Option<&str>)]) -> SecretsReply {
        let secrets = secrets
            .iter()
            .map(|(name, digest, value)| Secret {
                name: (*name).to_owned(),
                digest: (*digest).to_owned(),
                value: value.map(str::to_owned),
                ..Secret::default()
            })
            .collect();
        SecretsReply { secrets, ..SecretsReply::default() }
    }

    #[test]
    fn only_what_differs_is_written_back() {
        let now = reply(&[("KEPT", "1", None), ("CHANGED", "2", None), ("ADDED", "3", None)]);
        let then = reply(&[
            ("KEPT", "1", None),
            ("CHANGED", "0", Some("old")),
            ("REMOVED", "4", Some("gone")),
        ]);
        let values = changes(&now, then).expect("values");
        let expected = BTreeMap::from([
            ("ADDED".to_owned(), None),
            ("CHANGED".to_owned(), Some("old".to_owned())),
            ("REMOVED".to_owned(), Some("gone".to_owned())),
        ]);
        assert_eq!(values, expected);
    }

    #[test]
    fn a_value_that_is_not_given_is_named() {
        let missing = changes(&reply(&[]), reply(&[("KEY", "1", None)]));
        assert_eq!(missing, Err("KEY".to_owned()));
    }
}
