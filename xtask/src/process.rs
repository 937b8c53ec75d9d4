//! Starts other programs, always from the repository's root. No other module of this crate does.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;

/// A program with its arguments, as a person would type it.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(&'static str, &'static str)>,
    directory: PathBuf,
}

impl Invocation {
    pub(crate) fn new(program: impl Into<String>, arguments: &[&str]) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment: Vec::new(),
            directory: repository_root(),
        }
    }

    pub(crate) fn with_environment(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    pub(crate) fn in_directory(mut self, directory: PathBuf) -> Self {
        self.directory = directory;
        self
    }

    /// The line that a person types to run this alone.
    pub(crate) fn line(&self) -> String {
        let settings = self.environment.iter().map(|(name, value)| format!("{name}='{value}'"));
        let words = std::iter::once(self.program.clone()).chain(self.arguments.iter().cloned());
        settings.chain(words).collect::<Vec<_>>().join(" ")
    }

    /// Runs it with this terminal as its output.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let status = self.command().status().map_err(|error| self.not_started(&error))?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::new(
            format!("`{}` failed", self.line()),
            format!("mend what it says above, then run it alone: `{}`", self.line()),
        )
        .because(status))
    }

    /// Runs it silently and returns what it wrote to standard output.
    pub(crate) fn output(&self) -> Result<String, Failure> {
        let output = self.command().output().map_err(|error| self.not_started(&error))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Failure::new(
            format!("`{}` failed", self.line()),
            format!("run it alone: `{}`", self.line()),
        )
        .because(String::from_utf8_lossy(&output.stderr).trim()))
    }

    fn not_started(&self, error: &std::io::Error) -> Failure {
        Failure::new(format!("cannot start `{}`", self.program), "run `cargo xtask setup`")
            .because(error)
    }

    #[expect(clippy::disallowed_methods, reason = "the one place of xtask that starts programs")]
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().copied())
            .env("PATH", search_path())
            .current_dir(&self.directory);
        command
    }
}

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn repository_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The folder in which cargo keeps what it installs.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
}

/// Cargo's own folder of programs comes first: what `setup` installs there must be found even by
/// a shell that does not know that folder.
fn search_path() -> OsString {
    let inherited = env::var_os("PATH").unwrap_or_default();
    let installed = cargo_home().map(|home| home.join("bin"));
    let folders = installed.into_iter().chain(env::split_paths(&inherited));
    env::join_paths(folders).unwrap_or(inherited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_an_invocation_can_be_typed() {
        let invocation =
            Invocation::new("cargo", &["doc", "--no-deps"]).with_environment("FLAGS", "-D x");
        assert_eq!(invocation.line(), "FLAGS='-D x' cargo doc --no-deps");
    }

    #[test]
    fn a_failed_program_is_told_with_the_line_that_repeats_it() {
        let failure = Invocation::new("false", &[]).run().unwrap_err();
        assert!(failure.to_string().contains("run it alone: `false`"), "{failure}");
    }

    #[test]
    fn a_missing_program_is_told_by_name() {
        let failure = Invocation::new("no-such-program", &[]).output().unwrap_err();
        assert!(failure.to_string().contains("cannot start `no-such-program`"), "{failure}");
    }
}
