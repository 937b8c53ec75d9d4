//! A platform with a TLS port, and clients that trust its authority.

use std::{net::SocketAddr, path::Path};

use reqwest::{Certificate, ClientBuilder};

use super::{PATIENCE, World};

/// A platform with a TLS port.
pub async fn world() -> World {
    World::with(|settings| settings.tls_listen = Some(settings.proxy_listen)).await
}

pub fn tls_address(world: &World) -> SocketAddr {
    world.platform.as_ref().and_then(|platform| platform.tls()).expect("a TLS port").address
}

/// A client that finds the app `shop` at this address and trusts this file only.
pub fn client(tls: SocketAddr, ca_file: &Path) -> ClientBuilder {
    let pem = std::fs::read(ca_file).expect("the authority's certificate");
    let authority = Certificate::from_pem(&pem).expect("a certificate");
    ClientBuilder::new()
        .no_proxy()
        .timeout(PATIENCE)
        .tls_certs_only([authority])
        .resolve("shop.localhost", tls)
        .resolve("shop.example", tls)
}

pub fn client_of(world: &World) -> ClientBuilder {
    let tls = world.platform.as_ref().and_then(|platform| platform.tls()).expect("a TLS port");
    client(tls.address, &tls.ca_file)
}

pub fn url(tls: SocketAddr, path: &str) -> String {
    format!("https://shop.localhost:{}{path}", tls.port())
}
