//! Which of a machine's services is reached by which entrance of the proxy, and what its config
//! asks for that is not served here. Requests are not looked at.

use http::{HeaderMap, HeaderName, HeaderValue};
use machines_api::types::{Port, Service};
use serde_json::Value;

use super::connections::Manner;

/// By which way a request reaches the proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// The port for everybody: Fly's port 80. Without a TLS port it is the private one too.
    #[default]
    Plain,
    /// Fly's port 443.
    Tls,
    /// The port that machines and this computer's own tools use: Fly's private network.
    Private,
}

/// A service that can be reached.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) internal_port: u16,
    pub(crate) soft_limit: Option<usize>,
    pub(crate) hard_limit: Option<usize>,
    pub(crate) manner: Manner,
    pub(crate) doors: Doors,
}

/// How a service is reached by each entrance, if it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Doors {
    plain: Option<Door>,
    tls: Option<Door>,
    private: Option<Door>,
}

/// What a service's port says about requests that come by it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Door {
    forces_https: bool,
    answer_headers: Vec<(HeaderName, Vec<HeaderValue>)>,
}

impl Doors {
    pub(super) fn at(&self, entrance: Entrance) -> Option<&Door> {
        match entrance {
            Entrance::Plain => self.plain.as_ref(),
            Entrance::Tls => self.tls.as_ref(),
            Entrance::Private => self.private.as_ref(),
        }
    }

    /// Whether whoever comes by the plain port shall come by TLS instead.
    pub(super) fn forces_https(&self) -> bool {
        self.plain.as_ref().is_some_and(|door| door.forces_https)
    }
}

impl Door {
    fn of(port: Option<&Port>) -> Self {
        let Some(port) = port else { return Self::default() };
        let headers = http_option(port, "response").and_then(|response| response.get("headers"));
        let headers = headers.and_then(Value::as_object);
        Self {
            forces_https: port.force_https == Some(true),
            answer_headers: headers
                .into_iter()
                .flatten()
                .filter_map(|(name, values)| Some((name.parse().ok()?, header_values(values))))
                .collect(),
        }
    }

    /// Sets the headers that the config wants in answers, and takes off those that it forbids.
    pub(super) fn adorn(&self, headers: &mut HeaderMap) {
        for (name, values) in &self.answer_headers {
            headers.remove(name);
            for value in values {
                headers.append(name, value.clone());
            }
        }
    }
}

/// What the proxy can reach of a machine with these services.
pub(crate) fn offers(services: &[Service], has_tls: bool) -> Vec<Offer> {
    let door = |index, entrance| {
        let (found, port) = behind(services, entrance, has_tls)?;
        (found == index).then(|| Door::of(port))
    };
    let offer = |(index, service): (usize, &Service)| {
        let doors = Doors {
            plain: door(index, Entrance::Plain),
            tls: door(index, Entrance::Tls),
            private: door(index, Entrance::Private),
        };
        let is_reached = doors.plain.is_some() || doors.tls.is_some() || doors.private.is_some();
        let limits = service.concurrency.as_ref();
        let limit = |limit: Option<u32>| limit.and_then(|limit| usize::try_from(limit).ok());
        is_reached.then(|| Offer {
            internal_port: service.internal_port,
            soft_limit: limit(limits.and_then(|limits| limits.soft_limit)),
            hard_limit: limit(limits.and_then(|limits| limits.hard_limit)),
            manner: Manner::of(service),
            doors,
        })
    };
    services.iter().enumerate().filter_map(offer).collect()
}

/// Whether one of these services is reached by this entrance.
pub(crate) fn has_offer(services: &[Service], entrance: Entrance, has_tls: bool) -> bool {
    behind(services, entrance, has_tls).is_some()
}

/// Whether whoever comes by the plain port shall come by the TLS port instead, which there is.
pub(crate) fn forces_https(services: &[Service]) -> bool {
    let found = behind(services, Entrance::Plain, true);
    found.and_then(|(_, port)| port).is_some_and(|port| port.force_https == Some(true))
}

/// The service that an entrance leads to, and the entry of its `ports` that says so. Of several
/// it is the first.
fn behind(
    services: &[Service],
    entrance: Entrance,
    has_tls: bool,
) -> Option<(usize, Option<&Port>)> {
    let mut all = services.iter().enumerate().filter(|(_, service)| service.protocol != "udp");
    let on = |external: u16| {
        let port =
            |service: &'_ Service| service.ports.iter().position(|port| is_for(port, external));
        let mut all = services.iter().enumerate().filter(|(_, service)| service.protocol != "udp");
        all.find_map(|(index, service)| Some((index, service.ports.get(port(service)?))))
    };
    match entrance {
        Entrance::Plain if has_tls => on(80),
        Entrance::Tls => on(443),
        Entrance::Plain | Entrance::Private => on(80).or_else(|| on(443)).or_else(|| {
            let private = all.find(|(_, service)| service.ports.is_empty());
            private.map(|(index, _)| (index, None))
        }),
    }
}

fn is_for(port: &Port, external: u16) -> bool {
    let handles = |name: &str| port.handlers.iter().any(|handler| handler == name);
    covers(port, external)
        && handles("tls") == (external == 443)
        && !handles("pg_tls")
        && !handles("proxy_proto")
}

fn covers(port: &Port, external: u16) -> bool {
    let range = port.start_port.zip(port.end_port);
    port.port == Some(external)
        || range.is_some_and(|(start, end)| (start..=end).contains(&external))
}

fn header_values(values: &Value) -> Vec<HeaderValue> {
    let many = values.as_array().map_or(std::slice::from_ref(values), Vec::as_slice);
    // What is neither text nor a list, as `false`, takes the header off.
    many.iter().filter_map(|value| value.as_str()?.parse().ok()).collect()
}

fn http_option<'a>(port: &'a Port, name: &str) -> Option<&'a Value> {
    port.rest.get("http_options")?.get(name).filter(|value| !value.is_null())
}

/// What these services ask for that is not served here, in sentences for the app's log.
pub(crate) fn left_out(services: &[Service], has_tls: bool) -> Vec<String> {
    let mut all = Vec::new();
    for (index, service) in services.iter().enumerate() {
        let at = format!("of the service on port {}", service.internal_port);
        if service.protocol == "udp" {
            all.push(format!("the proxy does not reach the port {at}: it passes no UDP on"));
            continue;
        }
        for port in &service.ports {
            let is_served = |entrance| {
                behind(services, entrance, has_tls).is_some_and(|(found, known)| {
                    found == index && known.is_some_and(|known| std::ptr::eq(known, port))
                })
            };
            let name = port.port.or(port.start_port).unwrap_or_default();
            let served = [Entrance::Plain, Entrance::Tls, Entrance::Private].map(is_served);
            if !served.contains(&true) {
                let waits_for_tls = !has_tls && is_for(port, 443);
                if !waits_for_tls {
                    all.push(format!(
                        "the proxy does not serve port {name} {at}: it has port 80 (plain) and 443 \
                         (`tls`), each for the first service that names it"
                    ));
                }
                continue;
            }
            if !port.handlers.iter().any(|handler| handler == "http") {
                all.push(format!(
                    "port {name} {at} is served as if it had the handler `http`: the proxy passes \
                     no other protocol on"
                ));
            }
            if port.force_https == Some(true) && !has_tls {
                all.push(format!(
                    "`force_https` {at} is left out: the platform has no TLS port\nhint: start it \
                     with `--tls-listen ADDRESS`"
                ));
            }
            all.extend(options_left_out(port).map(|option| {
                format!("`{option}` of port {name} {at} is left out: the proxy does not know it")
            }));
        }
    }
    all
}

fn options_left_out(port: &Port) -> impl Iterator<Item = &'static str> {
    const UNKNOWN: [(&str, &str); 2] =
        [("compress", "http_options.compress"), ("idle_timeout", "http_options.idle_timeout")];
    let tls = port.rest.get("tls_options").is_some_and(|value| !value.is_null());
    let of_http = UNKNOWN.into_iter().filter(|(name, _)| http_option(port, name).is_some());
    let of_http: Vec<_> = of_http.map(|(_, told)| told).collect();
    of_http.into_iter().chain(tls.then_some("tls_options"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn services(value: Value) -> Vec<Service> {
        serde_json::from_value(value).expect("services")
    }

    fn reached(services: &[Service], entrance: Entrance, has_tls: bool) -> Option<u16> {
        let offers = offers(services, has_tls);
        let found = offers.iter().find(|offer| offer.doors.at(entrance).is_some());
        found.map(|offer| offer.internal_port)
    }

    #[test]
    fn each_entrance_leads_to_the_service_that_names_its_port() {
        let two = services(json!([
            {"protocol": "tcp", "internal_port": 8080, "ports": [{"port": 80, "handlers": ["http"]}]},
            {"protocol": "tcp", "internal_port": 9090,
             "ports": [{"start_port": 440, "end_port": 450, "handlers": ["tls", "http"]}]}
        ]));
        assert_eq!(reached(&two, Entrance::Plain, true), Some(8080));
        assert_eq!(reached(&two, Entrance::Tls, true), Some(9090));
        assert_eq!(reached(&two, Entrance::Private, true), Some(8080));
        assert_eq!(reached(&two[1..], Entrance::Plain, true), None);
        assert_eq!(reached(&two[1..], Entrance::Plain, false), Some(9090), "there is no other way");
    }

    #[test]
    fn a_service_without_ports_is_reached_privately_only() {
        let private = services(json!([{"protocol": "tcp", "internal_port": 8080}]));
        assert_eq!(reached(&private, Entrance::Private, true), Some(8080));
        assert_eq!(reached(&private, Entrance::Plain, true), None);
        assert_eq!(reached(&private, Entrance::Plain, false), Some(8080));
        let exotic = services(json!([
            {"protocol": "tcp", "internal_port": 5432, "ports": [{"port": 5432}]},
            {"protocol": "udp", "internal_port": 53, "ports": [{"port": 80}]}
        ]));
        assert!(offers(&exotic, false).is_empty());
    }

    #[test]
    fn what_is_not_served_is_told_and_nothing_else() {
        let usual = json!([{"protocol": "tcp", "internal_port": 8080, "ports": [
            {"port": 80, "handlers": ["http"], "force_https": true},
            {"port": 443, "handlers": ["http", "tls"]}]}]);
        let usual = services(usual);
        assert_eq!(left_out(&usual, true), [""; 0]);
        let told = left_out(&usual, false);
        assert!(told.len() == 1 && told[0].starts_with("`force_https`"), "{told:?}");
        let odd = services(json!([
            {"protocol": "tcp", "internal_port": 8080, "ports": [
                {"port": 80}, {"port": 8443, "handlers": ["tls", "http"]},
                {"port": 443, "handlers": ["tls", "http"], "tls_options": {"alpn": ["h2"]},
                 "http_options": {"compress": true}}]},
            {"protocol": "tcp", "internal_port": 9090, "ports": [{"port": 80, "handlers": ["http"]}]},
            {"protocol": "udp", "internal_port": 53, "ports": [{"port": 53}]}
        ]));
        let told = left_out(&odd, true).join("\n");
        for part in [
            "port 80 of the service on port 8080 is served as if",
            "serve port 8443",
            "serve port 80 of the service on port 9090",
            "`tls_options` of port 443",
            "`http_options.compress` of port 443",
            "no UDP",
        ] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }

    #[test]
    fn headers_of_answers_are_set_doubled_and_taken_off() {
        let port = json!({"port": 80, "http_options": {"response": {"headers": {
            "x-one": "1", "x-two": ["a", "b"], "server": false, "not a name": "x"}}}});
        let port: Port = serde_json::from_value(port).expect("a port");
        let mut headers = HeaderMap::new();
        headers.insert("server", HeaderValue::from_static("x"));
        headers.insert("x-one", HeaderValue::from_static("0"));
        Door::of(Some(&port)).adorn(&mut headers);
        assert_eq!(headers["x-one"], "1");
        assert_eq!(headers.get_all("x-two").iter().count(), 2);
        assert!(!headers.contains_key("server"));
    }
}
