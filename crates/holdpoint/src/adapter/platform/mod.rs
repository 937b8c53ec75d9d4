//! Carries out effects on machines through the Machines API. It looks before it acts, so that an
//! effect that was done before is not done again; it never decides what to do next.

mod address;
mod fleet;
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

/// The metadata key that holds the id of the effect which made a machine's current version.
pub const EFFECT_KEY: &str = "holdpoint_effect";

/// The Machines API.
#[derive(Clone, Debug)]
pub struct Platform {
    client: Client,
    address: PlatformAddress,
}

/// Why the platform can't be used.
#[derive(Debug, Error)]
pub enum PlatformError {
    /// No client could be made.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Platform {
    /// The platform at this address. Nothing is sent yet.
    pub fn new(address: &PlatformAddress) -> Result<Self, PlatformError> {
        let client = Client::new(&address.api_base_url, address.token())?;
        Ok(Self { client, address: address.clone() })
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
