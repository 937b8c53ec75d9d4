//! Carries out effects on machines through the Machines API. It looks before it acts, so that an
//! effect that was done before is not done again; it never decides what to do next.

mod address;
mod health;
mod lease;
mod machine;
mod observe;
mod outcome;
mod secrets;
mod stop;

use machines_api::client::{Client, ClientError};
use thiserror::Error;

pub use address::PlatformAddress;
pub use machine::{CreateRequest, UpdateRequest};
pub use observe::{AppFile, AppFileError, ObserveError, app_file, health_paths};
pub use secrets::SecretsError;

use super::http_client;

/// The metadata key that holds the id of the effect which made a machine's current version.
pub const EFFECT_KEY: &str = "holdpoint_effect";

/// The Machines API.
#[derive(Clone, Debug)]
pub struct Platform {
    client: Client,
    address: PlatformAddress,
    secrets: secrets::SecretsReader,
}

/// Why the platform can't be used.
#[derive(Debug, Error)]
pub enum PlatformError {
    /// No client could be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No client for secrets could be made.
    #[error(
        "could not prepare HTTP for the platform: {message}\nhint: install the system's root certificates (Debian: `ca-certificates`)"
    )]
    Http {
        /// What the client says.
        message: String,
    },
}

impl Platform {
    /// The platform at this address. Nothing is sent yet.
    pub fn new(address: &PlatformAddress) -> Result<Self, PlatformError> {
        let client = Client::new(&address.api_base_url, address.token())?;
        let secrets = secrets::SecretsReader::new(address)
            .map_err(|error| PlatformError::Http { message: http_client::described(error) })?;
        Ok(Self { client, address: address.clone(), secrets })
    }

    /// The client, for what only some callers ask.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where it is reached.
    pub fn address(&self) -> &PlatformAddress {
        &self.address
    }
}
