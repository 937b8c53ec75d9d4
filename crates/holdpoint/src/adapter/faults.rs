//! Sets, lists and removes faults of a platform that was started with them (`holdpoint up
//! --allow-faults`). What a fault may say is the platform's to judge; here it is only passed on.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use thiserror::Error;

use super::http_client;
use super::platform::PlatformAddress;

/// A platform on this computer that takes longer does not answer any more.
const TIMEOUT: Duration = Duration::from_secs(20);

/// More than any list of faults has.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Why the platform did not do as it was asked.
#[derive(Debug, Error)]
pub enum FaultsError {
    /// It could not be asked.
    #[error(
        "the platform could not be asked: {message}\nhint: is it running? `holdpoint up --allow-faults` starts it"
    )]
    Unreached {
        /// What stood against it.
        message: String,
    },
    /// It takes no faults.
    #[error(
        "the platform was started without faults\nhint: start it with `holdpoint up --allow-faults`"
    )]
    NotAllowed,
    /// It said no.
    #[error("{message}")]
    Refused {
        /// Its words.
        message: String,
    },
}

/// The faults of one platform.
#[derive(Debug)]
pub struct Faults {
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Faults {
    /// The faults of this platform. Nothing is sent yet.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn of(address: &PlatformAddress) -> Result<Self, FaultsError> {
        let base = address.api_base_url.trim_end_matches('/');
        let client = http_client::for_address(base, TIMEOUT)
            .map_err(|error| FaultsError::Unreached { message: http_client::described(error) })?;
        Ok(Self { client, url: format!("{base}/admin/faults"), token: address.token().to_owned() })
    }

    /// Sets a fault; gives it as the platform tells it, with its `id`.
    ///
    /// # Errors
    /// When the platform can't be asked, or refuses.
    pub async fn set(&self, fault: &Value) -> Result<Value, FaultsError> {
        self.call(Method::POST, "", Some(fault)).await
    }

    /// Every fault that is set.
    ///
    /// # Errors
    /// When the platform can't be asked, or refuses.
    pub async fn list(&self) -> Result<Vec<Value>, FaultsError> {
        let listed = self.call(Method::GET, "", None).await?;
        Ok(listed.get("faults").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// Removes one fault, or all. Gives how many went.
    ///
    /// # Errors
    /// When the platform can't be asked, or refuses.
    pub async fn remove(&self, id: Option<&str>) -> Result<u64, FaultsError> {
        let path = id.map_or_else(String::new, |id| format!("/{id}"));
        let removed = self.call(Method::DELETE, &path, None).await?;
        Ok(removed.get("removed").and_then(Value::as_u64).unwrap_or(1))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, FaultsError> {
        let unreached = |error| FaultsError::Unreached { message: http_client::described(error) };
        let mut request =
            self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(unreached)?;
        let status = response.status();
        let text = http_client::text(response, ANSWER_BYTES_MAX).await.map_err(unreached)?;
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(body);
        }
        let message = body.get("error").and_then(Value::as_str).unwrap_or(text.trim()).to_owned();
        // A platform that knows of faults names the one that it does not have.
        if status == StatusCode::NOT_FOUND && !message.contains("no fault `") {
            return Err(FaultsError::NotAllowed);
        }
        Err(FaultsError::Refused { message })
    }
}
