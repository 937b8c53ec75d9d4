//! How the client classifies what happens on a real connection.

use std::time::Duration;

use machines_api::client::{Client, ClientError};
use machines_api::error::{ApiError, ErrorClass};
use machines_api::types::{CreateMachine, WaitState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What the other side does with each request it has read.
#[derive(Clone, Copy)]
enum Behaviour {
    Answer(&'static str),
    HangUp,
    KeepSilent,
}

/// A peer on a port of its own; it lives as long as the test.
async fn peer(behaviour: Behaviour) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback works");
    let address = listener.local_addr().expect("the loopback works");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer).await.expect("the loopback works");
                assert!(read > 0, "a request comes");
                match behaviour {
                    Behaviour::Answer(answer) => {
                        stream.write_all(answer.as_bytes()).await.expect("the loopback works");
                        stream.shutdown().await.expect("the loopback works");
                    }
                    Behaviour::HangUp => {}
                    Behaviour::KeepSilent => std::future::pending().await,
                }
            });
        }
    });
    Client::new(&format!("http://{address}"), "token").expect("the loopback works")
}

async fn write(client: &Client) -> ApiError {
    client
        .create_machine("shop", &CreateMachine::default(), None)
        .await
        .expect_err("the call fails")
}

async fn read(client: &Client) -> ApiError {
    client.get_machine("shop", "1").await.expect_err("the call fails")
}

#[tokio::test]
async fn a_refused_connection_may_be_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(&base, "token").unwrap();
    let (write, read) = (write(&client).await, read(&client).await);
    assert_eq!((write.class, write.status), (ErrorClass::Retry, None), "{write}");
    assert_eq!(read.class, ErrorClass::Retry, "{read}");
}

#[tokio::test]
async fn a_connection_lost_after_sending_leaves_a_write_unknown() {
    let client = peer(Behaviour::HangUp).await;
    assert_eq!(write(&client).await.class, ErrorClass::Unknown);
    assert_eq!(read(&client).await.class, ErrorClass::Retry);
}

#[tokio::test]
async fn silence_leaves_a_write_unknown() {
    let client = peer(Behaviour::KeepSilent).await.with_request_timeout(Duration::from_millis(300));
    let write = write(&client).await;
    assert_eq!(write.class, ErrorClass::Unknown, "{write}");
    assert!(write.to_string().contains("no answer within the time limit"), "{write}");
    assert_eq!(read(&client).await.class, ErrorClass::Retry);
}

#[tokio::test]
async fn a_half_answer_leaves_a_write_unknown() {
    let client =
        peer(Behaviour::Answer("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\":")).await;
    assert_eq!(write(&client).await.class, ErrorClass::Unknown);
    assert_eq!(read(&client).await.class, ErrorClass::Retry);
}

#[tokio::test]
async fn a_success_that_is_no_json_leaves_a_write_unknown() {
    let client = peer(Behaviour::Answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).await;
    assert_eq!(write(&client).await.class, ErrorClass::Unknown);
}

#[tokio::test]
async fn a_refusal_keeps_its_status_and_words() {
    let client = peer(Behaviour::Answer(
        "HTTP/1.1 409 Conflict\r\nconnection: close\r\n\r\n\
         {\"error\":\"machine ID 1 lease currently held by a@tokens.fly.io, expires at 2026-01-01T00:00:00Z\"}",
    ))
    .await;
    let error = write(&client).await;
    assert_eq!((error.class, error.status), (ErrorClass::Refused, Some(409)), "{error}");
    assert!(error.is_lease_conflict(), "{error}");
}

#[tokio::test]
async fn the_end_of_a_wait_may_be_repeated() {
    let client =
        peer(Behaviour::Answer("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")).await;
    let error = client.wait("shop", "1", WaitState::Started, None, 1).await.unwrap_err();
    assert!(error.is_wait_timeout(), "{error}");
    assert_eq!(write(&client).await.class, ErrorClass::Unknown);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let client = peer(Behaviour::Answer(
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    let error = write(&client).await;
    assert_eq!((error.class, error.status), (ErrorClass::Refused, Some(302)), "{error}");
}

#[tokio::test]
async fn a_name_that_is_no_part_of_an_address_is_refused_unsent() {
    let client = peer(Behaviour::KeepSilent).await;
    let error = client.get_app("..").await.unwrap_err();
    assert_eq!((error.class, error.status), (ErrorClass::Refused, None), "{error}");
}

#[test]
fn a_wrong_base_url_or_token_is_told_at_once() {
    for base_url in ["", "127.0.0.1:4280", "ftp://127.0.0.1", "http://127.0.0.1/v1"] {
        let error = Client::new(base_url, "token").unwrap_err();
        assert!(matches!(error, ClientError::BaseUrl { .. }), "{base_url}: {error}");
        assert!(error.to_string().contains("hint: "), "{error}");
    }
    let error = Client::new("http://127.0.0.1:1", "a\nb").unwrap_err();
    assert!(matches!(error, ClientError::Token), "{error}");
}

#[test]
fn debug_text_never_shows_the_token() {
    let client = Client::new("http://127.0.0.1:1", "hunter2").unwrap();
    assert!(!format!("{client:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_conformance_run_without_a_server_tells_every_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let outcomes = machines_api::conformance::run(&base, "token", "image").await;
    assert!(outcomes.len() >= 4, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| outcome.result.is_err()), "{outcomes:?}");
}
