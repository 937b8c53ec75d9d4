//! A platform in a process of its own, for the tests that kill it.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{Client, TOKEN, example};

pub struct PlatformProcess {
    process: Child,
    pub api: Client,
}

impl PlatformProcess {
    /// Starts it and waits until it serves.
    pub fn start(state: &Path) -> Self {
        let mut process = spawn(state);
        let output = process.stdout.take().expect("its output");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("its addresses");
        let mut addresses = line.split_whitespace().map(|text| text.parse().expect("an address"));
        let mut next = || addresses.next().expect("two addresses");
        let api = Client::new(next(), next());
        Self { process, api }
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
        Self(spawn(state))
    }

    pub fn kill(mut self) {
        end(&mut self.0);
    }
}

#[expect(clippy::disallowed_methods, reason = "the platform is killed, so it is a process")]
fn spawn(state: &Path) -> Child {
    Command::new(example("platform"))
        .arg(state)
        .arg(TOKEN)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started")
}

fn end(process: &mut Child) {
    process.kill().expect("killed");
    process.wait().expect("gone");
}
