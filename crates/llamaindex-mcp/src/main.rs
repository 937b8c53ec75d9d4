//! The binary: reads settings, opens the articles, serves, and turns failures into exit statuses.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use llamaindex_mcp::library::Library;
use llamaindex_mcp::service::Service;
use llamaindex_mcp::settings::Settings;
use llamaindex_mcp::{http, shutdown};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// A setting is wrong; the same status that clap uses.
const WRONG_SETTING: u8 = 2;
/// Serving is impossible.
const CANNOT_SERVE: u8 = 1;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    match run(&settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, message)) => {
            // When even stderr is gone there is nobody left to tell.
            let told = writeln!(std::io::stderr(), "error: {message}");
            drop(told);
            ExitCode::from(status)
        }
    }
}

async fn run(settings: &Settings) -> Result<(), (u8, String)> {
    let filter = EnvFilter::try_new(&settings.log).map_err(|cause| {
        let message = format!(
            "cannot read the log filter `{}`: {cause}\nhint: `RUST_LOG=info`, or \
             `RUST_LOG=warn,llamaindex_mcp=debug`",
            settings.log
        );
        (WRONG_SETTING, message)
    })?;
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).init();
    let library = Library::open(settings.docs.clone(), settings.index.clone())
        .map_err(|cause| (WRONG_SETTING, cause.to_string()))?;
    let service = Service::new(library, settings.service_version.clone());
    let wanted = SocketAddr::new(settings.address, settings.port);
    let listener = TcpListener::bind(wanted).await.map_err(|cause| {
        let message = format!(
            "cannot listen on `{wanted}`: {cause}\nhint: choose another port with `--port` or \
             `PORT`; 0 takes a free one"
        );
        (CANNOT_SERVE, message)
    })?;
    let failed = |cause| (CANNOT_SERVE, format!("cannot serve on `{wanted}`: {cause}"));
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(%address, version = service.version, "listening");
    let router = http::router(Arc::clone(&service), settings);
    shutdown::serve_until_told(listener, router, &service).await.map_err(failed)
}
