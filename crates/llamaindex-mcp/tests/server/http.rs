//! The service as a platform and a hostile network see it: health, limits, names, signals.

use std::process::Stdio;

use crate::support::{self, Folders, Running};
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn health_readiness_and_numbers_are_served() {
    let folders = Folders::new();
    let running = Running::start(&folders).await;
    let health: Value = running.get("/health").await.json().await.expect("JSON");
    assert_eq!(health["status"], "ok");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(running.get("/ready").await.status(), StatusCode::OK);
    running.call("query_support", json!({ "query": "fuel pump" })).await;
    let ok = r#"http_requests_total{method="POST",route="/mcp",status="200"}"#;
    assert_eq!(running.metric(ok).await, Some(1.0));
    let bucket = r#"http_request_duration_seconds_bucket{le="+Inf",method="POST",route="/mcp"}"#;
    assert_eq!(running.metric(bucket).await, Some(1.0));
    let tool = r#"mcp_tool_calls_total{tool="query_support",status="ok"}"#;
    assert_eq!(running.metric(tool).await, Some(1.0));
    assert!(running.metric("process_resident_memory_bytes").await.expect("memory") > 1e6);
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_a_decent_one_is_kept() {
    let folders = Folders::new();
    let running = Running::start(&folders).await;
    let client = reqwest::Client::new();
    let own = client.get(running.url("/health")).header("x-request-id", "abc-1").send().await;
    assert_eq!(own.expect("answered").headers()["x-request-id"], "abc-1");
    let odd =
        client.get(running.url("/health")).header("x-request-id", "x".repeat(65)).send().await;
    assert_eq!(odd.expect("answered").headers()["x-request-id"].len(), 26);
    let line = running.logged("request").await;
    assert_eq!((&line["request_id"], &line["status"]), (&json!("abc-1"), &json!(200)));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_and_add_no_labels() {
    let folders = Folders::new();
    let running = Running::start(&folders).await;
    assert_eq!(running.get("/nothing/1").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(running.get("/nothing/2").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(running.get("/mcp").await.status(), StatusCode::METHOD_NOT_ALLOWED);
    let other = r#"http_requests_total{method="GET",route="other",status="404"}"#;
    assert_eq!(running.metric(other).await, Some(2.0));
}

#[tokio::test]
async fn a_name_that_is_not_the_services_own_is_refused() {
    let folders = Folders::new();
    let running = Running::start(&folders).await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    for (header, value, status) in [
        ("host", "evil.example", StatusCode::FORBIDDEN),
        ("host", "hotdash-llamaindex-mcp-staging.localhost:4280", StatusCode::OK),
        ("origin", "https://evil.example", StatusCode::FORBIDDEN),
        ("origin", "http://localhost:3000", StatusCode::OK),
    ] {
        let answer = running.post(list).header(header, value).send().await.expect("answered");
        assert_eq!(answer.status(), status, "{header}: {value}");
    }
    let health =
        reqwest::Client::new().get(running.url("/health")).header("host", "10.0.0.7").send();
    assert_eq!(health.await.expect("answered").status(), StatusCode::OK);
}

#[tokio::test]
async fn bodies_that_are_too_large_or_no_json_are_refused() {
    let folders = Folders::new();
    let running = Running::start(&folders).await;
    let status = async |body: Vec<u8>| running.post(body).send().await.expect("answered").status();
    for length in [1_000_001, 4_000_000] {
        assert_eq!(status(vec![b' '; length]).await, StatusCode::PAYLOAD_TOO_LARGE);
    }
    for body in
        [&b"{"[..], b"", b"[]", b"\xff\xfe", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}"]
    {
        let answer = status(body.to_vec()).await;
        assert!(answer.is_client_error(), "{answer} for {body:?}");
    }
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    assert!(status(deep).await.is_client_error());
    assert_eq!(running.get("/health").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_request_in_flight_at_sigterm_is_answered_and_the_exit_status_is_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let folders = Folders::new();
        let mut running = Running::start(&folders).await;
        let idle = TcpStream::connect(running.address()).await.expect("connected");
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
            "name": "query_support", "arguments": { "query": "fuel pump noise" } } })
        .to_string();
        let (early, late) = body.split_at(20);
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\ncontent-length: {}\r\n\r\n{early}",
            body.len()
        );
        let mut stream = TcpStream::connect(running.address()).await.expect("connected");
        stream.write_all(head.as_bytes()).await.expect("sent");
        // The request that reads the number is in flight itself.
        support::until("the request is in flight", async || {
            (running.metric("http_requests_in_flight").await == Some(2.0)).then_some(())
        })
        .await;

        running.signal(signal);
        running.logged("draining").await;
        stream.write_all(late.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("noisy-fuel-pump.md"),
            "{answer}"
        );
        assert_eq!(running.exit_status().await.code(), Some(0));
        drop(idle);
    }
}

#[tokio::test]
async fn a_client_that_never_finishes_does_not_keep_the_service_from_leaving() {
    let folders = Folders::new();
    let mut running = Running::start(&folders).await;
    let mut stream = TcpStream::connect(running.address()).await.expect("connected");
    let head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.expect("sent");
    support::until("the request is in flight", async || {
        (running.metric("http_requests_in_flight").await == Some(2.0)).then_some(())
    })
    .await;
    running.signal(Signal::TERM);
    assert_eq!(running.exit_status().await.code(), Some(0));
}

#[tokio::test]
async fn after_sigkill_the_kept_index_is_opened_again() {
    let folders = Folders::new();
    let mut first = Running::start(&folders).await;
    assert_eq!(first.logged("index is ready").await["source"], "built");
    let built = first.metric("index_built_timestamp_seconds").await;
    first.signal(Signal::KILL);
    first.exit_status().await;
    let second = Running::start(&folders).await;
    assert_eq!(second.logged("index is ready").await["source"], "kept");
    assert_eq!(second.metric("index_built_timestamp_seconds").await, built);
    let found =
        second.call("query_support", json!({ "query": "My fuel pump whines loudly" })).await;
    assert_eq!(found["structuredContent"]["passages"][0]["path"], "noisy-fuel-pump.md");
}

#[tokio::test]
async fn wrong_settings_end_with_status_2_and_a_hint() {
    let folders = Folders::new();
    for (name, value, words) in [
        ("DOCS_DIR", "/nonexistent/docs", "there is no folder `/nonexistent/docs`"),
        ("RUST_LOG", "a=b=c", "cannot read the log filter"),
        ("PORT", "70000", "70000"),
    ] {
        let mut command = support::command(&folders);
        let output = command.env(name, value).output().await.expect("ran");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.starts_with("error: ") && told.contains(words), "{told}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_ends_with_status_1_and_a_hint() {
    let folders = Folders::new();
    let running = Running::start(&folders).await;
    let mut command = support::command(&folders);
    command.env("PORT", running.address().port().to_string()).stdout(Stdio::null());
    let output = command.output().await.expect("ran");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("cannot listen on") && told.contains("hint:"), "{told}");
}

#[tokio::test]
async fn the_help_names_every_setting_of_a_deployment() {
    let output = support::command(&Folders::new()).arg("--help").output().await.expect("ran");
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in ["PORT", "DOCS_DIR", "INDEX_DIR", "ALLOWED_HOSTS", "Exit status", "/mcp"] {
        assert!(help.contains(word), "{word} is missing in:\n{help}");
    }
}
