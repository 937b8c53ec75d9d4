//! Runs the benchmarks: installs what they compare with, builds what they measure, and starts
//! them. What they measure and how is theirs to say, in `crates/holdpoint/benches/platform`.

use clap::ValueEnum;

use crate::failure::Failure;
use crate::process::Invocation;
use crate::setup;

/// The Debian packages that only benchmarks need, each with its reason.
const DEBIAN_PACKAGES: &[(&str, &str)] = &[
    ("haproxy", "is what the proxy is compared with"),
    ("nginx-light", "is what the proxy is compared with"),
    ("wrk", "makes the load"),
];

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Benchmark {
    /// The proxy beside nginx and HAProxy
    Proxy,
    /// From a request for a stopped machine to its first byte
    Start,
    /// Reads and durable writes of the Machines API
    Api,
    /// Memory and CPU of a platform that stands there
    Fleet,
}

/// Runs one benchmark, or all of them one after the other: side by side they would disturb each
/// other.
pub(crate) fn run(only: Option<Benchmark>, options: &[String]) -> Result<(), Failure> {
    setup::install_packages(DEBIAN_PACKAGES)?;
    // The services that machines run, and the command that serves them.
    Invocation::new("cargo", &["build", "--release", "--locked"]).run()?;
    let chosen = only.map_or_else(|| Benchmark::value_variants().to_vec(), |one| vec![one]);
    for benchmark in chosen {
        let value = benchmark.to_possible_value();
        let name = value.as_ref().map_or("", clap::builder::PossibleValue::get_name);
        let mut arguments =
            vec!["bench", "--quiet", "--locked", "--package", "holdpoint", "--bench", "platform"];
        arguments.extend(["--", name]);
        arguments.extend(options.iter().map(String::as_str));
        Invocation::new("cargo", &arguments).run()?;
    }
    Ok(())
}
