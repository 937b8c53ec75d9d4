//! A platform in a process of its own, for the tests that kill it or measure it.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{Client, TOKEN, example};

pub struct PlatformProcess {
    process: Child,
    pub api: Client,
    pub tls: Option<SocketAddr>,
}

impl PlatformProcess {
    /// Starts it and waits until it serves.
    pub fn start(state: &Path) -> Self {
        Self::start_with(state, &[])
    }

    /// The same with further arguments of the example `platform`.
    pub fn start_with(state: &Path, arguments: &[&str]) -> Self {
        let mut process = spawn(state, arguments);
        let output = process.stdout.take().expect("its output");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("its addresses");
        let mut addresses = line.split_whitespace().map(|text| text.parse().expect("an address"));
        let mut next = || addresses.next().expect("two addresses");
        let api = Client::new(next(), next());
        let tls = addresses.next();
        Self { process, api, tls }
    }

    /// The most memory that the process has had, in kilobytes.
    pub fn memory_peak_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse().expect("kilobytes")
    }

    pub fn kill(mut self) {
        end(&mut self.process);
    }
}

impl Drop for PlatformProcess {
    fn drop(&mut self) {
        // Without effect after `kill`; a test that failed leaves no platform.
        drop(self.process.kill());
    }
}

/// A platform that is killed before it may serve.
pub struct Beginning(Child);

impl Beginning {
    pub fn of(state: &Path) -> Self {
        Self(spawn(state, &[]))
    }

    pub fn kill(mut self) {
        end(&mut self.0);
    }
}

#[expect(clippy::disallowed_methods, reason = "the platform is killed, so it is a process")]
fn spawn(state: &Path, arguments: &[&str]) -> Child {
    Command::new(example("platform"))
        .arg(state)
        .arg(TOKEN)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started")
}

fn end(process: &mut Child) {
    process.kill().expect("killed");
    process.wait().expect("gone");
}
