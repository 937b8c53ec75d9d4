//! The headers that the proxy takes off and puts on, and the app that a request is for.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("fly-request-id");
pub(super) const REPLAY: HeaderName = HeaderName::from_static("fly-replay");
pub(super) const REPLAY_SOURCE: HeaderName = HeaderName::from_static("fly-replay-src");
pub(super) const FORCE_INSTANCE: HeaderName = HeaderName::from_static("fly-force-instance-id");
pub(super) const PREFER_INSTANCE: HeaderName = HeaderName::from_static("fly-prefer-instance-id");
pub(super) const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
pub(super) const SERVED_IMAGE: HeaderName = HeaderName::from_static("x-served-image");

/// Headers that speak of one connection only (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that only the proxy may set: a client's own are taken off.
const OURS: [&str; 8] = [
    "fly-client-ip",
    "fly-forwarded-port",
    "fly-region",
    "fly-request-id",
    "fly-replay-src",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-ssl",
];

/// Who sent a request, and over which port.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    pub(super) address: IpAddr,
    pub(super) proxy_port: u16,
}

/// The app that a request names by its host: `APP.localhost` or `APP.fly.dev`, with any port.
pub(super) fn app_of(parts: &Parts) -> Option<String> {
    let from_header = || parts.headers.get(header::HOST)?.to_str().ok();
    let host = parts.uri.authority().map(http::uri::Authority::as_str).or_else(from_header)?;
    let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let app = host.strip_suffix(".localhost").or_else(|| host.strip_suffix(".fly.dev"))?;
    (!app.is_empty()).then(|| app.to_owned())
}

/// Makes a client's headers those of the request to the machine.
pub(super) fn prepare_request(
    headers: &mut HeaderMap,
    sender: Sender,
    region: &str,
    request_id: &str,
) {
    remove_hop_by_hop(headers);
    // The proxy answers an expectation itself as soon as it reads the body.
    headers.remove(header::EXPECT);
    for name in OURS {
        headers.remove(name);
    }
    let address = sender.address.to_string();
    let known = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    let forwarded = known.map_or_else(|| address.clone(), |known| format!("{known}, {address}"));
    let port = sender.proxy_port.to_string();
    for (name, value) in [
        ("x-forwarded-for", forwarded.as_str()),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", &port),
        ("x-forwarded-ssl", "off"),
        ("fly-client-ip", &address),
        ("fly-forwarded-port", &port),
        ("fly-region", region),
        ("fly-request-id", request_id),
    ] {
        set(headers, HeaderName::from_static(name), value);
    }
    headers.append(header::VIA, HeaderValue::from_static("1.1 platform-local"));
}

/// Makes a machine's headers those of the answer to the client.
pub(super) fn prepare_answer(headers: &mut HeaderMap, request_id: &str) {
    remove_hop_by_hop(headers);
    set(headers, REQUEST_ID, request_id);
    headers.append(header::VIA, HeaderValue::from_static("1.1 platform-local"));
}

/// Sets a header, unless the value cannot stand in one.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => {
            headers.insert(name, value);
        }
        Err(error) => tracing::debug!(%name, %error, "a header was left out"),
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn app(host: &str) -> Option<String> {
        app_of(&Request::builder().header("host", host).body(()).expect("request").into_parts().0)
    }

    #[test]
    fn the_host_names_the_app() {
        assert_eq!(app("shop.localhost").as_deref(), Some("shop"));
        assert_eq!(app("Shop.localhost:8080").as_deref(), Some("shop"));
        assert_eq!(app("shop.fly.dev").as_deref(), Some("shop"));
        assert_eq!(app("localhost:8080"), None);
        assert_eq!(app(".localhost"), None);
    }

    #[test]
    fn a_client_cannot_pass_itself_off_as_another() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("fly-client-ip", "8.8.8.8"),
            ("fly-replay-src", "instance=x"),
            ("connection", "close, x-secret"),
            ("x-secret", "hop"),
            ("x-forwarded-for", "1.2.3.4"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let sender = Sender { address: IpAddr::from([127, 0, 0, 1]), proxy_port: 80 };
        prepare_request(&mut headers, sender, "local", "id");
        assert_eq!(headers["fly-client-ip"], "127.0.0.1");
        assert_eq!(headers["x-forwarded-for"], "1.2.3.4, 127.0.0.1");
        for gone in ["fly-replay-src", "x-secret", "connection"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
    }
}
