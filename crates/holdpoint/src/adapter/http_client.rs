//! How this crate's HTTP clients are made: bounded in time and in what they read, following no
//! redirects.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response};

/// A server that doesn't even take the connection in this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client for this address whose calls end within `timeout`.
pub(crate) fn for_address(address: &str, timeout: Duration) -> reqwest::Result<Client> {
    builder_for(address).timeout(timeout).build()
}

/// The beginning of a client for this address, whose caller bounds the time of its calls.
pub(crate) fn builder_for(address: &str) -> ClientBuilder {
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(Policy::none())
        .user_agent(concat!("holdpoint/", env!("CARGO_PKG_VERSION")));
    if address.starts_with("https:") {
        return builder;
    }
    // A plain address is this computer or a private network: neither the certificate store nor a
    // proxy of the surroundings has a part in it.
    builder.no_proxy().tls_certs_only([])
}

/// The body as text, up to `limit_bytes`; the rest is left out.
pub(crate) async fn text(mut response: Response, limit_bytes: usize) -> reqwest::Result<String> {
    let mut bytes = Vec::new();
    while bytes.len() < limit_bytes
        && let Some(chunk) = response.chunk().await?
    {
        bytes.extend_from_slice(&chunk);
    }
    bytes.truncate(limit_bytes);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// An error and what caused it, without the address, which may hold a secret.
pub(crate) fn described(error: reqwest::Error) -> String {
    let error = error.without_url();
    if error.is_timeout() {
        return "no answer within the time limit".to_owned();
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
