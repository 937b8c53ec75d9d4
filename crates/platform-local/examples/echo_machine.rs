//! The program that the tests run as a machine: a small HTTP server that says who it is, and
//! misbehaves when its environment says so.
//!
//! It dies at once when it is asked to stop, like a program that handles no signals: whatever
//! request is with it then is lost.

#![expect(
    clippy::disallowed_methods,
    clippy::exit,
    reason = "a program of its own, told what to do by env"
)]

use std::{env, io::Write as _, path::Path, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Query, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use futures::StreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let groups_at_start = control_groups();
    if let Some(tool) = env::args().nth(1) {
        return run_tool(&tool).await;
    }
    if let Some(code) = number("EXIT_CODE") {
        std::process::exit(i32::try_from(code).unwrap_or(1));
    }
    if env::var("IGNORE_SIGNALS").is_ok() {
        ignore_signals()?;
    }
    if let Some(megabytes) = number("HOLD_MB") {
        let megabytes = usize::try_from(megabytes).unwrap_or(0);
        // Written to, so that it is really held.
        std::mem::forget(vec![1_u8; megabytes << 20]);
    }
    writeln!(std::io::stdout(), "starting version {}", text("VERSION"))?;
    let app = Router::new()
        .route("/", get(about).post(about))
        .route("/health", get(health))
        .route("/env", get(environment))
        .route("/metrics", get(|| async { "echo_answers 1\n" }))
        .route("/groups", get(|| async { groups_at_start }))
        .route("/headers", get(headers))
        .route("/slow", get(slow))
        .route("/echo", post(|body: Bytes| async move { body }))
        .route("/sink", post(sink))
        .route("/trailers", post(trailers))
        .route("/replay", get(replay).post(replay))
        .route("/answer", get(answer).post(answer))
        .route("/count", post(count))
        .route("/hold", post(hold))
        .route("/break", post(break_off))
        .route("/events", get(events))
        .route("/upgrade", get(upgrade))
        .route("/exit", post(exit));
    if let Some(delay_ms) = number("START_DELAY_MS") {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    let port = u16::try_from(number("PORT").unwrap_or(8080)).unwrap_or(8080);
    for (name, value) in env::vars().filter(|(name, _)| name.starts_with("PORT_")) {
        let further = value.parse().unwrap_or(port);
        if further != port {
            let app = app.clone().route("/service", get(async || name));
            let listener = tokio::net::TcpListener::bind(("0.0.0.0", further)).await?;
            tokio::spawn(axum::serve(listener, app).into_future());
        }
    }
    let app = app.route("/service", get(async || "PORT"));
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", port)).await?;
    axum::serve(listener, app).await
}

/// What is run beside the server, by `exec`.
async fn run_tool(tool: &str) -> std::io::Result<()> {
    let (mut output, mut errors) = (std::io::stdout(), std::io::stderr());
    match tool {
        "whoami" => {
            let directory = env::current_dir()?;
            let (machine, version) = (text("FLY_MACHINE_ID"), text("VERSION"));
            writeln!(output, "{machine} {version} {}", directory.display())
        }
        "groups" => output.write_all(control_groups().as_bytes()),
        "copy" => std::io::copy(&mut std::io::stdin(), &mut output).map(|_bytes| ()),
        "read" => {
            let path = env::args().nth(2).unwrap_or_default();
            std::io::copy(&mut std::fs::File::open(path)?, &mut output).map(|_bytes| ())
        }
        "fail" => {
            writeln!(errors, "failed on purpose")?;
            std::process::exit(3);
        }
        "flood" => {
            let piece = vec![b'x'; 64 << 10];
            (0..64).try_for_each(|_| output.write_all(&piece))
        }
        // Until it is killed.
        _ => std::future::pending().await,
    }
}

/// The control groups that this process is in, as the kernel tells.
fn control_groups() -> String {
    std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default()
}

async fn about() -> String {
    format!("{} {} {}", text("FLY_MACHINE_ID"), text("VERSION"), text("PORT"))
}

async fn health() -> StatusCode {
    // A file in the directory that it runs in turns it sick, and so does its environment.
    if env::var("SICK").is_ok() || Path::new("sick").exists() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    }
}

async fn environment() -> String {
    env::vars().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("\n")
}

async fn headers(headers: HeaderMap) -> String {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        format!("{name}: {}\n", value.to_str().unwrap_or_default())
    };
    headers.iter().map(line).collect()
}

async fn slow(Query(query): Query<Vec<(String, u64)>>) -> String {
    let wait_ms = query.first().map_or(0, |(_, value)| *value);
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    about().await
}

/// Asks that the machine of the query answer, unless this one is it.
async fn replay(
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Bytes,
) -> (HeaderMap, String) {
    let wanted = query.first().map(|(_, value)| value.clone()).unwrap_or_default();
    let mut answer = HeaderMap::new();
    if wanted != text("FLY_MACHINE_ID") {
        if let Ok(value) = format!("instance={wanted};state=marked").parse() {
            answer.insert("fly-replay", value);
        }
        return (answer, String::new());
    }
    let source = headers.get("fly-replay-src").and_then(|value| value.to_str().ok());
    (answer, format!("{} {} {}", about().await, source.unwrap_or("-"), body.len()))
}

/// Answers with the headers that the query names, and with its `body`. A query with `as` is meant
/// for that machine alone, and one with `until` for as long as no replay has failed: otherwise it
/// says what came.
async fn answer(
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Bytes,
) -> (HeaderMap, String) {
    let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let is_for_others = value("as").is_some_and(|wanted| *wanted != text("FLY_MACHINE_ID"));
    if is_for_others || (value("until").is_some() && headers.contains_key("fly-replay-failed")) {
        let seen = self::headers(headers).await;
        return (HeaderMap::new(), format!("{}\n{seen}{} bytes", about().await, body.len()));
    }
    let pairs = query.iter().filter(|(name, _)| !["as", "until", "body"].contains(&name.as_str()));
    let pairs = pairs.filter_map(|(name, value)| {
        Some((name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?))
    });
    (pairs.collect(), value("body").cloned().unwrap_or_default())
}

/// Appends to a file of its volume and says how long it is.
async fn count() -> Result<String, StatusCode> {
    let path = text("COUNT_FILE");
    let mut content = std::fs::read_to_string(&path).unwrap_or_default();
    content.push('x');
    std::fs::write(&path, &content).map_err(|_error| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(content.len().to_string())
}

/// Holds so many megabytes more from a moment later on.
async fn hold(Query(query): Query<Vec<(String, usize)>>) -> String {
    let megabytes = query.first().map_or(0, |(_, value)| *value);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        std::mem::forget(vec![1_u8; megabytes << 20]);
    });
    "soon".to_owned()
}

/// Takes a body of any size and says how long it was.
async fn sink(request: Request) -> String {
    let mut pieces = request.into_body().into_data_stream();
    let mut bytes = 0;
    while let Some(Ok(piece)) = pieces.next().await {
        bytes += piece.len();
    }
    bytes.to_string()
}

/// Sends the trailers of the request back, as trailers.
async fn trailers(request: Request) -> Response {
    let body = request.into_body().collect().await.ok();
    let trailers = body.and_then(|body| body.trailers().cloned()).unwrap_or_default();
    let frames = [Frame::data(Bytes::from_static(b"body")), Frame::trailers(trailers)];
    let frames = futures::stream::iter(frames.map(Ok::<_, std::io::Error>));
    ([("trailer", "x-sum")], Body::new(StreamBody::new(frames))).into_response()
}

/// Ends in the middle of a request, without an answer.
async fn break_off() -> StatusCode {
    std::process::exit(1)
}

/// Sends one event and then nothing, for ever.
async fn events() -> Response {
    let first = futures::stream::iter([Ok::<_, std::io::Error>("data: first\n\n")]);
    let body = Body::from_stream(first.chain(futures::stream::pending()));
    ([("content-type", "text/event-stream")], body).into_response()
}

/// Changes the protocol to one that sends back what it gets.
async fn upgrade(mut request: Request) -> Response {
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        drop(tokio::io::copy(&mut read, &mut write).await);
    });
    let headers = [("connection", "upgrade"), ("upgrade", "echo")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

async fn exit(Query(query): Query<Vec<(String, i32)>>) -> String {
    let code = query.first().map_or(0, |(_, value)| *value);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        std::process::exit(code);
    });
    "soon".to_owned()
}

fn ignore_signals() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signals = signal(kind)?;
        tokio::spawn(async move { while signals.recv().await.is_some() {} });
    }
    Ok(())
}

fn text(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
