//! Begins the clients of other servers: each trusts the public certificate authorities, also where
//! the computer has no list of them, as in an image that holds nothing but this program.

/// A client's beginning. Without a list of its own it could not even be made there.
pub(crate) fn builder() -> reqwest::ClientBuilder {
    let authorities = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    let certificates = authorities.filter_map(|der| reqwest::Certificate::from_der(der).ok());
    reqwest::Client::builder().tls_certs_merge(certificates)
}
