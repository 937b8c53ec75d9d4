//! The proxy's TLS: an authority of this platform's own, and certificates that it signs when a
//! client asks for a name. What is done with a connection afterwards is not decided here.

mod authority;
mod leaves;

use std::sync::Arc;

use tokio_rustls::rustls::{self, ServerConfig, crypto::aws_lc_rs};

pub(crate) use authority::Authority;
pub use authority::AuthorityError;

use leaves::Leaves;

/// What clients may choose from after the handshake, by preference.
const PROTOCOLS: [&[u8]; 2] = [HTTP_2, b"http/1.1"];

/// The name of HTTP/2 in a handshake.
pub(crate) const HTTP_2: &[u8] = b"h2";

/// How the proxy speaks TLS, with certificates of this authority.
pub(crate) fn server_config(authority: Authority) -> Result<Arc<ServerConfig>, AuthorityError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let leaves = Leaves::new(authority, &provider)?;
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error: rustls::Error| AuthorityError::Key(error.to_string()))?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(leaves));
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok(Arc::new(config))
}
