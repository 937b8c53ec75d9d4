//! A client that orders changes of one app, and knows what must be there after each answer. It
//! gives one order at a time, so that at most one is without an answer when the platform is killed.

use std::collections::BTreeMap;

use oci_image::ImageDigest;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Client, config, until};

const MACHINES: u32 = 3;

/// What there is of an app.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    pub machines: BTreeMap<String, MachineFacts>,
    secrets: BTreeMap<String, String>,
    /// Other apps of this client.
    apps: Vec<String>,
}

/// What there is of a machine. What only an answer tells is unknown while there is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MachineFacts {
    pub id: String,
    pub instance: Option<String>,
    pub runs: bool,
    version: String,
    note: Option<String>,
    is_leased: bool,
    nonce: Option<String>,
}

impl Facts {
    /// Whether this, which may hold unknowns, is what was seen.
    fn is(&self, seen: &Self) -> bool {
        let fits = |(name, known): (&String, &MachineFacts)| {
            seen.machines.get(name).is_some_and(|seen| known.is(seen))
        };
        self.secrets == seen.secrets
            && self.apps == seen.apps
            && self.machines.len() == seen.machines.len()
            && self.machines.iter().all(fits)
    }
}

impl MachineFacts {
    fn is(&self, seen: &Self) -> bool {
        let known = Self {
            id: if self.id.is_empty() { seen.id.clone() } else { self.id.clone() },
            instance: self.instance.clone().or_else(|| seen.instance.clone()),
            nonce: if self.is_leased {
                self.nonce.clone().or_else(|| seen.nonce.clone())
            } else {
                None
            },
            ..self.clone()
        };
        known == *seen
    }
}

/// One order, and what there is when it was carried out.
struct Order {
    method: Method,
    path: String,
    body: Value,
    nonce: Option<String>,
    /// The machine that the answer tells of.
    machine: String,
    after: Facts,
    must_be_refused: bool,
}

pub struct Writer {
    pub app: String,
    pub accepted: u32,
    image: ImageDigest,
    random: StdRng,
    number: u32,
    known: Facts,
    /// What there is too if the order without an answer was carried out.
    or_else: Option<Facts>,
    history: Vec<String>,
}

impl Writer {
    pub fn new(app: String, image: ImageDigest, seed: u64) -> Self {
        Self {
            app,
            accepted: 0,
            image,
            random: StdRng::seed_from_u64(seed),
            number: 0,
            known: Facts::default(),
            or_else: None,
            history: Vec::new(),
        }
    }

    /// Orders one thing after the other until there is no answer.
    pub async fn work_until_killed(mut self, api: Client) -> Self {
        self.history.clear();
        loop {
            let order = self.next_order();
            let what = format!("{} {} {}", order.method, order.path, order.body);
            let nonce = order.nonce.as_deref();
            let answer = api.attempt(order.method.clone(), &order.path, order.body, nonce).await;
            let Ok((status, answer)) = answer else {
                self.history.push(format!("{what}: no answer"));
                self.or_else = (!order.must_be_refused).then_some(order.after);
                return self;
            };
            self.history.push(format!("{what}: {status}"));
            assert!(!status.is_server_error(), "{what}: {status} {answer}");
            if status.is_success() {
                assert!(!order.must_be_refused, "{what} was not refused");
                self.accepted += 1;
                self.known = order.after;
                self.learn(&order.machine, &answer);
            }
        }
    }

    /// What an answer tells of a machine.
    fn learn(&mut self, machine: &str, answer: &Value) {
        let Some(known) = self.known.machines.get_mut(machine) else { return };
        known.id = text(answer, "/id").unwrap_or_else(|| known.id.clone());
        known.instance = text(answer, "/instance_id").or_else(|| known.instance.clone());
        known.nonce = text(answer, "/data/nonce").or_else(|| known.nonce.clone());
    }

    fn next_order(&mut self) -> Order {
        self.number += 1;
        let number = self.number;
        let (app, mut after) = (self.app.clone(), self.known.clone());
        let order = |method, path: String, body, after| Order {
            method,
            path,
            body,
            nonce: None,
            machine: String::new(),
            after,
            must_be_refused: false,
        };
        let choice = self.random.random_range(0..14_u32);
        let name = format!("m{}", self.random.random_range(0..MACHINES));
        match choice {
            0 => {
                let key = format!("KEY_{}", number % 3);
                after.secrets.insert(key.clone(), number.to_string());
                let body = json!({"values": {key: number.to_string()}});
                return order(Method::POST, format!("/v1/apps/{app}/secrets"), body, after);
            }
            1 => {
                let body = json!({"name": app, "org_slug": "personal"});
                let refused = order(Method::POST, "/v1/apps".to_owned(), body, after);
                return Order { must_be_refused: true, ..refused };
            }
            2 | 3 => {
                if let Some(other) = after.apps.pop() {
                    let path = format!("/v1/apps/{other}?force=true");
                    return order(Method::DELETE, path, Value::Null, after);
                }
                let other = format!("{app}-other-{number}");
                after.apps.push(other.clone());
                let body = json!({"name": other, "org_slug": "personal"});
                return order(Method::POST, "/v1/apps".to_owned(), body, after);
            }
            _ => {}
        }
        let Some(machine) = self.known.machines.get(&name).cloned() else {
            let skip = self.random.random_bool(0.3);
            let made = MachineFacts {
                version: number.to_string(),
                runs: !skip,
                ..MachineFacts::default()
            };
            after.machines.insert(name.clone(), made);
            let body = json!({"name": name, "config": self.config(number), "skip_launch": skip});
            let path = format!("/v1/apps/{app}/machines");
            return Order { machine: name, ..order(Method::POST, path, body, after) };
        };
        let nonce = machine.nonce.clone();
        Order { nonce, ..self.order_for(choice, &name, machine, after) }
    }

    /// An order for a machine that is there.
    fn order_for(
        &mut self,
        choice: u32,
        name: &str,
        machine: MachineFacts,
        mut after: Facts,
    ) -> Order {
        let number = self.number;
        let path = format!("/v1/apps/{}/machines/{}", self.app, machine.id);
        let (method, path, body, changed) = match choice {
            4 => (Method::DELETE, format!("{path}?force=true"), Value::Null, None),
            5 | 6 => {
                let body = json!({"value": number.to_string()});
                let note = Some(number.to_string());
                let changed = MachineFacts { note, ..machine };
                (Method::POST, format!("{path}/metadata/note"), body, Some(changed))
            }
            7 if machine.is_leased => {
                let changed = MachineFacts { is_leased: false, nonce: None, ..machine };
                (Method::DELETE, format!("{path}/lease"), Value::Null, Some(changed))
            }
            7 => {
                let changed = MachineFacts { is_leased: true, nonce: None, ..machine };
                (Method::POST, format!("{path}/lease"), json!({"ttl": 600}), Some(changed))
            }
            8 => {
                let changed = MachineFacts { runs: true, ..machine };
                (Method::POST, format!("{path}/start"), Value::Null, Some(changed))
            }
            9 => {
                let changed = MachineFacts { runs: false, ..machine };
                (Method::POST, format!("{path}/stop"), Value::Null, Some(changed))
            }
            _ => {
                let skip = self.random.random_bool(0.2);
                let must_be_refused = choice == 10;
                let mut body = json!({"config": self.config(number), "skip_launch": skip});
                let seen = json!(must_be_refused.then_some("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
                body.as_object_mut().expect("an object").insert("current_version".into(), seen);
                let version = number.to_string();
                let changed =
                    MachineFacts { version, note: None, runs: !skip, instance: None, ..machine };
                after.machines.insert(name.to_owned(), changed);
                let method = Method::POST;
                let machine = name.to_owned();
                return Order { method, path, body, nonce: None, machine, after, must_be_refused };
            }
        };
        match changed {
            Some(changed) => after.machines.insert(name.to_owned(), changed),
            None => after.machines.remove(name),
        };
        let machine = name.to_owned();
        Order { method, path, body, nonce: None, machine, after, must_be_refused: false }
    }

    fn config(&self, number: u32) -> Value {
        let version = number.to_string();
        serde_json::to_value(config(&self.image, &[("VERSION", &version)])).expect("a config")
    }

    /// Looks at what there is, which must be what is known; gives it.
    pub async fn compare(&mut self, api: &Client) -> Facts {
        until("every machine comes to rest", || async {
            let machines = self.machines(api).await;
            let state = |machine| text(machine, "/state").expect("a state");
            let at_rest = ["created", "started", "stopped", "failed"];
            machines.iter().all(|machine| at_rest.contains(&state(machine).as_str()))
        })
        .await;
        let seen = self.look(api).await;
        let fits = self.known.is(&seen) || self.or_else.take().is_some_and(|other| other.is(&seen));
        assert!(
            fits,
            "of {} there is\n{seen:#?}\nbut was\n{:#?}\nafter\n{}",
            self.app,
            self.known,
            self.history.join("\n")
        );
        self.or_else = None;
        self.known = seen.clone();
        seen
    }

    async fn machines(&self, api: &Client) -> Vec<Value> {
        let path = format!("/v1/apps/{}/machines", self.app);
        let list = api.done(Method::GET, &path, Value::Null).await;
        list.as_array().expect("a list").clone()
    }

    async fn look(&self, api: &Client) -> Facts {
        let mut facts = Facts::default();
        for machine in self.machines(api).await {
            let id = text(&machine, "/id").expect("an id");
            let lease = format!("/v1/apps/{}/machines/{id}/lease", self.app);
            let (status, lease) = api.call(Method::GET, &lease, Value::Null).await;
            let seen = MachineFacts {
                id,
                instance: text(&machine, "/instance_id"),
                runs: text(&machine, "/state").as_deref() == Some("started"),
                version: text(&machine, "/config/env/VERSION").unwrap_or_default(),
                note: text(&machine, "/config/metadata/note"),
                is_leased: status.is_success(),
                nonce: text(&lease, "/data/nonce"),
            };
            facts.machines.insert(text(&machine, "/name").expect("a name"), seen);
        }
        let path = format!("/v1/apps/{}/secrets?show_secrets=true", self.app);
        let secrets = api.done(Method::GET, &path, Value::Null).await;
        for secret in list(&secrets, "/secrets") {
            let name = text(secret, "/name").expect("a name");
            facts.secrets.insert(name, text(secret, "/value").expect("a value"));
        }
        let apps = api.done(Method::GET, "/v1/apps?org_slug=personal", Value::Null).await;
        let names = list(&apps, "/apps").iter().filter_map(|app| text(app, "/name"));
        facts.apps = names.filter(|name| name.starts_with(&format!("{}-", self.app))).collect();
        facts
    }
}

fn text(value: &Value, place: &str) -> Option<String> {
    value.pointer(place)?.as_str().map(str::to_owned)
}

fn list<'a>(value: &'a Value, place: &str) -> &'a [Value] {
    value.pointer(place).and_then(Value::as_array).expect("a list")
}
