//! Puts an app's secrets back to the values they had at a version. Values are read and written
//! here, and nowhere else; they enter no text.

use std::collections::BTreeMap;
use std::time::Duration;

use holdpoint_core::effect::{Evidence, Outcome};
use holdpoint_core::id::AppName;
use machines_api::types::SecretsReply;
use reqwest::Client;
use reqwest::header::AUTHORIZATION;
use thiserror::Error;

use super::{Platform, PlatformAddress, outcome};
use crate::adapter::http_client;

/// Reading some names and values takes a platform no longer than this.
const TIMEOUT: Duration = Duration::from_secs(30);

/// More than any app's secrets together.
const ANSWER_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// Tokens that begin so are macaroons, which Fly takes under a scheme of their own.
const MACAROON_PREFIXES: [&str; 3] = ["fm1r_", "fm1a_", "fm2_"];

/// Reads secrets with their values or their version, which the client's list leaves out.
#[derive(Clone, Debug)]
pub(super) struct SecretsReader {
    client: Client,
    address: PlatformAddress,
}

/// Why secrets could not be read.
#[derive(Debug, Error)]
#[error("could not read the secrets of app `{app}`: {message}")]
pub struct SecretsError {
    /// The app.
    pub app: String,
    /// What went wrong.
    pub message: String,
}

impl SecretsReader {
    pub(super) fn new(address: &PlatformAddress) -> reqwest::Result<Self> {
        let client = http_client::for_address(&address.api_base_url, TIMEOUT)?;
        Ok(Self { client, address: address.clone() })
    }

    async fn read(
        &self,
        app: &str,
        query: &[(&str, String)],
    ) -> Result<SecretsReply, SecretsError> {
        let failed = |message: String| SecretsError { app: app.to_owned(), message };
        let base = self.address.api_base_url.trim_end_matches('/');
        let request = self
            .client
            .get(format!("{base}/v1/apps/{app}/secrets"))
            .header(AUTHORIZATION, authorization(self.address.token()))
            .query(query);
        let response = request.send().await.map_err(http_client::described).map_err(failed)?;
        let status = response.status();
        let text = http_client::text(response, ANSWER_LIMIT_BYTES).await;
        let text = text.map_err(http_client::described).map_err(failed)?;
        if !status.is_success() {
            return Err(failed(format!("the API answered {}", status.as_u16())));
        }
        // The parser's own words could quote a value.
        serde_json::from_str(&text)
            .map_err(|_quotes_values| failed("the answer can't be understood".to_owned()))
    }
}

impl Platform {
    /// The version of an app's secrets, where the platform tells it.
    pub async fn secrets_version(&self, app: &AppName) -> Result<Option<u64>, SecretsError> {
        Ok(self.secrets.read(app.as_str(), &[]).await?.version)
    }

    /// Puts an app's secrets back to the values that they had at `version`: changed ones get
    /// their old value, later ones are removed.
    pub async fn restore_secrets(&self, app: &AppName, version: u64) -> Outcome {
        let name = app.as_str();
        let now = match self.secrets.read(name, &[]).await {
            Ok(now) => now,
            Err(error) => return outcome::failed(error.to_string()),
        };
        if now.version == Some(version) {
            return Outcome::Done(Evidence::Plain);
        }
        let query = [("version", version.to_string()), ("show_secrets", true.to_string())];
        let then = match self.secrets.read(name, &query).await {
            Ok(then) => then,
            Err(error) => return outcome::failed(error.to_string()),
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

fn authorization(token: &str) -> String {
    let token = token.trim();
    if token.starts_with("FlyV1 ") {
        token.to_owned()
    } else if MACAROON_PREFIXES.iter().any(|prefix| token.starts_with(prefix)) {
        format!("FlyV1 {token}")
    } else {
        format!("Bearer {token}")
    }
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
        SecretsReply { secrets, version: None }
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
