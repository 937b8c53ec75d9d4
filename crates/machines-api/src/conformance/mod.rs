//! Cases that every server of the Machines API can be held to, run against any
//! base URL. The suite makes an app of its own and deletes it; a case that fails
//! says what was expected and what came, and the others go on.
//!
//! Time passes only inside the server's `wait`; this side never sleeps. A
//! server that limits rates as strictly as Fly's does may refuse some calls.

mod apps;
mod inside;
mod leases;
mod lifecycle;
mod machines;
mod volumes;

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fmt::Display;
use std::hash::{BuildHasher, Hasher};

use crate::client::Client;
use crate::error::ApiError;
use crate::types::{
    CreateMachine, Guest, Machine, MachineConfig, StopConfig, WaitState, WireDuration,
};

/// A machine that isn't there after this is not coming; the server's own bound of one `wait`.
const WAIT_SECS: u64 = 60;

/// The organization that every account has.
const ORG_SLUG: &str = "personal";

/// How one case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseOutcome {
    pub name: &'static str,
    pub result: Result<(), String>,
}

/// What the cases share.
struct Suite {
    client: Client,
    base_url: String,
    token: String,
    image: String,
    app: String,
}

/// Runs every case in turn. `image` is one that keeps running when started.
pub async fn run(base_url: &str, token: &str, image: &str) -> Vec<CaseOutcome> {
    let mut outcomes = Vec::new();
    let mut note = |name, result| outcomes.push(CaseOutcome { name, result });
    let client = match Client::new(base_url, token) {
        Ok(client) => client,
        Err(error) => {
            note("a client can be made", Err(error.to_string()));
            return outcomes;
        }
    };
    let suite = Suite {
        client,
        base_url: base_url.trim_end_matches('/').to_owned(),
        token: token.to_owned(),
        image: image.to_owned(),
        app: format!("conformance-{:016x}", RandomState::new().build_hasher().finish()),
    };
    let created = Box::pin(apps::created(&suite)).await;
    let usable = created.is_ok();
    note("a created app can be read, and its name is taken", created);
    note("an unknown token is answered 401", Box::pin(apps::unknown_token(&suite)).await);
    note("an app that is not there is answered 404", Box::pin(apps::unknown_app(&suite)).await);
    if usable {
        for (name, result) in Box::pin(with_app(&suite)).await {
            note(name, result);
        }
    }
    note("a deleted app is gone", Box::pin(apps::deleted(&suite)).await);
    outcomes
}

async fn with_app(suite: &Suite) -> Vec<(&'static str, Result<(), String>)> {
    vec![
        ("a body that is no JSON is answered 400", Box::pin(apps::broken_body(suite)).await),
        ("a machine that is not there is answered 404", Box::pin(machines::unknown(suite)).await),
        ("a created machine starts and is listed", Box::pin(machines::created(suite)).await),
        ("a machine is found by its metadata", Box::pin(machines::found(suite)).await),
        ("metadata changes without a new version", Box::pin(machines::metadata(suite)).await),
        ("a machine created without launch stays", Box::pin(machines::unlaunched(suite)).await),
        ("an update gives a new version", Box::pin(lifecycle::updated(suite)).await),
        ("an update from a stale version is refused", Box::pin(lifecycle::stale(suite)).await),
        ("a machine stops and starts again", Box::pin(lifecycle::stopped(suite)).await),
        ("a machine restarts", Box::pin(lifecycle::restarted(suite)).await),
        ("a machine is cordoned and uncordoned", Box::pin(lifecycle::cordoned(suite)).await),
        ("a machine is suspended and resumed", Box::pin(lifecycle::suspended(suite)).await),
        ("a machine takes signals", Box::pin(lifecycle::signalled(suite)).await),
        ("a deleted machine is gone", Box::pin(lifecycle::deleted(suite)).await),
        ("a wait goes on from an event", Box::pin(lifecycle::awaited(suite)).await),
        ("several metadata change at once", Box::pin(machines::several(suite)).await),
        ("a machine's processes are listed", Box::pin(inside::listed(suite)).await),
        ("a program that is not there is not run", Box::pin(inside::missing(suite)).await),
        ("a volume is made, extended and deleted", Box::pin(volumes::kept(suite)).await),
        ("a lease keeps others out", Box::pin(leases::held(suite)).await),
        ("a lease is refreshed and released", Box::pin(leases::refreshed(suite)).await),
        ("a lease expires", Box::pin(leases::expired(suite)).await),
        ("a stale nonce is refused", Box::pin(leases::stale_nonce(suite)).await),
        ("secrets show a digest, never a value", Box::pin(apps::secrets(suite)).await),
    ]
}

impl Suite {
    /// A small machine without services, so that nothing but the calls moves it.
    fn create_body(&self) -> CreateMachine {
        CreateMachine {
            config: MachineConfig {
                image: self.image.clone(),
                guest: Some(Guest {
                    cpu_kind: "shared".to_owned(),
                    cpus: 1,
                    memory_mb: 256,
                    ..Guest::default()
                }),
                env: BTreeMap::from([("CONFORMANCE".to_owned(), "first".to_owned())]),
                stop_config: Some(StopConfig {
                    timeout: Some(WireDuration::from_secs(5)),
                    ..StopConfig::default()
                }),
                ..MachineConfig::default()
            },
            ..CreateMachine::default()
        }
    }

    /// A new machine that runs.
    async fn started_machine(&self) -> Result<Machine, String> {
        let machine = self.client.create_machine(&self.app, &self.create_body(), None).await;
        let machine = told(machine)?;
        self.wait(&machine, WaitState::Started).await?;
        self.read(&machine).await
    }

    async fn read(&self, machine: &Machine) -> Result<Machine, String> {
        told(self.client.get_machine(&self.app, &machine.id).await)
    }

    async fn wait(&self, machine: &Machine, state: WaitState) -> Result<(), String> {
        let version = Some(machine.instance_id.as_str());
        let wait = self.client.wait(&self.app, &machine.id, state, version, WAIT_SECS).await;
        let reply = told(wait)?;
        expect(reply.ok, "the answer to wait says ok", &reply)
    }

    async fn remove(&self, machine: &Machine) -> Result<(), String> {
        told(self.client.delete(&self.app, &machine.id, true, None).await)
    }

    /// Lets about a second pass on the server, by waiting there for what doesn't come.
    async fn pass_a_second(&self, machine: &Machine) -> Result<(), String> {
        let wait = self.client.wait(&self.app, &machine.id, WaitState::Suspended, None, 1).await;
        refusal(wait, 408, "a wait that cannot succeed").map(|_| ())
    }
}

/// An error of the API as the words of a case.
fn told<T>(result: Result<T, ApiError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// Fails the case unless `holds`.
fn expect(holds: bool, what: &str, seen: &impl std::fmt::Debug) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("expected that {what}, but saw {seen:?}")) }
}

/// The error that a call must end with.
fn refusal<T: std::fmt::Debug>(
    result: Result<T, ApiError>,
    status: u16,
    call: impl Display,
) -> Result<ApiError, String> {
    match result {
        Ok(answer) => Err(format!("expected {status} for {call}, but it was done: {answer:?}")),
        Err(error) if error.status == Some(status) && !error.message.is_empty() => Ok(error),
        Err(error) => Err(format!("expected {status} and a message for {call}, but: {error}")),
    }
}
