//! The service that the tests release: a small HTTP server that says its version, and misbehaves
//! when its environment says so. It finishes what it has begun when it is asked to stop.

#![expect(clippy::disallowed_methods, reason = "a program of its own, told what to do by env")]

use std::env;
use std::process::ExitCode;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if let Some(code) = number("EXIT_CODE") {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

async fn serve() -> std::io::Result<()> {
    let version = env::var("SERVICE_VERSION").unwrap_or_default();
    let health = if env::var("SICK").is_ok() { StatusCode::IM_A_TEAPOT } else { StatusCode::OK };
    let routes = Router::new()
        .route("/", get(move || std::future::ready(version.clone())))
        .route("/health", get(move || std::future::ready(health)));
    let port = number("PORT").and_then(|port| u16::try_from(port).ok()).unwrap_or(8080);
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", port)).await?;
    let mut asked_to_stop = signal(SignalKind::terminate())?;
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move {
            asked_to_stop.recv().await;
        })
        .await
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
