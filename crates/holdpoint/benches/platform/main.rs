//! How fast the platform of `holdpoint up` is on this computer, beside nginx and HAProxy where
//! those do the same. It measures and prints; what is fast enough is said in `docs/speed.md`.
//!
//! `cargo xtask bench` builds what is measured, installs what is compared, and runs this.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a program of its own that measures time, starts programs and prints a report"
)]

mod api;
mod backend;
mod fleet;
mod proxy;
mod rival;
mod start;
mod table;
mod world;
mod wrk;

use std::{env, error::Error, path::PathBuf};

use clap::{Parser, Subcommand};

/// Whatever goes wrong ends the benchmark.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// What cargo adds when it runs a benchmark.
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Requests per second and latency of the proxy, beside nginx and HAProxy
    Proxy(proxy::Options),
    /// From a request for a stopped machine to the first byte of its answer
    Start(start::Options),
    /// Reads and durable writes per second of the Machines API
    Api(api::Options),
    /// Memory and CPU of a platform with nothing, with many stopped and with some running machines
    Fleet(fleet::Options),
}

#[tokio::main]
async fn main() -> Outcome<()> {
    if let Some(port) = backend::port_of_this_machine() {
        return backend::serve(port).await;
    }
    match Arguments::parse().what {
        What::Proxy(options) => proxy::run(&options).await,
        What::Start(options) => start::run(&options).await,
        What::Api(options) => api::run(&options).await,
        What::Fleet(options) => fleet::run(&options).await,
    }
}

/// Where the measured platforms keep their state: on the disk that builds are on, not in memory.
fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}
