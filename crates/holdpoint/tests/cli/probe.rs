//! `holdpoint probe`, against a server on this computer.

use std::fs;
use std::path::Path;

use axum::Router;
use axum::routing::get;
use serde_json::Value;

use super::{folder, seen};

/// A server that is well, by a name of this computer.
async fn serve() -> String {
    let routes = Router::new().route("/health", get(async || "ok"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://shop.localhost:{port}")
}

fn artifacts(folder: &Path) -> Vec<(String, Value)> {
    let entries = fs::read_dir(folder.join("artifacts/monitoring")).expect("a folder");
    let files = entries.map(|entry| entry.expect("an entry"));
    let read = files.map(|file| {
        let text = fs::read_to_string(file.path()).expect("readable");
        let name = file.file_name().to_string_lossy().into_owned();
        (name, serde_json::from_str(&text).expect("JSON"))
    });
    read.collect()
}

#[tokio::test]
async fn a_probe_within_its_budget_leaves_its_figures() {
    let (folder, server) = (folder(), serve().await);
    let url = format!("{server}/health");
    let arguments = ["probe", &url, "--budget", "1m", "--samples", "7", "--json"];
    let told = seen(folder.path(), &arguments).await;
    assert!(told.starts_with("exit 0"), "{told}");
    let kept = artifacts(folder.path());
    let (name, figures) = kept.first().expect("an artifact");
    assert!(name.starts_with("probe-shop.localhost-2") && name.ends_with("Z.json"), "{name}");
    assert_eq!((kept.len(), &figures["passed"], &figures["failed"]), (1, &true.into(), &0.into()));
    assert_eq!(figures["figures"]["samples"], 7);
    let printed =
        told.split("--- stdout\n").nth(1).and_then(|rest| rest.split("--- stderr").next());
    assert_eq!(serde_json::from_str::<Value>(printed.expect("JSON")).expect("JSON"), *figures);
}

#[tokio::test]
async fn a_probe_over_its_budget_or_with_a_failed_request_ends_with_1() {
    let (folder, server) = (folder(), serve().await);
    let nowhere = format!("{server}/nowhere");
    let told =
        seen(folder.path(), &["probe", &nowhere, "--samples", "3", "--concurrency", "3"]).await;
    assert!(told.starts_with("exit 1"), "{told}");
    assert!(
        told.contains("3 of 3 requests failed") && told.contains("3 times status 404"),
        "{told}"
    );
    let expected = ["probe", &nowhere, "--expect-status", "404", "--budget", "1m"];
    assert!(seen(folder.path(), &expected).await.starts_with("exit 0"));
    // nobody answers two hundred at once in a millisecond
    let url = format!("{server}/health");
    let tight = ["probe", &url, "--budget", "1ms", "--samples", "400", "--concurrency", "200"];
    let told = seen(folder.path(), &tight).await;
    assert!(told.starts_with("exit 1") && told.contains(" ms is over 1"), "{told}");
    assert_eq!(artifacts(folder.path()).len(), 3, "every probe leaves one");
    let nobody = seen(folder.path(), &["probe", "http://127.0.0.1:1/", "--samples", "2"]).await;
    assert!(nobody.starts_with("exit 1") && nobody.contains("2 of 2 requests failed"), "{nobody}");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused() {
    let folder = folder();
    let told = seen(folder.path(), &["probe", "example.com/health"]).await;
    assert!(told.starts_with("exit 2") && told.contains("https://example.com/health"), "{told}");
}
