//! Starting, being watched, and stopping.

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Service, Setup, eventually, webhook};
use crate::knowledge::{self, Mode};

#[tokio::test]
async fn health_readiness_and_metrics_are_told() {
    let service = Setup::new().with("SERVICE_VERSION", "1.2.3").start().await;
    let (status, health) = service.get("/health").await;
    assert_eq!(status, 200);
    assert_eq!(
        (health["status"].as_str(), health["version"].as_str()),
        (Some("ok"), Some("1.2.3"))
    );
    assert_eq!(service.get("/ready").await.0, 200);
    let text = service.metrics().await;
    let expected = [
        "http_requests_total{method=\"GET\",route=\"/health\",status=\"200\"} 1",
        "http_request_duration_seconds_bucket{le=\"+Inf\",method=\"GET\",route=\"/health\"} 1",
        "process_resident_memory_bytes ",
        "approvals{state=\"pending\"} 0",
        "approvals_oldest_pending_age_seconds 0.0",
        "storage_up 1",
    ];
    for line in expected {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
}

#[tokio::test]
async fn it_starts_where_the_computer_has_no_list_of_certificate_authorities() {
    // As in an image that holds nothing but the program.
    let bare = Setup::new().with("SSL_CERT_FILE", "/missing").with("SSL_CERT_DIR", "/missing");
    let service = bare.start().await;
    assert_eq!(service.get("/health").await.0, 200);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_and_make_no_new_metric() {
    let service = Setup::new().start().await;
    assert_eq!(service.get("/secret-path-1").await.0, 404);
    let delete = service.client.delete(service.at("/approvals")).send().await.unwrap();
    assert_eq!(delete.status().as_u16(), 405);
    let text = service.metrics().await;
    assert!(!text.contains("secret-path-1"), "{text}");
    assert!(text.contains("route=\"unmatched\",status=\"404\"} 1"), "{text}");
}

#[tokio::test]
async fn a_request_id_is_kept_or_given_and_logged() {
    let service = Setup::new().start().await;
    let request = service.client.get(service.at("/approvals")).header("x-request-id", "abc-123");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "abc-123");
    let request = service.client.get(service.at("/approvals")).header("x-request-id", "{\"a\"}");
    let response = request.send().await.unwrap();
    assert_ne!(response.headers()["x-request-id"], "{\"a\"}");
    eventually("the log line", || async {
        let log = service.log.lock().unwrap();
        log.iter().any(|line| line["span"]["request_id"] == "abc-123").then_some(())
    })
    .await;
}

/// Sends the head of a webhook and, when the service waits for it, half of its body.
async fn half_a_webhook(service: &Service) -> (TcpStream, String) {
    let address = service.base_url.strip_prefix("http://").unwrap();
    let body = webhook(1, 7, "Hello?").to_string();
    let (first, second) = body.split_at(body.len() / 2);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /webhooks/chatwoot HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let expected = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut go_on = vec![0; expected.len()];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(go_on, expected);
    stream.write_all(first.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    (stream, second.to_owned())
}

async fn is_draining(service: &Service) {
    let address = service.base_url.strip_prefix("http://").unwrap();
    eventually("new connections are refused", || async {
        TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_that_has_begun_is_finished_when_the_service_stops() {
    for signal in [Signal::TERM, Signal::INT] {
        let setup = Setup::new();
        let service = setup.start().await;
        let (mut stream, rest) = half_a_webhook(&service).await;
        service.signal(signal);
        is_draining(&service).await;
        stream.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("\"status\":\"accepted\""), "{answer}");
        assert_eq!(service.ended().await.code(), Some(0));
        let service = setup.start().await;
        assert!(service.metrics().await.contains("queue_messages{state=\"waiting\"} 1"));
    }
}

#[tokio::test]
async fn neither_idle_connections_nor_half_requests_nor_a_hanging_server_hold_up_a_stop() {
    let knowledge = knowledge::Server::start().await;
    knowledge.set(Mode::Hangs);
    let setup = Setup::knowing(&knowledge);
    let service = setup.start().await;
    service.customer_writes(9, 9, "Hello?").await;
    eventually("the question", || async { knowledge.questions().first().cloned() }).await;
    let (_stream, _rest) = half_a_webhook(&service).await;
    let address = service.base_url.strip_prefix("http://").unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut byte = [0];
    idle.read_exact(&mut byte).await.unwrap();
    service.signal(Signal::TERM);
    assert_eq!(service.ended().await.code(), Some(0));

    knowledge.set(Mode::Answers);
    let service = setup.start().await;
    assert_eq!(service.draft().await["message_id"], 9);
}

#[tokio::test]
async fn a_taken_port_is_told_with_its_number() {
    let taken = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (status, error) = Setup::new().with("PORT", &port).run_to_end().await;
    assert_eq!(status.code(), Some(2));
    assert!(error.contains(&format!("can't listen on port {port}")), "{error}");
    assert!(error.contains("hint: "), "{error}");
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_by_their_names() {
    let cases = [
        ("PORT", "http", "--port"),
        ("MCP_URL", "localhost", "`MCP_URL`"),
        ("CHATWOOT_BASE_URL", "https://chat.example.com", "`CHATWOOT_API_TOKEN`"),
        ("FLY_MACHINE_ID", "a/b", "`FLY_MACHINE_ID`"),
        ("CALL_TIMEOUT_MS", "0", "`CALL_TIMEOUT_MS`"),
        ("RUST_LOG", "a=b=c", "`RUST_LOG`"),
    ];
    for (name, value, word) in cases {
        let (status, error) = Setup::new().with(name, value).run_to_end().await;
        assert_eq!(status.code(), Some(2), "{name}: {error}");
        assert!(error.contains(word), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_data_directory_or_database_that_cannot_be_used_is_named() {
    let setup = Setup::new();
    std::fs::write(setup.data_dir(), "a file").unwrap();
    let (status, error) = setup.run_to_end().await;
    assert_eq!(status.code(), Some(2));
    assert!(error.contains("can't create the data directory"), "{error}");

    let setup = Setup::new();
    std::fs::create_dir(setup.data_dir()).unwrap();
    std::fs::write(setup.data_dir().join("agent-service.sqlite"), "no database at all").unwrap();
    let (status, error) = setup.run_to_end().await;
    assert_eq!(status.code(), Some(2));
    assert!(error.contains("agent-service.sqlite"), "{error}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let setup = Setup::new();
    setup.start().await.kill().await;
    let newer = "INSERT INTO _sqlx_migrations
        (version, description, success, checksum, execution_time) VALUES (99, 'newer', 1, x'00', 0)";
    crate::harness::on_database(&setup.data_dir(), newer).await;
    let (status, error) = setup.run_to_end().await;
    assert_eq!(status.code(), Some(2));
    assert!(error.contains("hint: this version of the service is older"), "{error}");
}

#[tokio::test]
async fn every_log_line_is_json_with_a_time_and_a_level() {
    let service = Setup::new().start().await;
    service.customer_writes(1, 7, "Hello?").await;
    eventually("the line of the webhook", || async {
        let log = service.log.lock().unwrap();
        log.iter().any(|line| line["message"] == "message taken").then_some(())
    })
    .await;
    let log: Vec<Value> = service.log.lock().unwrap().clone();
    assert!(log.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()));
}
