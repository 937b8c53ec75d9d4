//! Requests to the API of a real platform: each is answered, never with a fault of the platform,
//! and the wire types keep what they have read.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use machines_api::types::{CreateMachine, UpdateMachine};
use oci_image::layout::Layout;
use platform_local::{Platform, Settings};
use reqwest::{Client, Method, StatusCode, Url};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::mutate::Mutator;

const TOKEN: &str = "token";

/// Inputs after which everything is removed, so that the platform stays small.
const ROUND: usize = 300;

/// What stands in seeds for a machine that exists, and for the digest of an image that does.
const MACHINE: &str = "MACHINE";
const DIGEST: &str = "DIGEST";

/// Between a request's first line and its body.
const BREAK: &[u8] = b"\n\n";

pub(crate) struct World {
    runtime: Runtime,
    client: Client,
    base: Url,
    image: String,
    machine: String,
    tried: usize,
    /// Both serve until the end.
    _platform: Platform,
    _state: TempDir,
}

impl World {
    pub(super) fn new() -> io::Result<Self> {
        let state = TempDir::new()?;
        let layout = Layout::open(state.path().join("images")).map_err(io::Error::other)?;
        // An image without a program: machines come into being, and none of them can do harm.
        let config = layout
            .put_blob(br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#)
            .map_err(io::Error::other)?;
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"c","digest":"{config}","size":1}},"layers":[]}}"#
        );
        let image = layout.put_manifest(manifest.as_bytes(), BTreeMap::new());
        let image = image.map_err(io::Error::other)?.to_string();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let platform = runtime
            .block_on(Platform::start(Settings::new(state.path(), TOKEN)))
            .map_err(io::Error::other)?;
        let base = format!("http://{}/", platform.api_address());
        let base = Url::parse(&base).map_err(io::Error::other)?;
        // No answer of these routes takes nearly as long.
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build();
        let client = client.map_err(io::Error::other)?;
        let mut world = Self {
            runtime,
            client,
            base,
            image,
            machine: String::new(),
            tried: 0,
            _platform: platform,
            _state: state,
        };
        world.begin();
        Ok(world)
    }

    /// An app with one machine, and nothing else.
    fn begin(&mut self) {
        let (_, apps) = self.ask("GET", "v1/apps?org_slug=personal", Vec::new());
        let apps: Value = serde_json::from_str(&apps).unwrap_or_default();
        for app in apps.get("apps").and_then(Value::as_array).into_iter().flatten() {
            let name = app.get("name").and_then(Value::as_str).unwrap_or_default();
            self.ask("DELETE", &format!("v1/apps/{name}?force=true"), Vec::new());
        }
        let order = r#"{"app_name":"shop","org_slug":"personal"}"#;
        self.ask("POST", "v1/apps", order.into());
        let order = format!(
            r#"{{"name":"one","skip_launch":true,"config":{{"image":"127.0.0.1/shop@{}"}}}}"#,
            self.image
        );
        let (_, made) = self.ask("POST", "v1/apps/shop/machines", order.into());
        let made: Value = serde_json::from_str(&made).expect("a machine");
        made.get("id").and_then(Value::as_str).expect("an id").clone_into(&mut self.machine);
    }

    pub(super) fn attempt(&mut self, input: &[u8]) {
        let (first, body) = parts(input);
        let first = self.filled(&String::from_utf8_lossy(first));
        let body = match std::str::from_utf8(body) {
            Ok(text) => self.filled(text).into_bytes(),
            Err(_) => body.to_vec(),
        };
        keeps::<CreateMachine>(&body);
        keeps::<UpdateMachine>(&body);
        let (method, path) = first.split_once(' ').unwrap_or(("POST", &first));
        let (status, answer) = self.ask(method, path.trim_start_matches('/'), body);
        assert!(status != StatusCode::INTERNAL_SERVER_ERROR, "{first}: {status} {answer}");
        self.tried += 1;
        if self.tried.is_multiple_of(ROUND) {
            self.begin();
        }
    }

    fn filled(&self, text: &str) -> String {
        text.replace(MACHINE, &self.machine).replace(DIGEST, &self.image)
    }

    /// Status and text of the answer; there must be one.
    fn ask(&self, method: &str, path: &str, body: Vec<u8>) -> (StatusCode, String) {
        let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::POST);
        let Ok(url) = self.base.join(path) else { return Default::default() };
        // Words in front of a colon would lead to other servers.
        if url.origin() != self.base.origin() {
            return Default::default();
        }
        self.runtime.block_on(async {
            let request = self.client.request(method, url).bearer_auth(TOKEN).body(body);
            let answer = request.send().await.expect("it is answered");
            (answer.status(), answer.text().await.expect("the answer is whole"))
        })
    }
}

/// What can be read can be written, and is then read as the same.
fn keeps<T>(body: &[u8])
where
    T: serde::de::DeserializeOwned + serde::Serialize,
{
    let Ok(read) = serde_json::from_slice::<T>(body) else { return };
    let written = serde_json::to_string(&read).expect("what was read can be written");
    let again: T = serde_json::from_str(&written).expect("and read again");
    assert_eq!(serde_json::to_string(&again).expect("as before"), written);
}

fn parts(input: &[u8]) -> (&[u8], &[u8]) {
    let place = input.windows(BREAK.len()).position(|window| window == BREAK);
    let (first, body) = input.split_at(place.unwrap_or(input.len()));
    (first, body.get(BREAK.len()..).unwrap_or_default())
}

pub(super) fn varied(mutator: &mut Mutator, seeds: &[Vec<u8>]) -> Vec<u8> {
    if mutator.one_in(4) {
        return mutator.text(seeds);
    }
    let seed: &Vec<u8> = mutator.pick(seeds);
    let (first, body) = parts(seed);
    let Ok(mut body) = serde_json::from_slice::<Value>(body) else {
        return mutator.text(seeds);
    };
    loop {
        mutator.json(&mut body);
        if mutator.one_in(3) {
            return [first, BREAK, body.to_string().as_bytes()].concat();
        }
    }
}
