//! The platform's own disk is full: what is new is refused with the reason, what is there is kept
//! and serves, and as soon as there is room everything goes on without a restart.

mod support;

use std::{
    fs::File,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{World, until};

/// A disk of its own, in memory. When the test ends, well or badly, it is gone.
struct Disk(PathBuf);

impl Disk {
    /// Mounts it, with room for some copies of the echo machine.
    fn at(place: &Path) -> Self {
        run("mount", &["-t", "tmpfs", "-o", "size=256m,mode=0700", "tmpfs"], place);
        Self(place.to_owned())
    }

    /// Writes until nothing goes in any more.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).expect("a file");
        let piece = vec![0; 4096];
        let refused = loop {
            if let Err(error) = ballast.write_all(&piece) {
                break error;
            }
        };
        assert_eq!(refused.kind(), ErrorKind::StorageFull);
    }

    fn give_room(&self) {
        std::fs::remove_file(self.ballast()).expect("removed");
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["--lazy"], &self.0);
    }
}

#[expect(clippy::disallowed_methods, reason = "a disk is mounted by the system's own program")]
fn run(program: &str, arguments: &[&str], place: &Path) {
    let status = Command::new(program).args(arguments).arg(place).status().expect("started");
    assert!(status.success() || std::thread::panicking(), "this test must run as root");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_on_a_full_disk_serves_refuses_what_is_new_and_goes_on_when_there_is_room() {
    let mut disk = None;
    let mut world = World::with(|settings| disk = Some(Disk::at(&settings.state_dir))).await;
    let disk = disk.expect("a disk");
    let ids = world.app("shop", 1).await;
    let machine = format!("/v1/apps/shop/machines/{}", ids[0]);
    let large = "x".repeat(100_000);
    let release =
        json!({"app_name": "shop", "image": "echo:v1", "definition": {"note": large.clone()}});
    let noted = world.api.done(Method::POST, "/api/v1/releases", release.clone()).await;
    let of_release = format!("/api/v1/releases/{}", noted["release"]["id"].as_str().expect("id"));
    let failed = json!({"status": "failed", "metadata": {"why": large.clone()}});
    let metadata = json!({"metadata": {"note": large.clone()}});
    let update = json!({"config": world.config(&[("VERSION", "two"), ("LARGE", &large)])});
    let blob = format!("/v2/echo/blobs/uploads/?digest={}", world.image);
    let api = &world.api;

    disk.fill();
    // The store's file has room for a little more.
    until("a release is refused", || async {
        let (status, text) = api.call(Method::POST, "/api/v1/releases", release.clone()).await;
        let full = status == StatusCode::INSUFFICIENT_STORAGE;
        assert!(status.is_success() || full, "{status} {text}");
        full
    })
    .await;
    let attempts = [
        (Method::PATCH, of_release.clone(), failed.clone()),
        (Method::PATCH, format!("{machine}/metadata"), metadata.clone()),
        (Method::POST, machine.clone(), update.clone()),
        (Method::POST, blob, json!(large)),
    ];
    for (method, path, body) in attempts {
        let (status, text) = api.call(method, &path, body).await;
        assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{path}: {text}");
        assert!(text.to_string().contains("not full"), "it says what helps: {text}");
    }
    let (status, text) = api.get("shop", "/").await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let kept = api.machine("shop", &ids[0]).await;

    disk.give_room();
    // Whatever was noted while it was full, the newest release is the last that was accepted.
    let before = api.done(Method::GET, "/api/v1/apps/shop/releases/current", Value::Null).await;
    let next = api.done(Method::POST, "/api/v1/releases", release).await;
    let number = |release: &Value| release["version"].as_u64().expect("a number");
    assert_eq!(number(&next["release"]), number(&before) + 1);
    api.done(Method::PATCH, &of_release, failed).await;
    api.done(Method::PATCH, &format!("{machine}/metadata"), metadata).await;
    api.done(Method::POST, "/v1/apps", json!({"name": "other", "org_slug": "personal"})).await;
    assert_eq!(api.machine("shop", &ids[0]).await.instance_id, kept.instance_id);
    let updated = api.done(Method::POST, &machine, update).await;
    api.ready("shop", &ids[0]).await;
    let (_, text) = api.get("shop", "/").await;
    assert!(text.contains(" two "), "{text}");

    world.restart_platform().await;
    assert_eq!(updated["instance_id"], world.api.machine("shop", &ids[0]).await.instance_id);
    let newest = "/api/v1/apps/shop/releases/current";
    let newest = world.api.done(Method::GET, newest, Value::Null).await;
    assert_eq!(newest["id"], next["release"]["id"]);
    world.end().await;
}
