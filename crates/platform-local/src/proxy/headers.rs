//! The headers that the proxy takes off and puts on, and the app that a request is for.

use std::{borrow::Cow, net::IpAddr};

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{self, CONNECTION, HOST, TE, UPGRADE},
    request::Parts,
};

use super::offer::Entrance;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("fly-request-id");
pub(super) const REPLAY: HeaderName = HeaderName::from_static("fly-replay");
pub(super) const REPLAY_SOURCE: HeaderName = HeaderName::from_static("fly-replay-src");
pub(super) const REPLAY_FAILED: HeaderName = HeaderName::from_static("fly-replay-failed");
pub(super) const CACHE_CONTROL: HeaderName = HeaderName::from_static("fly-replay-cache-control");
pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("fly-replay-cache-status");
pub(super) const FORCE_INSTANCE: HeaderName = HeaderName::from_static("fly-force-instance-id");
pub(super) const PREFER_INSTANCE: HeaderName = HeaderName::from_static("fly-prefer-instance-id");
pub(super) const FORCE_REGION: HeaderName = HeaderName::from_static("fly-force-region");
pub(super) const PREFER_REGION: HeaderName = HeaderName::from_static("fly-prefer-region");
pub(super) const PREFERRED_UNAVAILABLE: HeaderName =
    HeaderName::from_static("fly-preferred-instance-unavailable");
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
const SERVED_IMAGE: HeaderName = HeaderName::from_static("x-served-image");
const CLIENT_IP: HeaderName = HeaderName::from_static("fly-client-ip");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("fly-forwarded-port");
const REGION: HeaderName = HeaderName::from_static("fly-region");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_SSL: HeaderName = HeaderName::from_static("x-forwarded-ssl");

const VIA_1: HeaderValue = HeaderValue::from_static("1.1 platform-local");
const VIA_2: HeaderValue = HeaderValue::from_static("2 platform-local");
const SERVER: HeaderValue = HeaderValue::from_static("platform-local");

/// Who sent a request, and how it came: the same for all requests of a connection.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub(super) entrance: Entrance,
    address: HeaderValue,
    port: HeaderValue,
}

impl Sender {
    pub(super) fn new(address: IpAddr, proxy_port: u16, entrance: Entrance) -> Self {
        let value = |text: String| HeaderValue::try_from(text).expect("an address is plain text");
        Self { entrance, address: value(address.to_string()), port: proxy_port.into() }
    }
}

/// The two headers by which an answer says which machine and image it comes from.
#[derive(Debug)]
pub(crate) struct Signature {
    machine: HeaderValue,
    image: HeaderValue,
}

impl Signature {
    pub(super) fn new(machine: &str, image_digest: &str) -> Self {
        let value = |text| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("?"));
        Self { machine: value(machine), image: value(image_digest) }
    }

    pub(super) fn sign(&self, headers: &mut HeaderMap) {
        headers.insert(SERVED_BY, self.machine.clone());
        headers.insert(SERVED_IMAGE, self.image.clone());
    }
}

/// The host that a request names, without its port.
pub(super) fn host_of(parts: &Parts) -> Option<&str> {
    let from_header = || parts.headers.get(HOST)?.to_str().ok();
    let host = parts.uri.authority().map(http::uri::Authority::as_str).or_else(from_header)?;
    host.split(':').next()
}

/// The same address by TLS.
pub(super) fn https_address(parts: &Parts, port: u16) -> Option<HeaderValue> {
    let host = host_of(parts)?;
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let path = if path.starts_with('/') { path } else { "/" };
    HeaderValue::try_from(format!("https://{host}{port}{path}")).ok()
}

/// The app that a host names: `APP.localhost` or `APP.fly.dev`.
pub(crate) fn app_of(host: &str) -> Option<Cow<'_, str>> {
    let host = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    };
    let length = ["localhost", "fly.dev"]
        .iter()
        .find_map(|end| host.strip_suffix(end)?.strip_suffix('.').map(str::len))
        .filter(|length| *length > 0)?;
    Some(match host {
        Cow::Borrowed(host) => Cow::Borrowed(host.get(..length)?),
        Cow::Owned(mut host) => {
            host.truncate(length);
            Cow::Owned(host)
        }
    })
}

/// Whether a request asks for another protocol on its connection, such as a web socket.
pub(super) fn asks_for_upgrade(parts: &Parts) -> bool {
    parts.version == Version::HTTP_11
        && parts.headers.contains_key(UPGRADE)
        && names(&parts.headers, "upgrade")
}

/// Makes a client's headers those of the request to a machine.
pub(super) fn prepare_request(
    headers: &mut HeaderMap,
    version: Version,
    sender: &Sender,
    region: &HeaderValue,
    request_id: &HeaderValue,
    is_upgrade: bool,
) {
    let upgrade = headers.get(UPGRADE).filter(|_| is_upgrade).cloned();
    let takes_trailers = headers.get(TE).is_some_and(|te| lists(te, "trailers"));
    strip(headers, true);
    headers.reserve(12);
    if version == Version::HTTP_2 {
        // HTTP/2 clients send each cookie by itself (RFC 9113, section 8.2.3).
        join(headers, &header::COOKIE, "; ");
    }
    join(headers, &X_FORWARDED_FOR, ", ");
    let forwarded = match headers.get(X_FORWARDED_FOR).and_then(|known| known.to_str().ok()) {
        Some(known) => {
            let address = sender.address.to_str().unwrap_or_default();
            HeaderValue::try_from(format!("{known}, {address}")).unwrap_or(sender.address.clone())
        }
        None => sender.address.clone(),
    };
    let secure = if sender.entrance == Entrance::Tls { ("https", "on") } else { ("http", "off") };
    headers.insert(X_FORWARDED_FOR, forwarded);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(secure.0));
    headers.insert(X_FORWARDED_PORT, sender.port.clone());
    headers.insert(X_FORWARDED_SSL, HeaderValue::from_static(secure.1));
    headers.insert(CLIENT_IP, sender.address.clone());
    headers.insert(FORWARDED_PORT, sender.port.clone());
    headers.insert(REGION, region.clone());
    headers.insert(REQUEST_ID, request_id.clone());
    headers.append(header::VIA, via(version));
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(upgrade) = upgrade {
        headers.insert(UPGRADE, upgrade);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Makes a machine's headers those of the answer to the client.
pub(super) fn prepare_answer(
    headers: &mut HeaderMap,
    version: Version,
    request_id: HeaderValue,
    is_upgrade: bool,
) {
    let upgrade = headers.get(UPGRADE).filter(|_| is_upgrade).cloned();
    strip(headers, false);
    headers.reserve(6);
    headers.insert(REQUEST_ID, request_id);
    headers.insert(header::SERVER, SERVER);
    headers.append(header::VIA, via(version));
    if let Some(upgrade) = upgrade {
        headers.insert(UPGRADE, upgrade);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
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

/// Makes one line of several of the same name.
fn join(headers: &mut HeaderMap, name: &HeaderName, between: &str) {
    let values: Vec<_> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    if values.len() < 2 {
        return;
    }
    let joined = HeaderValue::from_bytes(&values.join(between.as_bytes()));
    headers.insert(name, joined.expect("values and what stands between them are values"));
}

fn via(version: Version) -> HeaderValue {
    if version == Version::HTTP_2 { VIA_2 } else { VIA_1 }
}

/// Takes off what speaks of one connection only, and from a request what only the proxy may say.
fn strip(headers: &mut HeaderMap, is_request: bool) {
    let mut doomed: Vec<HeaderName> = Vec::new();
    for name in headers.keys() {
        if is_hop_by_hop(name) || (is_request && is_ours(name)) {
            doomed.push(name.clone());
        }
    }
    if doomed.is_empty() {
        return;
    }
    if doomed.contains(&CONNECTION) {
        let listed = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
        let listed = listed.flat_map(|value| value.split(','));
        let named = listed.filter_map(|name| name.trim().parse().ok());
        // Without these two the message itself would change.
        doomed.extend(named.filter(|name| *name != HOST && *name != header::CONTENT_LENGTH));
    }
    for name in doomed {
        headers.remove(name);
    }
}

/// Headers that speak of one connection only (RFC 9110, section 7.6.1). An expectation is among
/// them: the proxy answers it itself as soon as it reads the body. `Trailer` is not.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "expect"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Headers that a machine cannot change when it has a request replayed.
pub(super) fn is_set_by_the_proxy(name: &HeaderName) -> bool {
    is_ours(name) || is_hop_by_hop(name) || *name == header::CONTENT_LENGTH
}

/// Headers that only the proxy may set: a client's own are taken off.
fn is_ours(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "fly-client-ip"
            | "fly-forwarded-port"
            | "fly-preferred-instance-unavailable"
            | "fly-region"
            | "fly-replay-cache-status"
            | "fly-replay-failed"
            | "fly-replay-src"
            | "fly-request-id"
            | "x-forwarded-port"
            | "x-forwarded-proto"
            | "x-forwarded-ssl"
    )
}

fn names(headers: &HeaderMap, wanted: &str) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| lists(value, wanted))
}

fn lists(value: &HeaderValue, wanted: &str) -> bool {
    let text = value.to_str().unwrap_or_default();
    text.split(',').any(|item| item.trim().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: HeaderValue = HeaderValue::from_static("id");
    const LOCAL: HeaderValue = HeaderValue::from_static("local");

    fn prepared(pairs: &[(&'static str, &'static str)], is_upgrade: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let sender = Sender::new(IpAddr::from([127, 0, 0, 1]), 80, Entrance::Plain);
        prepare_request(&mut headers, Version::HTTP_11, &sender, &LOCAL, &ID, is_upgrade);
        headers
    }

    #[test]
    fn the_host_names_the_app() {
        assert_eq!(app_of("shop.localhost").as_deref(), Some("shop"));
        assert_eq!(app_of("Shop.LocalHost").as_deref(), Some("shop"));
        assert_eq!(app_of("shop.fly.dev").as_deref(), Some("shop"));
        assert_eq!(app_of("localhost"), None);
        assert_eq!(app_of(".localhost"), None);
        assert_eq!(app_of("shoplocalhost"), None);
    }

    #[test]
    fn a_client_cannot_pass_itself_off_as_another() {
        let headers = prepared(
            &[
                ("fly-client-ip", "8.8.8.8"),
                ("fly-replay-src", "instance=x"),
                ("connection", "close, x-secret, host"),
                ("x-secret", "hop"),
                ("host", "shop.localhost"),
                ("x-forwarded-for", "1.2.3.4"),
            ],
            false,
        );
        assert_eq!(headers["fly-client-ip"], "127.0.0.1");
        assert_eq!(headers["x-forwarded-for"], "1.2.3.4, 127.0.0.1");
        assert_eq!(headers["host"], "shop.localhost");
        for gone in ["fly-replay-src", "x-secret", "connection"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
    }

    #[test]
    fn cookies_that_came_one_by_one_and_the_proxies_before_this_one_are_joined() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("cookie", "a=1"), ("cookie", "b=2")] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        for value in ["1.2.3.4", "5.6.7.8"] {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(value));
        }
        let sender = Sender::new(IpAddr::from([127, 0, 0, 1]), 80, Entrance::Tls);
        prepare_request(&mut headers, Version::HTTP_2, &sender, &LOCAL, &ID, false);
        assert_eq!(headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        assert_eq!(headers["x-forwarded-for"], "1.2.3.4, 5.6.7.8, 127.0.0.1");
        assert_eq!(headers.get_all("x-forwarded-for").iter().count(), 1);
    }

    #[test]
    fn an_upgrade_and_the_wish_for_trailers_travel_on() {
        let asked = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        let headers = prepared(&asked, true);
        assert_eq!(headers["connection"], "upgrade");
        assert_eq!(headers["upgrade"], "websocket");
        assert!(!prepared(&asked, false).contains_key("upgrade"));
        let headers = prepared(&[("te", "gzip, trailers"), ("trailer", "x-sum")], false);
        assert_eq!(headers["te"], "trailers");
        assert_eq!(headers["trailer"], "x-sum");
    }
}
