//! Sends what Fly's client sends, and reads replies as strictly as it does: a field that it reads
//! must be there, with the type that it reads it into.

#![expect(clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use oci_image::ImageDigest;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Client, TOKEN, World, until};

/// Fly's client, pointed at a platform.
pub(crate) struct Fly {
    http: reqwest::Client,
    base: String,
}

/// A release that is under way.
pub(crate) struct Release {
    pub(crate) id: String,
    pub(crate) version: u64,
    pub(crate) image: String,
}

/// A machine under the client's lease.
pub(crate) struct Leased {
    pub(crate) id: String,
    pub(crate) nonce: String,
}

/// Reads a field that must be a text.
pub(crate) fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no text at {pointer} of {value}")).to_owned()
}

/// Reads a field that must be a whole number.
pub(crate) fn number(value: &Value, pointer: &str) -> i64 {
    let found = value.pointer(pointer).and_then(Value::as_i64);
    found.unwrap_or_else(|| panic!("no number at {pointer} of {value}"))
}

/// Reads a field that must be true or false.
pub(crate) fn flag(value: &Value, pointer: &str) -> bool {
    let found = value.pointer(pointer).and_then(Value::as_bool);
    found.unwrap_or_else(|| panic!("neither true nor false at {pointer} of {value}"))
}

/// Reads a field that must be a list.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a Vec<Value> {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.unwrap_or_else(|| panic!("no list at {pointer} of {value}"))
}

/// Reads a field that must be a time.
pub(crate) fn time(value: &Value, pointer: &str) -> jiff::Timestamp {
    text(value, pointer).parse().unwrap_or_else(|error| panic!("{pointer} of {value}: {error}"))
}

impl Fly {
    pub(crate) fn at(client: &Client) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .user_agent("flyctl/0.3.0")
            .build()
            .expect("a client");
        Self { http, base: format!("http://{}", client.api) }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(TOKEN)
    }

    /// A call to GraphQL; gives the whole reply.
    pub(crate) async fn graphql_reply(&self, query: &str, variables: Value) -> Value {
        let body = json!({"query": query, "variables": variables});
        let request = self
            .request(Method::POST, "/graphql")
            .header("accept", "application/json; charset=utf-8")
            .header("content-type", "application/json; charset=utf-8")
            .body(body.to_string());
        let reply = request.send().await.expect("a reply");
        // The client reads no body of any other status.
        assert_eq!(reply.status(), StatusCode::OK);
        serde_json::from_slice(&reply.bytes().await.expect("a body")).expect("JSON")
    }

    /// A call to GraphQL that must succeed; gives its data.
    pub(crate) async fn graphql(&self, query: &str, variables: Value) -> Value {
        let reply = self.graphql_reply(query, variables).await;
        assert!(reply.get("errors").is_none(), "{query}: {reply}");
        reply["data"].clone()
    }

    /// A call to the Machines API.
    pub(crate) async fn try_flaps(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        nonce: Option<&str>,
    ) -> (StatusCode, Value) {
        let mut request = self.request(method, &format!("/v1{path}"));
        if let Some(body) = body {
            // Only a body makes a content type.
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        if let Some(nonce) = nonce {
            request = request.header("fly-machine-lease-nonce", nonce);
        }
        let reply = request.send().await.expect("a reply");
        let (status, bytes) = (reply.status(), reply.bytes().await.expect("a body"));
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// A call to the Machines API that must succeed.
    pub(crate) async fn flaps(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        nonce: Option<&str>,
    ) -> Value {
        let (status, reply) = self.try_flaps(method.clone(), path, body, nonce).await;
        assert!(status.as_u16() < 300, "{method} {path}: {status} {reply}");
        reply
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.flaps(Method::GET, path, None, None).await
    }

    /// A call to what the client calls "uiex"; gives the status, which it looks at closely.
    pub(crate) async fn uiex(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = self
            .request(method, &format!("/api/v1{path}"))
            .header("content-type", "application/json");
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let reply = request.send().await.expect("a reply");
        let (status, bytes) = (reply.status(), reply.bytes().await.expect("a body"));
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// The machines that a deployment looks after.
    pub(crate) async fn managed_machines(&self, app: &str) -> Vec<Value> {
        let all = self.get(&format!("/apps/{app}/machines")).await;
        let mut machines = all.as_array().expect("a list").clone();
        machines.retain(|machine| {
            let state = text(machine, "/state");
            let version = machine.pointer("/config/metadata/fly_platform_version");
            version == Some(&json!("v2")) && state != "destroyed" && state != "destroying"
        });
        machines
    }

    /// The beginning of `deploy --image`: app, organization, image, machines, release.
    pub(crate) async fn begin_release(&self, app: &str, image: &str, strategy: &str) -> Release {
        let found = self.get(&format!("/apps/{app}")).await;
        let organization = text(&found, "/organization/slug");
        assert!(["deployed", "suspended", "pending"].contains(&text(&found, "/status").as_str()));
        let (status, reply) =
            self.uiex(Method::GET, &format!("/organizations/{organization}"), None).await;
        assert_eq!(status, StatusCode::OK, "{reply}");
        assert_eq!(text(&reply, "/organization/slug"), organization);
        text(&reply, "/organization/id");
        flag(&reply, "/organization/paid_plan");
        number(&reply, "/organization/internal_numeric_id");

        let image = self.resolve_image(app, image).await;
        let managed = self.managed_machines(app).await;
        if managed.is_empty() {
            // It looks once more, for machines that no deployment made.
            self.get(&format!("/apps/{app}/machines")).await;
        }
        let definition = json!({
            "app": app, "primary_region": "local",
            "http_service": {"internal_port": 8080, "auto_stop_machines": "stop"},
        });
        let body = json!({
            "app_name": app, "build_id": 0, "definition": definition, "image": image,
            "strategy": strategy,
        });
        let (status, reply) = self.uiex(Method::POST, "/releases", Some(body)).await;
        assert!([StatusCode::OK, StatusCode::CREATED].contains(&status), "{status} {reply}");
        let id = text(&reply, "/release/id");
        let version = number(&reply, "/release/version").unsigned_abs();
        let release = Release { id, version, image };
        self.note(&release, "running").await;
        release
    }

    /// The look-up of an image, which the client notes as a build.
    pub(crate) async fn resolve_image(&self, app: &str, image: &str) -> String {
        let body = json!({
            "app_name": app, "builder_type": "local",
            "strategies_available": ["Local Image Reference", "Remote Image Reference"],
        });
        let (status, build) = self.uiex(Method::POST, "/builds", Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{build}");
        let id = number(&build, "/id");
        text(&build, "/status");
        let found = self.find_image(app, image).await;
        let body = json!({
            "build_id": id, "app_name": app, "machine_id": "", "status": "completed",
            "strategies_attempted": [], "builder_meta": {}, "timings": {}, "logs": "",
            "final_image": {"id": "", "size_bytes": 1, "tag": ""},
        });
        let (status, finished) = self.uiex(Method::POST, "/builds/finish", Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{finished}");
        assert_eq!(number(&finished, "/id"), id);
        number(&finished, "/wallclock_time_ms");
        found
    }

    /// The image of this name, as GraphQL knows it.
    pub(crate) async fn find_image(&self, app: &str, image: &str) -> String {
        let query = "query ($appName: String!, $imageRef: String!) { app(name: $appName) { id \
                     image(ref: $imageRef) { id digest ref compressedSize: compressedSizeFull } } }";
        let data = self.graphql(query, json!({"appName": app, "imageRef": image})).await;
        text(&data, "/app/id");
        text(&data, "/app/image/id");
        assert!(text(&data, "/app/image/digest").starts_with("sha256:"));
        let bytes: u64 = text(&data, "/app/image/compressedSize").parse().expect("a number");
        assert!(bytes > 0);
        text(&data, "/app/image/ref")
    }

    /// Notes where a release is.
    pub(crate) async fn note(&self, release: &Release, status: &str) {
        let metadata = json!({"post_deployment_info": {"flyctl_version": "0.3.0", "error": ""}});
        let body = json!({"status": status, "metadata": metadata});
        let path = format!("/releases/{}", release.id);
        let (code, reply) = self.uiex(Method::PATCH, &path, Some(body)).await;
        assert_eq!(code, StatusCode::OK, "{reply}");
        assert_eq!(text(&reply, "/id"), release.id);
        assert_eq!(text(&reply, "/status"), status);
    }

    /// The body that creates a machine, or gives it a new version.
    pub(crate) fn launch_input(release: &Release) -> Value {
        json!({
            "region": "local", "skip_launch": false, "skip_secrets": false,
            "config": {
                "image": release.image,
                "env": {"FLY_PROCESS_GROUP": "app", "PRIMARY_REGION": "local",
                        "VERSION": format!("v{}", release.version)},
                "init": {},
                "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
                "metadata": {
                    "fly_platform_version": "v2", "fly_process_group": "app",
                    "fly_release_id": release.id,
                    "fly_release_version": release.version.to_string(),
                    "fly_flyctl_version": "0.3.0",
                },
                "restart": {"policy": "on-failure", "max_retries": 10},
                "services": [{
                    "protocol": "tcp", "internal_port": 8080, "autostop": true,
                    "autostart": true, "min_machines_running": 0, "force_instance_key": null,
                    "ports": [{"port": 80, "handlers": ["http"]},
                              {"port": 443, "handlers": ["http", "tls"]}],
                    "checks": [{"type": "http", "port": 8080, "path": "/health", "method": "GET",
                                "interval": "1s", "timeout": "5s", "grace_period": "30s"}],
                }],
                "stop_config": {"signal": "SIGTERM", "timeout": "5s"},
            },
        })
    }

    /// Creates a machine under a lease, waits for it, and lets the lease go.
    pub(crate) async fn launch(&self, app: &str, mut input: Value) -> String {
        input["lease_ttl"] = json!(300);
        let path = format!("/apps/{app}/machines");
        let made = self.flaps(Method::POST, &path, Some(input), None).await;
        let id = text(&made, "/id");
        let nonce = text(&made, "/nonce");
        for field in ["/state", "/region", "/instance_id", "/private_ip", "/name"] {
            text(&made, field);
        }
        self.wait_until_healthy(app, &id).await;
        self.release_lease(app, &Leased { id: id.clone(), nonce }).await;
        id
    }

    /// Waits for `started`, looks whether the machine crashes, and waits for its checks.
    pub(crate) async fn wait_until_healthy(&self, app: &str, id: &str) {
        self.wait(app, id, "started").await;
        let path = format!("/apps/{app}/machines/{id}");
        until("the machine is healthy", || async {
            let machine = self.get(&path).await;
            for event in list(&machine, "/events") {
                if text(event, "/type") == "exit" {
                    // Read without a look whether it is there.
                    flag(event, "/request/exit_event/requested_stop");
                    flag(event, "/request/exit_event/restarting");
                    number(event, "/request/exit_event/exit_code");
                }
                number(event, "/timestamp");
            }
            let checks = list(&machine, "/checks");
            !checks.is_empty() && checks.iter().all(|check| text(check, "/status") == "passing")
        })
        .await;
    }

    /// Waits as the client does: a timeout makes it ask again.
    pub(crate) async fn wait(&self, app: &str, id: &str, state: &str) {
        let path = format!("/apps/{app}/machines/{id}/wait?state={state}&timeout=60");
        until("the machine gets there", || async {
            let (status, _) = self.try_flaps(Method::GET, &path, None, None).await;
            status.is_success()
        })
        .await;
    }

    pub(crate) async fn lease(&self, app: &str, id: &str, ttl: u32) -> Leased {
        let path = format!("/apps/{app}/machines/{id}/lease?ttl={ttl}");
        let reply = self.flaps(Method::POST, &path, None, None).await;
        assert_eq!(text(&reply, "/status"), "success");
        number(&reply, "/data/expires_at");
        text(&reply, "/data/owner");
        Leased { id: id.to_owned(), nonce: text(&reply, "/data/nonce") }
    }

    /// A refresh must give the same nonce again.
    pub(crate) async fn refresh_lease(&self, app: &str, leased: &Leased) {
        let path = format!("/apps/{app}/machines/{}/lease?ttl=13", leased.id);
        let reply = self.flaps(Method::POST, &path, None, Some(&leased.nonce)).await;
        assert_eq!(text(&reply, "/status"), "success");
        assert_eq!(text(&reply, "/data/nonce"), leased.nonce);
    }

    pub(crate) async fn release_lease(&self, app: &str, leased: &Leased) {
        let path = format!("/apps/{app}/machines/{}/lease", leased.id);
        self.flaps(Method::DELETE, &path, None, Some(&leased.nonce)).await;
    }

    /// A whole rolling deployment: two machines at first, in place later.
    pub(crate) async fn deploy(&self, app: &str, image: &str) -> Release {
        let release = self.begin_release(app, image, "ROLLING").await;
        let machines = self.managed_machines(app).await;
        let mut leases = Vec::new();
        for machine in &machines {
            leases.push(self.lease(app, &text(machine, "/id"), 13).await);
        }
        if machines.is_empty() {
            for _ in 0..2 {
                self.launch(app, Self::launch_input(&release)).await;
            }
        }
        for leased in &leases {
            let path = format!("/apps/{app}/machines/{}", leased.id);
            let mut input = Self::launch_input(&release);
            input["id"] = json!(leased.id);
            let updated = self.flaps(Method::POST, &path, Some(input), Some(&leased.nonce)).await;
            assert_eq!(text(&updated, "/id"), leased.id);
            text(&updated, "/instance_id");
            self.refresh_lease(app, leased).await;
            self.wait_until_healthy(app, &leased.id).await;
        }
        for leased in &leases {
            self.release_lease(app, leased).await;
        }
        self.note(&release, "complete").await;
        release
    }
}

/// A platform with an app and the image that its first deployment takes.
pub(crate) async fn world(app: &str) -> (World, Fly, String) {
    let world = World::new().await;
    let fly = Fly::at(&world.api);
    let body = json!({"name": app, "org_slug": "personal", "network": "", "app_role_id": ""});
    let made = fly.flaps(Method::POST, "/apps?wait=true", Some(body), None).await;
    assert_eq!(text(&made, "/name"), app);
    let image = reference(&world.image);
    (world, fly, image)
}

/// How somebody names an image of this platform's registry.
pub(crate) fn reference(image: &ImageDigest) -> String {
    format!("registry.fly.io/echo@{image}")
}
