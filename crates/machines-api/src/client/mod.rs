//! The client of the Machines API: one method per call, each made once, each
//! bounded in time. It classifies a failure and leaves waiting and repeating to
//! its caller.

mod secrets;
mod volumes;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::Method;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::Url;
use thiserror::Error;

use crate::call::Call;
use crate::error::{ApiError, ErrorClass};
use crate::types::{
    AcquireLease, App, CreateApp, CreateMachine, ExecMachine, ExecReply, Lease, LeaseEnvelope,
    Machine, MachineEvent, MachineVersion, MetadataValue, ProcessStat, StartReply, StopMachine,
    UpdateMachine, UpdateMetadata, WaitReply, WaitState,
};

/// Creating or updating a machine fetches its image first, which takes Fly up to a minute.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(75);

/// A server that doesn't even take the connection in this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The server holds a `wait` for as long as it was told; this is for the way there and back.
const WAIT_MARGIN: Duration = Duration::from_secs(10);

/// The server's own bounds of one `wait`, in seconds; longer ones are made by repeating it.
const WAIT_SECS: std::ops::RangeInclusive<u64> = 1..=60;

/// Tokens that begin so are macaroons, which Fly takes under a scheme of their own.
const MACAROON_PREFIXES: [&str; 3] = ["fm1r_", "fm1a_", "fm2_"];

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    request_timeout: Duration,
}

/// Why no client could be made.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error(
        "`{base_url}` is not the address of a Machines API: {reason}\nhint: write it as `https://api.machines.dev` or `http://127.0.0.1:4280`"
    )]
    BaseUrl { base_url: String, reason: String },
    #[error(
        "the token of the Machines API holds characters that no header can carry\nhint: set the token again, without line breaks"
    )]
    Token,
    #[error(
        "could not prepare HTTPS for the Machines API: {0}\nhint: install the system's root certificates (package `ca-certificates`)"
    )]
    Transport(#[source] reqwest::Error),
}

impl Client {
    /// A client for the API at `base_url`, which has no path: Fly's own client
    /// would lose one.
    pub fn new(base_url: &str, token: &str) -> Result<Self, ClientError> {
        let refuse =
            |reason: String| ClientError::BaseUrl { base_url: base_url.to_owned(), reason };
        let base = Url::parse(base_url).map_err(|error| refuse(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(refuse(format!("`{}` is neither http nor https", base.scheme())));
        }
        if base.path() != "/" {
            return Err(refuse(format!("it has the path `{}`", base.path())));
        }
        let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization(token)?)]);
        let mut builder = reqwest::Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!("machines-api/", env!("CARGO_PKG_VERSION")));
        if base.scheme() == "http" {
            // A plain address is this computer or a private network: neither the
            // certificate store nor a proxy of the surroundings has a part in it.
            builder = builder.no_proxy().tls_certs_only([]);
        }
        let http = builder.build().map_err(ClientError::Transport)?;
        Ok(Self { http, base, request_timeout: REQUEST_TIMEOUT })
    }

    /// The same client with another limit on the time of one call (`wait` has its own).
    #[must_use]
    pub fn with_request_timeout(self, request_timeout: Duration) -> Self {
        Self { request_timeout, ..self }
    }

    /// Creates an app. Fly's answer to this call holds little more than the id.
    pub async fn create_app(&self, app: &str, org_slug: &str) -> Result<(), ApiError> {
        let body = CreateApp { name: app.to_owned(), org_slug: org_slug.to_owned(), network: None };
        let call = self.call(Method::POST, &["apps"], format!("create app `{app}`"));
        call.body(&body).done().await
    }

    pub async fn get_app(&self, app: &str) -> Result<App, ApiError> {
        self.call(Method::GET, &["apps", app], format!("read app `{app}`")).json().await
    }

    /// Deletes an app with all its machines.
    pub async fn delete_app(&self, app: &str) -> Result<(), ApiError> {
        let call = self.call(Method::DELETE, &["apps", app], format!("delete app `{app}`"));
        call.query(&[("force", "true")]).done().await
    }

    pub async fn list_machines(&self, app: &str) -> Result<Vec<Machine>, ApiError> {
        let operation = format!("list the machines of app `{app}`");
        self.call(Method::GET, &["apps", app, "machines"], operation).json().await
    }

    /// The machines whose metadata hold `key` with `value`: how a create with an
    /// unknown outcome is looked up.
    pub async fn find_machines(
        &self,
        app: &str,
        key: &str,
        value: &str,
    ) -> Result<Vec<Machine>, ApiError> {
        let operation = format!("find the machines of app `{app}` with `{key}`");
        let call = self.call(Method::GET, &["apps", app, "machines"], operation);
        call.query(&[(format!("metadata.{key}"), value)]).json().await
    }

    pub async fn get_machine(&self, app: &str, id: &str) -> Result<Machine, ApiError> {
        self.machine_call(Method::GET, app, id, &[], "read").json().await
    }

    /// Creates a machine. After an unknown outcome, look for it with
    /// [`Client::find_machines`] before creating another.
    pub async fn create_machine(
        &self,
        app: &str,
        create: &CreateMachine,
        nonce: Option<&str>,
    ) -> Result<Machine, ApiError> {
        let operation = format!("create a machine of app `{app}`");
        let call = self.call(Method::POST, &["apps", app, "machines"], operation);
        call.nonce(nonce).body(create).json().await
    }

    /// Replaces the machine's whole config; a running machine is restarted.
    pub async fn update_machine(
        &self,
        app: &str,
        id: &str,
        update: &UpdateMachine,
        nonce: Option<&str>,
    ) -> Result<Machine, ApiError> {
        let call = self.machine_call(Method::POST, app, id, &[], "update");
        call.nonce(nonce).body(update).json().await
    }

    pub async fn start(
        &self,
        app: &str,
        id: &str,
        nonce: Option<&str>,
    ) -> Result<StartReply, ApiError> {
        self.machine_call(Method::POST, app, id, &["start"], "start").nonce(nonce).json().await
    }

    /// Asks the machine to stop; `wait` tells when it has.
    pub async fn stop(
        &self,
        app: &str,
        id: &str,
        stop: &StopMachine,
        nonce: Option<&str>,
    ) -> Result<(), ApiError> {
        let call = self.machine_call(Method::POST, app, id, &["stop"], "stop");
        call.nonce(nonce).body(stop).done().await
    }

    pub async fn restart(&self, app: &str, id: &str, nonce: Option<&str>) -> Result<(), ApiError> {
        self.machine_call(Method::POST, app, id, &["restart"], "restart").nonce(nonce).done().await
    }

    /// Freezes the machine with its memory; the next start resumes it.
    pub async fn suspend(&self, app: &str, id: &str, nonce: Option<&str>) -> Result<(), ApiError> {
        self.machine_call(Method::POST, app, id, &["suspend"], "suspend").nonce(nonce).done().await
    }

    /// Deletes a machine; `force` kills it first if it runs.
    pub async fn delete(
        &self,
        app: &str,
        id: &str,
        force: bool,
        nonce: Option<&str>,
    ) -> Result<(), ApiError> {
        // Fly's documents say `force`, its client `kill`.
        let query = [("force", force), ("kill", force)];
        let call = self.machine_call(Method::DELETE, app, id, &[], "delete");
        call.nonce(nonce).query(&query).done().await
    }

    /// Takes the machine from the proxy; it goes on running.
    pub async fn cordon(&self, app: &str, id: &str, nonce: Option<&str>) -> Result<(), ApiError> {
        self.machine_call(Method::POST, app, id, &["cordon"], "cordon").nonce(nonce).done().await
    }

    /// Gives the machine back to the proxy.
    pub async fn uncordon(&self, app: &str, id: &str, nonce: Option<&str>) -> Result<(), ApiError> {
        let call = self.machine_call(Method::POST, app, id, &["uncordon"], "uncordon");
        call.nonce(nonce).done().await
    }

    /// Waits until the machine, in the version `instance_id` if given, is in
    /// `state`, for 1 to 60 s. The end of that time is an error of class retry
    /// ([`ApiError::is_wait_timeout`]).
    pub async fn wait(
        &self,
        app: &str,
        id: &str,
        state: WaitState,
        instance_id: Option<&str>,
        timeout_secs: u64,
    ) -> Result<WaitReply, ApiError> {
        let version = instance_id.map(|version| ("version", version));
        self.wait_with(app, id, state, version, timeout_secs).await
    }

    /// Waits likewise until the machine has come to `state` after the event with this id; that
    /// may be over by now.
    pub async fn wait_after(
        &self,
        app: &str,
        id: &str,
        state: WaitState,
        event_id: &str,
        timeout_secs: u64,
    ) -> Result<WaitReply, ApiError> {
        let from = Some(("from_event_id", event_id));
        self.wait_with(app, id, state, from, timeout_secs).await
    }

    async fn wait_with(
        &self,
        app: &str,
        id: &str,
        state: WaitState,
        narrowed: Option<(&str, &str)>,
        timeout_secs: u64,
    ) -> Result<WaitReply, ApiError> {
        let seconds = timeout_secs.clamp(*WAIT_SECS.start(), *WAIT_SECS.end());
        let timeout = seconds.to_string();
        let mut query = vec![("state", state.as_str()), ("timeout", timeout.as_str())];
        query.extend(narrowed);
        let verb = format!("wait for `{}` of", state.as_str());
        self.machine_call(Method::GET, app, id, &["wait"], &verb)
            .timeout(Duration::from_secs(seconds) + WAIT_MARGIN)
            .query(&query)
            .json()
            .await
    }

    pub async fn acquire_lease(
        &self,
        app: &str,
        id: &str,
        ttl_secs: u64,
        description: &str,
    ) -> Result<Lease, ApiError> {
        let description = Some(description.to_owned());
        let body = AcquireLease { ttl_secs: Some(ttl_secs), description };
        let verb = "take the lease of";
        let call = self.machine_call(Method::POST, app, id, &["lease"], verb).body(&body);
        leased(call.json().await?, app, id, verb)
    }

    /// Holds the lease for another `ttl_secs` from now.
    pub async fn refresh_lease(
        &self,
        app: &str,
        id: &str,
        nonce: &str,
        ttl_secs: u64,
    ) -> Result<Lease, ApiError> {
        let body = AcquireLease { ttl_secs: Some(ttl_secs), description: None };
        let verb = "refresh the lease of";
        let call = self.machine_call(Method::POST, app, id, &["lease"], verb);
        leased(call.nonce(Some(nonce)).body(&body).json().await?, app, id, verb)
    }

    pub async fn release_lease(&self, app: &str, id: &str, nonce: &str) -> Result<(), ApiError> {
        let call = self.machine_call(Method::DELETE, app, id, &["lease"], "release the lease of");
        call.nonce(Some(nonce)).done().await
    }

    /// The lease with its nonce: leases are advisory among the holders of a token.
    pub async fn get_lease(&self, app: &str, id: &str) -> Result<Lease, ApiError> {
        let verb = "read the lease of";
        leased(
            self.machine_call(Method::GET, app, id, &["lease"], verb).json().await?,
            app,
            id,
            verb,
        )
    }

    pub async fn get_metadata(
        &self,
        app: &str,
        id: &str,
    ) -> Result<BTreeMap<String, String>, ApiError> {
        self.machine_call(Method::GET, app, id, &["metadata"], "read the metadata of").json().await
    }

    /// Sets one key; the machine keeps its version and isn't restarted.
    pub async fn set_metadata(
        &self,
        app: &str,
        id: &str,
        key: &str,
        value: &str,
    ) -> Result<(), ApiError> {
        let verb = format!("set metadata `{key}` of");
        let call = self.machine_call(Method::POST, app, id, &["metadata", key], &verb);
        call.body(&MetadataValue { value: value.to_owned() }).done().await
    }

    pub async fn delete_metadata(&self, app: &str, id: &str, key: &str) -> Result<(), ApiError> {
        let verb = format!("delete metadata `{key}` of");
        self.machine_call(Method::DELETE, app, id, &["metadata", key], &verb).done().await
    }

    /// Several keys at once; `None` removes one. With `machine_version` only if the machine still
    /// has that version.
    pub async fn update_metadata(
        &self,
        app: &str,
        id: &str,
        update: &UpdateMetadata,
    ) -> Result<(), ApiError> {
        let verb = "change the metadata of";
        let call = self.machine_call(Method::PUT, app, id, &["metadata"], verb);
        call.body(update).done().await
    }

    /// Sends the machine's program a signal, by its name.
    pub async fn signal(&self, app: &str, id: &str, signal: &str) -> Result<(), ApiError> {
        let call = self.machine_call(Method::POST, app, id, &["signal"], "signal");
        call.body(&BTreeMap::from([("signal", signal)])).done().await
    }

    /// Runs a program inside the machine and waits for its end.
    pub async fn exec(
        &self,
        app: &str,
        id: &str,
        exec: &ExecMachine,
    ) -> Result<ExecReply, ApiError> {
        let call = self.machine_call(Method::POST, app, id, &["exec"], "run a program in");
        call.body(exec).json().await
    }

    /// The processes that run in the machine.
    pub async fn processes(&self, app: &str, id: &str) -> Result<Vec<ProcessStat>, ApiError> {
        self.machine_call(Method::GET, app, id, &["ps"], "list the processes of").json().await
    }

    /// The machine's versions, newest first.
    pub async fn versions(&self, app: &str, id: &str) -> Result<Vec<MachineVersion>, ApiError> {
        self.machine_call(Method::GET, app, id, &["versions"], "list the versions of").json().await
    }

    /// The machine's events, newest first.
    pub async fn events(&self, app: &str, id: &str) -> Result<Vec<MachineEvent>, ApiError> {
        self.machine_call(Method::GET, app, id, &["events"], "list the events of").json().await
    }

    fn machine_call(
        &self,
        method: Method,
        app: &str,
        id: &str,
        action: &[&str],
        verb: &str,
    ) -> Call {
        let operation = format!("{verb} machine `{id}` of app `{app}`");
        self.call_below(method, ["apps", app, "machines", id], action, operation)
    }

    fn call_below(
        &self,
        method: Method,
        place: [&str; 4],
        action: &[&str],
        operation: String,
    ) -> Call {
        self.call(method, &[&place, action].concat(), operation)
    }

    fn call(&self, method: Method, segments: &[&str], operation: String) -> Call {
        Call::new(&self.http, &self.base, method, segments, operation).timeout(self.request_timeout)
    }
}

impl fmt::Debug for Client {
    /// Without the token, which stands in the inner client's headers.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// The `Authorization` header of a token, for this API and for Fly's others: Fly takes macaroons
/// only as `FlyV1`.
pub fn authorization(token: &str) -> Result<HeaderValue, ClientError> {
    let token = token.trim();
    let macaroon = MACAROON_PREFIXES.iter().any(|prefix| token.starts_with(prefix));
    let text = if token.starts_with("FlyV1 ") {
        token.to_owned()
    } else if macaroon {
        format!("FlyV1 {token}")
    } else {
        format!("Bearer {token}")
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_source| ClientError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Fly's client takes a lease only from an envelope with `success` and data.
fn leased(envelope: LeaseEnvelope, app: &str, id: &str, verb: &str) -> Result<Lease, ApiError> {
    match envelope.data {
        Some(lease) if envelope.status == "success" && !lease.nonce.is_empty() => Ok(lease),
        Some(_) | None => Err(ApiError {
            operation: format!("{verb} machine `{id}` of app `{app}`"),
            status: None,
            message: envelope.message.unwrap_or_else(|| "the answer holds no lease".to_owned()),
            class: ErrorClass::Unknown,
        }),
    }
}
